"""Losses of what the encoder's inner layers see: TAP, ILPD, AA, PATA and UAD's pair of cosines.

All are functions of several layers at once. A layer's features are ``(n, ...)``: what follows the n differs between
encoders (tokens last, channels first, coarser with depth), and nothing here depends on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.attacks.seen import Seen
from segrobust.models.base import Observed

Stack = tuple[Tensor, ...]
"""One tensor for each layer, in the order of the layers."""

TINY = 1e-12


def look(seen: Seen | Observed, layers: Sequence[int]) -> Stack:
    """What an objective compares: the inner layers it asked for, or the final embedding if it asked for none."""
    return tuple(seen.layers[index] for index in layers) or (seen.features,)


def followed(seen: Seen, targets: Sequence[Tensor]) -> Stack:
    """Targets of the unmoved photo, moved as the views were; themselves where nothing moved."""
    return tuple(seen.follow(target) for target in targets)


def root(features: Tensor) -> Tensor:
    """TAP's power normalisation ``sign(z) |z|^0.5`` (Zhou et al., ECCV 2018).

    Its slope at 0 is infinite; here it is 0 there, so that layers after a ReLU, which are 0 in many places, give a
    gradient at all.
    """
    return features.sign() * features.abs().clamp(min=TINY).sqrt()


def distance(features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Euclidean distance of all layers as one long vector, ``(n,)``; where it is 0 its gradient is 0."""
    pairs = zip(features, targets, strict=True)
    squares = sum((f - t).flatten(1).square().sum(1) for f, t in pairs)
    return torch.as_tensor(squares).clamp(min=TINY).sqrt()


def mean_cosine(features: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Mean over the layers of the cosine of a whole layer's features, ``(n,)``."""
    pairs = zip(features, targets, strict=True)
    return torch.stack([F.cosine_similarity(f.flatten(1), t.flatten(1), dim=1) for f, t in pairs]).mean(0)


def dominance(features: Sequence[Tensor], rivals: Sequence[Tensor]) -> Tensor:
    """PATA's feature dominance R: how much more of the sum of two images' features is the first one's.

    ``R = mean over layers of cos(f, f + c) - cos(c, f + c)`` (Zhang et al., CVPR 2020, through the PATA baseline of
    UAD's code), with f the adversarial image's and c the competing image's features.
    """
    sums = [f + c for f, c in zip(features, rivals, strict=True)]
    own = mean_cosine(features, sums)
    return own - mean_cosine([c.expand_as(s) for c, s in zip(rivals, sums, strict=True)], sums)


@dataclass(frozen=True, eq=False)
class LeaveInner:
    """Push the inner features away from the photo's: TAP and ILPD as UAD's authors have them as baselines.

    ``-|| T(m) - T(f(x)) ||_2`` with T the power normalisation and ``m = (1 - decay) f(x') + decay f(x)``: TAP is
    decay 0, ILPD decay 0.5. TAP's further term is :class:`SmoothResidual`.

    Attributes:
        clean: f(x), one ``(1, ...)`` for each layer.
        layers: their indices; none = the final embedding.
        decay: share of the clean features in the mix, in [0, 1).
    """

    clean: Stack
    layers: tuple[int, ...] = ()
    decay: float = 0.0

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        mixed, clean = look(seen, self.layers), followed(seen, self.clean)
        if self.decay:
            mixed = tuple((1 - self.decay) * f + self.decay * c for f, c in zip(mixed, clean, strict=True))
        return -distance([root(f) for f in mixed], [root(c) for c in clean])


@dataclass(frozen=True, eq=False)
class ApproachInner:
    """Pull the inner features to another image's, and let them dominate a rival's: AA and PATA.

    ``|| f(x') - f(t) ||_2 - dominance * R(f(x'), f(c))`` (AA: Inkawhich et al., CVPR 2019; R: :func:`dominance`).

    Attributes:
        target: f(t), one ``(1, ...)`` for each layer.
        rival: f(c); None with dominance 0 (AA).
        layers: their indices; none = the final embedding, which is what PATA's paper attacks.
        dominance: lambda; the authors' code has 0.1.
        scale: what the distance is divided by. 1 is the authors' code, where the distance is in the thousands and R
            below 1, so that R hardly counts; the distance of the photo from the target makes it scale-free.
    """

    target: Stack
    rival: Stack | None = None
    layers: tuple[int, ...] = ()
    dominance: float = 0.0
    scale: float = 1.0

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        features = look(seen, self.layers)
        loss = distance(features, followed(seen, self.target)) / self.scale
        if self.rival is not None and self.dominance:
            loss = loss - self.dominance * dominance(features, followed(seen, self.rival))
        return loss


@dataclass(frozen=True, eq=False)
class AwayAndTowardInner:
    """UAD's attack loss: ``mean_l cos(f_l(x'), f_l(x)) - weight * mean_l cos(f_l(x'), f_l(target))``.

    Attributes:
        source: f(x), one ``(1, ...)`` for each layer: to be left.
        target: f of the deformed photo: to be approached; None with weight 0.
        layers: their indices; none = the final embedding.
        weight: of the second cosine; the authors' code has 1.
    """

    source: Stack
    target: Stack | None
    layers: tuple[int, ...] = ()
    weight: float = 1.0

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        features = look(seen, self.layers)
        loss = mean_cosine(features, followed(seen, self.source))
        if self.target is None or self.weight == 0:
            return loss
        return loss - self.weight * mean_cosine(features, followed(seen, self.target))
