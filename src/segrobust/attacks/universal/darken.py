"""DarkSAM's goal of masks, and what its code does otherwise than its paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segrobust.attacks.objectives.answers import AT_A_TIME, Answers
from segrobust.attacks.objectives.mask_goals import MaskGoal, clean_answers
from segrobust.attacks.objectives.masks import AtPhotoSize
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective
from segrobust.attacks.updates.base import Probe, State
from segrobust.models.base import Embedding, Observed, Prediction, WhiteBox
from segrobust.models.geometry import Geometry
from segrobust.types import Prompts


@dataclass(frozen=True, eq=False)
class Darkened:
    """``Wt MSE(f m, -1) + Wf MSE((1 - f) m, 1)`` of the logits m of each prompt: foreground to none, background not.

    Attributes:
        foreground: f, bool ``(h, w)`` or ``(n, 1, h, w)`` for one of its own for each prompt.
        target: Wt.
        background: Wf.
    """

    foreground: Tensor
    target: float = 1.0
    background: float = 0.1

    def __call__(self, answer: Prediction) -> Tensor:
        """Losses ``(n,)``; means over pixels, those of the other kind included, as in the authors' code."""
        inside, outside = answer.logits * self.foreground, answer.logits * ~self.foreground
        spatial = self.target * (inside + 1).square() + self.background * (outside - 1).square()
        return spatial.mean((1, 2, 3))


@dataclass(frozen=True)
class Darken(MaskGoal):
    """DarkSAM's spatial attack (arXiv 2409.17874): what SAM finds at some points is found no more.

    Attributes:
        target: Wt, 1.
        background: Wf, 0.1.
        blueprint: the foreground is the union of what is found at all points, the paper's shadow target; else each
            prompt has its own.
    """

    target: float = 1.0
    background: float = 0.1
    blueprint: bool = True

    def __call__(self, scene: Scene) -> Objective:
        """The objective: the clean answers are asked for here."""
        prompts = self.prompts(scene)
        foreground = clean_answers(scene, prompts, self.multimask, self.full).logits > 0
        if self.blueprint:
            foreground = foreground.flatten(0, 1).any(0)
        goal = Darkened(foreground, self.target, self.background)
        together = AT_A_TIME if self.blueprint else max(AT_A_TIME, len(prompts))  # each has its own foreground
        return Answers(prompts, AtPhotoSize(goal) if self.full else goal, self.multimask, together)


@dataclass(frozen=True)
class AscendLossTimesGradient:
    """``x <- x + step * sign(loss * gradient)``: DarkSAM's update as it is coded.

    Its loss is written to be lowered. While the loss is positive, this raises it.

    Attributes:
        step: share of the pixel range; the authors have 1/255.
    """

    step: float = 1 / 255

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One step."""
        loss, gradient = probe(image)
        state.box.step_(image, gradient.mul_(-loss), self.step)
        return loss


class Unnormalised(WhiteBox):
    """A model that is fed pixels in [0, 1] without its mean and standard deviation, as DarkSAM's code does.

    It is learned from the model itself what it makes of black and white, so it works for every family: normalising is
    affine, and padding is what does not depend on the pixels.

    Args:
        white: the model.
    """

    def __init__(self, white: WhiteBox) -> None:
        self.inner = white
        self.name, self.capabilities, self.everything = white.name, white.capabilities, white.everything
        self.device = white.device

    def __getattr__(self, name: str) -> Any:
        """Whatever else the model shows."""
        if name == "inner":  # not made yet, e.g. while it is copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """The model's."""
        return self.inner.geometry(size)

    def resize(self, images: Tensor) -> Tensor:
        """The model's."""
        return self.inner.resize(images)

    def prepare(self, pixels: Tensor) -> Tensor:
        """Resized pixels, padded with zeros."""
        with torch.no_grad():
            black = self.inner.prepare(torch.zeros_like(pixels[:1]))
            range_ = self.inner.prepare(torch.ones_like(pixels[:1])) - black
        photo = range_ != 0
        return torch.where(photo, (self.inner.prepare(pixels) - black) / torch.where(photo, range_, 1.0), 0.0)

    def encode(self, inputs: Tensor) -> Tensor:
        """The model's."""
        return self.inner.encode(inputs)

    @property
    def depth(self) -> int:
        """The model's."""
        return self.inner.depth

    def observe(self, inputs: Tensor, layers: Sequence[int] = ()) -> Observed:
        """The model's."""
        return self.inner.observe(inputs, layers)

    def views_at_a_time(self, views: int) -> int:
        """The model's."""
        return self.inner.views_at_a_time(views)

    def embed(self, images: Tensor) -> Embedding:
        """Embed photos ``(B, 3, H, W)`` or ``(3, H, W)``, not normalised."""
        batch = (images[None] if images.ndim == 3 else images).to(self.device)
        seen = self.observe(self.prepare(self.resize(batch)))
        return Embedding(seen.features, self.geometry((batch.shape[-2], batch.shape[-1])), seen.extra)

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        """The model's."""
        return self.inner.masks(embedding, prompts, multimask=multimask)
