"""One probe of several: the gradients of an ensemble's members, which share an attack."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segrobust.attacks.loop import Trace
from segrobust.attacks.updates.base import Probe
from segrobust.models.ensemble_names import ADAPTIVE, ALTERNATE, MEAN, check_rule

SHARPNESS = 4.0
"""How strongly the adaptive rule prefers members that were moved less (ours)."""


@dataclass(eq=False)
class Together:
    """A probe that asks several, each of which counts its passes itself.

    The members' losses have different scales, so their gradients are combined by direction: each is divided by its L1
    norm, and the (weighted) mean multiplied by the mean of these norms, so that members that agree give what one of
    them gives. The loss is the mean of the members' own.

    - ``mean``: all members, with equal weights (the ensemble of Liu et al., ICLR 2017, arXiv 1611.02770, in gradients).
    - ``adaptive``: all, weighted by ``softmax(-4 p)`` with the progress ``p = (l0 - l) / (|l0| + |l|)`` in [-1, 1] of
      each member's loss since it was first asked: a smooth form of the min-max over models (Wang et al., NeurIPS 2021,
      arXiv 1906.03563), whose weights follow the losses. Ours: that measure of progress, which no scale of a loss
      changes.
    - ``alternate``: step t asks member ``t mod n`` alone, however often the update asks in it. A member that is asked
      is not told of the others' steps but by the image.

    Attributes:
        members: the probes.
        trace: the run's; its losses number the steps.
        rule: as above.
        began: every member's loss when it was first asked.
    """

    members: Sequence[Probe]
    trace: Trace
    rule: str = MEAN
    began: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_rule(self.rule)

    def __call__(self, image: Tensor) -> tuple[float, Tensor]:
        """See ``Probe``.

        Raises:
            GradientError: as the members do.
        """
        if self.rule == ALTERNATE:
            return self.members[len(self.trace.loss) % len(self.members)](image)
        losses, gradients, sizes = [], [], []
        for member in self.members:
            loss, gradient = member(image)
            losses.append(loss)
            gradients.append(gradient)
            sizes.append(float(gradient.double().abs().sum()))
        weights, size = self._weights(losses), math.fsum(sizes) / len(sizes)
        total = torch.zeros_like(gradients[0])
        for weight, gradient, own in zip(weights, gradients, sizes, strict=True):
            total.add_(gradient, alpha=weight * size / (own or 1.0))
        return math.fsum(losses) / len(losses), total

    def loss(self, image: Tensor) -> float:
        """The mean of all members' losses, whatever the rule."""
        return math.fsum(member.loss(image) for member in self.members) / len(self.members)

    def _weights(self, losses: Sequence[float]) -> list[float]:
        """Of the members; they add up to 1."""
        if self.rule != ADAPTIVE:
            return [1 / len(losses)] * len(losses)
        self.began = self.began or list(losses)
        pairs = zip(self.began, losses, strict=True)
        progress = [(began - now) / (abs(began) + abs(now) or 1.0) for began, now in pairs]
        powers = [math.exp(-SHARPNESS * p) for p in progress]
        return [power / math.fsum(powers) for power in powers]
