"""Prompts that are more than a fixed set of single ones: many clicks as one prompt, and prompts that fight back."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from segrobust.attacks.objectives.answers import Answers
from segrobust.attacks.objectives.clicks import joined, prompt_encoder, shifted
from segrobust.attacks.objectives.masks import Goal, Removed
from segrobust.attacks.seen import Seen
from segrobust.errors import UsageError
from segrobust.types import Floats, Prompts


@dataclass(frozen=True, eq=False)
class Joint:
    """The one mask that many clicks together ask for: ASK as UAD's authors run it.

    Attributes:
        points: ``(k, 2)`` xy in pixels of the photo, all positive clicks of one prompt.
        goal: for that mask.
        multimask: all three answers instead of one.
    """

    points: Floats
    goal: Goal = field(default_factory=Removed)
    multimask: bool = False

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``.

        Raises:
            CapabilityError: the family has no prompt encoder.
        """
        assert seen.segmenter is not None
        assert seen.geometry is not None
        with joined(prompt_encoder(seen.segmenter), seen.geometry.to_model(self.points)):
            answers = seen.decode(Prompts.of(points=self.points[:1]), multimask=self.multimask)
        return torch.cat([self.goal(answer) for answer in answers])


@dataclass(eq=False)
class HardestEmbeddings:
    """Min-max over prompts: every so often the prompts' embeddings take a step that raises the loss.

    A cross-prompt attack in the manner of CroPA: the variant for EVF-SAM minimises ClipMSE and lets the prompt's
    embedding ascend at every 15th step; here the embeddings are those of points and boxes. An ascent is a sign step
    inside an L-infinity ball around the clean embedding. It goes through the decoder only.

    Attributes:
        answers: prompts and goal.
        every: gradients between two ascents; 15.
        radius: of the ball, in root mean squares of the tokens (ours: the source's radius is not known).
        step: of one ascent, likewise.
        shifts: where the embeddings are, see :func:`segrobust.attacks.objectives.clicks.shifted`.
        gradients: taken so far.
    """

    answers: Answers
    every: int = 15
    radius: float = 0.5
    step: float = 0.1
    shifts: list[Tensor] = field(default_factory=list)
    gradients: int = 0

    def __post_init__(self) -> None:
        _check_together(self.answers)

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``.

        Raises:
            CapabilityError: the family has no prompt encoder.
        """
        if _is_new_gradient(seen):
            self.gradients += 1
            if self.gradients % self.every == 0:
                self._ascend(seen)
        return torch.cat([self._loss(view) for view in one_by_one(seen)])

    def _loss(self, view: Seen) -> Tensor:
        assert view.segmenter is not None
        with shifted(prompt_encoder(view.segmenter), self.shifts):
            return self.answers(view)

    def _ascend(self, seen: Seen) -> None:
        view = _frozen(seen)
        with torch.no_grad():
            self._loss(view)  # makes the shifts, if there are none yet
        self.shifts = [shift.detach().requires_grad_() for shift in self.shifts]
        slopes = torch.autograd.grad(self._loss(view).sum(), self.shifts)
        self.shifts = [
            (shift.detach() + self.step * slope.sign()).clamp(-self.radius, self.radius)
            for shift, slope in zip(self.shifts, slopes, strict=True)
        ]


@dataclass(eq=False)
class HardestPositions:
    """Min-max over prompts: every so often each prompt moves to the worst of some places near where it began.

    As :class:`HardestEmbeddings`, for every family: clicks and box corners are in pixels, no gradient is taken, and
    the ascent is a search (ours). Each prompt keeps its place unless another one has a higher loss.

    Attributes:
        answers: prompts and goal; the goal must not have a mask of its own for each prompt.
        size: ``(height, width)`` of the photo.
        generator: the places are drawn from it.
        every: gradients between two searches.
        reach: how far a coordinate may be from where it began, in pixels of the photo.
        tries: places that are tried in a search.
        gradients: taken so far.
    """

    answers: Answers
    size: tuple[int, int]
    generator: np.random.Generator
    reach: float
    every: int = 15
    tries: int = 4
    gradients: int = 0
    _home: Prompts = field(init=False)

    def __post_init__(self) -> None:
        _check_together(self.answers)
        self._home = self.answers.prompts

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        if _is_new_gradient(seen):
            self.gradients += 1
            if self.gradients % self.every == 0:
                self._search(_frozen(seen))
        return self.answers(seen)

    @torch.no_grad()
    def _search(self, view: Seen) -> None:
        best, worst = self.answers.prompts, self._losses(view, self.answers.prompts)
        points = len(best.points)
        for _ in range(self.tries):
            other = self._jittered()
            losses = self._losses(view, other)
            p, b = np.split(losses > worst, [points])
            best = Prompts(
                np.where(p[:, None], other.points, best.points),
                best.point_masks,
                np.where(b[:, None], other.boxes, best.boxes),
                best.box_masks,
            )
            worst = np.maximum(losses, worst)
        self.answers = replace(self.answers, prompts=best)

    def _losses(self, view: Seen, prompts: Prompts) -> Floats:
        (answer,) = view.decode(prompts, multimask=self.answers.multimask)
        losses: Floats = self.answers.goal(answer).double().cpu().numpy()
        return losses

    def _jittered(self) -> Prompts:
        home, edge = self._home, np.array([self.size[1] - 1, self.size[0] - 1], np.float64)
        draw = self.generator.uniform
        points = np.clip(home.points + draw(-self.reach, self.reach, home.points.shape), 0, edge)
        corners = home.boxes + draw(-self.reach, self.reach, home.boxes.shape)
        corners = np.clip(corners.reshape(-1, 2, 2), 0, edge)
        boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
        return Prompts(points, home.point_masks, boxes, home.box_masks)


def one_by_one(seen: Seen) -> Iterator[Seen]:
    """The views, each as a ``Seen`` of its own."""
    for i in range(len(seen)):
        here = slice(i, i + 1)
        yield replace(
            seen,
            features=seen.features[here],
            layers={number: layer[here] for number, layer in seen.layers.items()},
            extra=tuple(part[here] for part in seen.extra),
            first=seen.first + i,
        )


def _frozen(seen: Seen) -> Seen:
    """The first view, without a gradient to the pixels."""
    view = next(one_by_one(seen))
    return replace(view, features=view.features.detach(), extra=tuple(part.detach() for part in view.extra))


def _is_new_gradient(seen: Seen) -> bool:
    """Whether these are the first views of a gradient; a look at the loss alone is none."""
    return seen.first == 0 and torch.is_grad_enabled()


def _check_together(answers: Answers) -> None:
    if len(answers.prompts) > answers.at_a_time:
        count = len(answers.prompts)
        raise UsageError(f"prompts that move are decoded together, at most {answers.at_a_time} of them, got {count}")
