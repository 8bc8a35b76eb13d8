"""Wrong answers to points and boxes, and features that are left at every depth: the goal of ``falsify`` (ours)."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from segrobust.attacks.objectives.answers import take
from segrobust.attacks.objectives.crowd import one_by_one
from segrobust.attacks.objectives.depths import inner_layers
from segrobust.attacks.objectives.inner import Stack, followed
from segrobust.attacks.objectives.mask_goals import clean_answers, in_source
from segrobust.attacks.objectives.masks import on_logits
from segrobust.attacks.objectives.questions import OnMasks, Questions
from segrobust.attacks.objectives.similarity import token_cosine
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective, Seen
from segrobust.errors import UsageError
from segrobust.types import Prompts


def soft_iou(logits: Tensor, masks: Tensor, where: Tensor) -> Tensor:
    """How much an answer overlaps a mask, with probabilities for pixels: ``sum p m / sum (p + m - p m)``.

    What is scored, made differentiable. An answer is as wrong with a mask elsewhere as with none, so neither is asked
    for: the gradient takes whichever is nearer. Pixels that are surely wrong no longer count, whatever their logit,
    nor do those that are surely right: there the sigmoid is flat.

    Args:
        logits: ``(n, k, h, w)``.
        masks: the right ones, 0 or 1, of the same shape.
        where: ``(h, w)`` in [0, 1], how much of a pixel is on the photo: what lies in the padding is never scored.

    Returns:
        ``(n,)`` in [0, 1], the mean over the k answers.
    """
    p = logits.sigmoid()
    common = (p * masks * where).sum((2, 3))
    union = ((p + masks) * where).sum((2, 3)) - common
    return (common / union.clamp(min=1e-6)).mean(1)


@dataclass(frozen=True, eq=False)
class WrongAnswers:
    """The mean soft IoU of the answers to some prompts with what they were on the photo.

    Attributes:
        prompts: in pixels of the photo, each with an answer that is not empty.
        clean: ``(n, 1, h, w)``, their masks on the photo at the decoder's resolution, 0 or 1.
        where: ``(h, w)`` in [0, 1], where the photo is there.
        some: how many prompts are drawn for each view of each gradient; a look at the loss alone asks all.
        generator: on the CPU; drawn from view by view, so it does not matter which views come together.
    """

    prompts: Prompts
    clean: Tensor
    where: Tensor
    some: int
    generator: torch.Generator = field(default_factory=torch.Generator)

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        return torch.stack([self._of(view) for view in one_by_one(seen)])

    def _of(self, view: Seen) -> Tensor:
        count = len(self.prompts)
        chosen = torch.arange(count)
        if torch.is_grad_enabled():
            chosen = torch.randperm(count, generator=self.generator)[: self.some].sort().values
        (answer,) = view.decode(take(self.prompts, chosen.numpy()))
        return soft_iou(answer.logits, self.clean[chosen.to(self.clean.device)], self.where).mean()


@dataclass(frozen=True, eq=False)
class LeaveTokens:
    """Every token away from the photo's, at several depths: the mean over layers of ``similarity.token_cosine``.

    Token by token, because in a cosine of whole maps the tokens with long vectors drown the others, and each place of
    the photo is some mask's. In several layers, because a change that is seen early is seen by other encoders too.

    Attributes:
        clean: on the photo, ``(1, C, h, w)`` of each inner layer, then the embedding.
        layers: the inner layers.
    """

    clean: Stack
    layers: tuple[int, ...] = ()

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        now = (*(seen.layers[number] for number in self.layers), seen.features)
        pairs = zip(now, followed(seen, self.clean), strict=True)
        return torch.stack([token_cosine(f, c) for f, c in pairs]).mean(0)


@dataclass(frozen=True, eq=False)
class Falsified:
    """``answers + weight * features``: :class:`WrongAnswers` and :class:`LeaveTokens`.

    Attributes:
        features: always there.
        answers: None: the model answered nothing on the photo, so there is nothing to be made wrong.
        weight: of the features.
    """

    features: LeaveTokens
    answers: WrongAnswers | None
    weight: float

    @property
    def layers(self) -> tuple[int, ...]:
        """Those that the features are of."""
        return self.features.layers

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        if self.answers is None:
            return self.features(seen)
        wrong = self.answers(seen)
        return wrong + self.weight * self.features(seen) if self.weight else wrong


@dataclass(frozen=True)
class Falsify:
    """The setting of :class:`Falsified`.

    Attributes:
        questions: the attacker's own prompts; those that are scored are drawn from another stream.
        some: of them, for each view; 0 = none: only the features.
        weight: of the features; 0 = only the answers.
        blocks: whose features are left beside the embedding, of an encoder of 12 blocks, see ``depths``.
    """

    questions: Questions = field(default_factory=lambda: OnMasks(points=2, boxes=True, most=40))
    some: int = 6
    weight: float = 3.0
    blocks: tuple[int, ...] = (2, 4, 6, 8, 10, 11)

    def __post_init__(self) -> None:
        if self.some < 0 or self.weight < 0 or not (self.some or self.weight):
            raise UsageError(f"answers or features must count, got {self.some} prompts and weight {self.weight:g}")

    @property
    def needs(self) -> tuple[str, ...]:
        """The decoder and masks for the answers, inner layers for the features."""
        answers = ("decoder", *self.questions.needs) if self.some else ()
        return answers + (("layers",) if self.weight and self.blocks else ())

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        layers = inner_layers(scene.segmenter, self.blocks) if self.weight else ()
        seen = scene.observe(scene.source, layers)
        clean = (*(seen.layers[number] for number in layers), seen.features)
        return Falsified(LeaveTokens(clean, layers), self._answers(scene), self.weight)

    def _answers(self, scene: Scene) -> WrongAnswers | None:
        if not self.some:
            return None
        prompts = in_source(self.questions(scene), scene)
        masks = (clean_answers(scene, prompts, False, False).logits > 0).float()
        photo = torch.ones(scene.source.shape[-2:], device=masks.device)
        where = on_logits(photo, scene.geometry, (masks.shape[-2], masks.shape[-1]))
        answered = np.flatnonzero((masks * where).flatten(1).any(1).cpu().numpy())
        if not len(answered):
            scene.notes.append("no answers to make wrong: only the features are attacked")
            return None
        kept = take(prompts, answered)
        clean = masks[torch.from_numpy(answered).to(masks.device)]
        return WrongAnswers(kept, clean, where, self.some, scene.torch_stream("some prompts"))
