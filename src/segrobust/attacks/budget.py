"""Keeping a perturbation inside its budget while it is optimised, in floats; ``attacks.saving`` does it on disk."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.types import Budget

USUAL = 8 / 255
"""The L-infinity budget that step sizes are written for; under another norm a step is the same share of the budget."""

CONTRAST_WINDOW, CONTRAST_FULL, CONTRAST_LEAST = 9, 16 / 255, 0.25
"""Of the norm ``contrast``: the side of the window in pixels, the deviation of its brightness from which on the whole
of epsilon is allowed, and the share of epsilon that is allowed on a flat area."""


@dataclass(frozen=True, eq=False)
class Box:
    """The images inside a budget: between ``low`` and ``high``, both ``(1, 3, H, W)`` in [0, 1], and inside a ball.

    Attributes:
        low: the least values.
        high: the largest.
        centre: of the ball, if there is one: the original.
        radius: of the ball, in L2 and in units of the pixel range; infinite: there is none.
        epsilon: what the budget allows one value, as a share of the pixel range; L2: if all change alike.
        share: how much of epsilon and of a step each pixel takes, ``(1, 1, H, W)``; None: all of it.
        where: 1 where the image may be changed, else 0, ``(1, 1, H, W)``; None: everywhere.
    """

    low: Tensor
    high: Tensor
    centre: Tensor | None = None
    radius: float = math.inf
    epsilon: float = USUAL
    share: Tensor | None = None
    where: Tensor | None = None

    @classmethod
    def around(cls, source: Tensor, budget: Budget, where: Tensor | None = None) -> "Box":
        """The budget around ``source`` (``(1, 3, H, W)`` in [0, 1]), cut with the pixel range.

        Args:
            source: the original.
            budget: how far.
            where: ``(H, W)``: bool, only these pixels may be changed; or how much of epsilon each pixel has, in [0, 1]
                (None: all of it everywhere).
        """
        share = contrast_share(source) if budget.norm == "contrast" else None
        if where is not None and where.dtype != torch.bool:
            share = where.to(source)[None, None] * (1 if share is None else share)
            where = where > 0
        if budget.norm == "l2":
            low, high = torch.zeros_like(source), torch.ones_like(source)
        elif share is not None:
            reach = share * budget.value
            low, high = (source - reach).clamp_(min=0.0), (source + reach).clamp_(max=1.0)
        else:
            low, high = (source - budget.value).clamp_(min=0.0), (source + budget.value).clamp_(max=1.0)
        if where is None:
            inside = None
        else:
            inside = where.to(source)[None, None]
            low, high = torch.where(inside > 0, low, source), torch.where(inside > 0, high, source)
        if budget.norm == "l2":
            changing = source.numel() if inside is None else source.shape[1] * float(inside.sum())
            each = budget.value / math.sqrt(max(1, changing))
            return cls(low, high, source, budget.value, each, where=inside)
        return cls(low, high, epsilon=budget.value, share=share, where=inside)

    def project_(self, image: Tensor) -> Tensor:
        """Move ``image`` to the nearest one inside, in place."""
        if self.centre is not None:
            return self._project_into_ball_(image)
        return self._clip_(image)

    def step_(self, image: Tensor, gradient: Tensor, size: float) -> None:
        """One step of ``image`` down a gradient, in place.

        L-infinity: ``size`` against its sign, scaled with what each pixel is allowed (``contrast``). L2: along it, the
        same share of the radius as ``size`` is of 8/255.
        """
        if self.centre is not None:
            length = float(gradient.norm())
            image.add_(gradient, alpha=-size / USUAL * self.radius / length if length else 0.0)
        elif self.share is not None:
            image.addcmul_(gradient.sign(), self.share, value=-size)
        else:
            image.add_(gradient.sign(), alpha=-size)

    def length(self, size: float) -> float:
        """What a step of ``size`` is for one value, as a share of the pixel range; L2: if all change alike.

        Of a pixel that has all of epsilon, where they have different shares.
        """
        return size if self.centre is None else size / USUAL * self.epsilon

    def drift(self, source: Tensor, budget: Budget, unit: Tensor, reach: float = 1.0) -> Tensor:
        """The change that ``unit``, numbers in [-1, 1] of the image's shape, makes of a share of the budget.

        L2: a change of that length, in their direction.
        """
        unit = unit.to(source)
        if self.centre is not None:
            inside = unit if self.where is None else unit * self.where
            return inside * (reach * self.radius / max(float(inside.norm()), 1e-12))
        drift = unit * (reach * budget.value)
        return drift if self.share is None else drift * self.share

    def _clip_(self, image: Tensor) -> Tensor:
        torch.maximum(image, self.low, out=image)
        return torch.minimum(image, self.high, out=image)

    def _project_into_ball_(self, image: Tensor) -> Tensor:
        """The nearest image in ball and box is the box's nearest to one on the way to the centre: found by bisection.

        From the optimality conditions: ``clip(centre + s * (image - centre))`` with the s in [0, 1] that reaches the
        sphere; its distance grows with s.
        """
        assert self.centre is not None
        change = image - self.centre
        image.copy_(self._clip_(image.clone()))
        if float((image - self.centre).norm()) <= self.radius:
            return image
        low, high = 0.0, 1.0
        guess = min(1.0, self.radius / float(change.norm()))
        for _ in range(40):
            image.copy_(change).mul_(guess).add_(self.centre)
            reached = float((self._clip_(image) - self.centre).norm())
            if reached <= self.radius:
                low = guess
                if guess == 1 or reached >= self.radius * (1 - 1e-5):
                    return image
            else:
                high = guess
            # Where nothing is cut the distance is proportional to s, which is nearly so in most photos.
            guess = guess * self.radius * (1 - 5e-6) / max(reached, 1e-30)
            if not low < guess < high:
                guess = (low + high) / 2
        image.copy_(change).mul_(low).add_(self.centre)
        return self._clip_(image)


def contrast_share(source: Tensor) -> Tensor:
    """What share of epsilon the norm ``contrast`` allows each pixel, ``(1, 1, H, W)`` in [0.25, 1].

    Texture hides changes that a flat area shows (contrast masking: Legge and Foley, J. Opt. Soc. Am. 1980; the texture
    term of Chou and Li's just noticeable difference, IEEE TCSVT 1995). Here: the standard deviation of the brightness
    in a window of 9 x 9 pixels over 16 levels, between a quarter and one. Epsilon stays the largest change there is.

    Args:
        source: the original, ``(1, 3, H, W)`` in [0, 1].
    """
    # In double: a variance is a small difference of large numbers, and every device must find the same one.
    grey = source.detach().double().cpu().mean(1, keepdim=True)
    margin = CONTRAST_WINDOW // 2
    padded = F.pad(grey, (margin,) * 4, mode="replicate")
    mean, square = (F.avg_pool2d(values, CONTRAST_WINDOW, stride=1) for values in (padded, padded.square()))
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    return (deviation / CONTRAST_FULL).clamp(CONTRAST_LEAST, 1.0).to(source)
