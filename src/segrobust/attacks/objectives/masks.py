"""Losses of mask logits and of predicted IoUs: what the decoder answers, and what it should answer instead.

All are means over prompts, answers and pixels, so that they compare between prompts of any number.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.errors import CapabilityError
from segrobust.models.base import Prediction
from segrobust.models.geometry import Geometry

FLOOR = -10.0
"""Neg in Attack-SAM's ClipMSE: a logit that is already below it is left alone."""

Goal = Callable[[Prediction], Tensor]
"""Answers to n prompts to a loss for each of the prompts, ``(n,)``."""


def clip_mse(logits: Tensor, floor: float = FLOOR) -> Tensor:
    """``(max(m, floor) - floor)^2`` of every logit: Attack-SAM's ClipMSE (Zhang et al., arXiv 2305.00866)."""
    return (logits.clamp(min=floor) - floor).square()


def clip_mse_above(logits: Tensor, ceiling: float = -FLOOR) -> Tensor:
    """``(min(m, ceiling) - ceiling)^2``: its mirror image, which asks for mask everywhere."""
    return (logits.clamp(max=ceiling) - ceiling).square()


@dataclass(frozen=True, eq=False)
class Removed:
    """No mask: :func:`clip_mse` of all answers.

    Attributes:
        floor: Neg.
        where: ``(h, w)`` in [0, 1], how much a logit counts; None = all alike.
    """

    floor: float = FLOOR
    where: Tensor | None = None

    def __call__(self, answer: Prediction) -> Tensor:
        """Losses ``(n,)``."""
        return _mean(clip_mse(answer.logits, self.floor), self.where)


@dataclass(frozen=True, eq=False)
class Shown:
    """A given mask: 1 asks for logits above ``-floor``, 0 for logits below ``floor`` (targeted Attack-SAM).

    Attributes:
        target: ``(h, w)``, or ``(n, h, w)`` for a mask of its own for each prompt; between 0 and 1 both sides pull.
        floor: Neg; its mirror image is the other threshold.
        where: ``(h, w)``, how much a logit counts; None = all alike.
        balanced: inside and outside of the target count alike, whatever their sizes (ours).
    """

    target: Tensor
    floor: float = FLOOR
    where: Tensor | None = None
    balanced: bool = False

    def __call__(self, answer: Prediction) -> Tensor:
        """Losses ``(n,)``."""
        target = self.target if self.target.ndim == 2 else self.target[:, None]
        inside = clip_mse_above(answer.logits, -self.floor)
        outside = clip_mse(answer.logits, self.floor)
        if not self.balanced:
            return _mean(target * inside + (1 - target) * outside, self.where)
        weight = torch.ones_like(target) if self.where is None else self.where.expand_as(target)
        return (_mean(inside, weight * target) + _mean(outside, weight * (1 - target))) / 2


@dataclass(frozen=True)
class Doubted:
    """A low predicted IoU, by which segment everything and multimask answers are chosen.

    ``mean max(iou, floor)``. Ours: SAM has no presence score that could be pushed down instead, see :class:`Absent`.

    Attributes:
        floor: an IoU below it is left alone.
    """

    floor: float = 0.0

    def __call__(self, answer: Prediction) -> Tensor:
        """Losses ``(n,)``."""
        return answer.predicted_iou.clamp(min=self.floor).mean(1)


ABSENT = math.log(0.01 / 0.99)
"""AdvPCS's tau: the logit of a presence of 1 %."""


@dataclass(frozen=True)
class Absent:
    """A low presence: ``max(presence, floor)`` of the logit that there is an object at all.

    Source: AdvPCS (arXiv 2609.39265), which pushes the presence logits of SAM 3's detector below log(0.01 / 0.99). Here
    they are those of the head for points and boxes of SAM 2 and SAM 3, the object score of Ravi et al. (arXiv
    2408.00714), appendix: in videos, what is absent has no mask.

    Attributes:
        floor: tau; a logit below it is left alone.
        model: its name, for the error.
    """

    floor: float = ABSENT
    model: str = ""

    def __call__(self, answer: Prediction) -> Tensor:
        """Losses ``(n,)``.

        Raises:
            CapabilityError: the family has no presence score.
        """
        if answer.presence is None:
            raise CapabilityError(
                f"model {self.model!r} has no presence score (SAM 2 and SAM 3 have one); use the attack 'doubt', which "
                "pushes predicted IoUs"
            )
        return answer.presence.clamp(min=self.floor)


def _mean(losses: Tensor, where: Tensor | None) -> Tensor:
    """Mean over answers and pixels of ``(n, k, h, w)``, to ``(n,)``; weighted, where a weight is given."""
    if where is None:
        return losses.mean((1, 2, 3))
    weight = where.to(losses).expand_as(losses)
    return (losses * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1e-12)


@dataclass(frozen=True, eq=False)
class Kept:
    """The answers as they were on the photo: what is not to be touched stays (ours).

    The mean square of the difference of logits, each clipped to ``floor`` and its mirror image, so that it compares
    with :func:`clip_mse`.

    Attributes:
        clean: ``(n, k, h, w)``, the logits on the photo.
        floor: Neg.
    """

    clean: Tensor
    floor: float = FLOOR

    def __call__(self, answer: Prediction) -> Tensor:
        """Losses ``(n,)``."""
        now, then = (logits.clamp(self.floor, -self.floor) for logits in (answer.logits, self.clean))
        return (now - then).square().mean((1, 2, 3))


@dataclass(frozen=True, eq=False)
class AtPhotoSize:
    """A goal for the logits as they are scored, at the size of the photo, instead of the decoder's own."""

    goal: Goal

    def __call__(self, answer: Prediction) -> Tensor:
        """Losses ``(n,)``."""
        return self.goal(replace(answer, logits=answer.geometry.restore(answer.logits)))


def on_logits(mask: Tensor, geometry: Geometry, size: tuple[int, int]) -> Tensor:
    """A mask of the photo ``(H, W)`` where the logits ``(h, w) = size`` see it: the share of each logit it covers.

    The other way round than ``Geometry.restore``: to the photo's place in the model's input, padded, shrunk. Padding
    is 0, so a mask of ones gives where the photo is.
    """
    height, width = geometry.resized
    scaled = F.interpolate(mask[None, None].float(), (height, width), mode="bilinear", antialias=True)
    padded = F.pad(scaled, (0, geometry.side - width, 0, geometry.side - height))
    return F.adaptive_avg_pool2d(padded, size)[0, 0]


def moved(mask: Tensor, right: int, down: int) -> Tensor:
    """A mask ``(..., H, W)`` shifted by whole pixels; what leaves the photo is gone, what enters is empty."""
    height, width = mask.shape[-2:]
    out = torch.zeros_like(mask)
    if abs(right) >= width or abs(down) >= height:
        return out
    rows, columns = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
    source_rows = slice(max(0, -down), height + min(0, -down))
    source_columns = slice(max(0, -right), width + min(0, -right))
    out[..., rows, columns] = mask[..., source_rows, source_columns]
    return out
