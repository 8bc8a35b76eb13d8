"""Updates that ask several times: against randomness (EOT), and where the loss stays low under a reverse push (RAP)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from segrobust.attacks.updates.base import Probe, State
from segrobust.attacks.updates.neighbours import uniform_around
from segrobust.attacks.updates.sign import MomentumSign


@dataclass(frozen=True)
class Expectation(MomentumSign):
    """The mean of several gradients at one point, against targets that draw (EOT, Athalye et al., ICML 2018).

    Attributes:
        draws: gradients for a step.
    """

    draws: int = 10

    def __post_init__(self) -> None:
        MomentumSign.__post_init__(self)
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, got {self.draws}")

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One step, as many gradients as draws."""
        total, losses = torch.zeros_like(image), 0.0
        for _ in range(self.draws):
            loss, gradient = probe(image)
            total.add_(gradient)
            losses += loss
        self.move(image, total.div_(self.draws), state)
        return losses / self.draws


@dataclass(frozen=True)
class ReversePush(MomentumSign):
    """Reverse adversarial perturbation (RAP, Qin et al., NeurIPS 2022, algorithm 1).

    From the late start on, the gradient is taken at the image plus a perturbation that raises the loss: some sign steps
    up from a random point, within a ball of its own. So the loss becomes low in a whole region.

    Attributes:
        late: share of the steps before it begins; 0.25 (the authors: 100 of 400).
        inner: steps of the reverse perturbation; 8.
        reach: its ball, as a share of epsilon; 1. Its steps are the ball's radius over ``inner``, as the authors' 2 of
            16 levels.
    """

    late: float = 0.25
    inner: int = 8
    reach: float = 1.0

    def __post_init__(self) -> None:
        MomentumSign.__post_init__(self)
        if not 0 <= self.late <= 1:
            raise ValueError(f"late must be in [0, 1], got {self.late}")
        if self.inner < 1:
            raise ValueError(f"inner must be at least 1, got {self.inner}")
        if self.reach < 0:
            raise ValueError(f"reach must not be negative, got {self.reach}")

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One step, one gradient; from the late start on ``inner`` more."""
        here = image
        if state.step >= self.late * state.steps:
            here = self._worst_around(image, probe, state)
        loss, gradient = probe(here)
        self.move(image, gradient, state)
        return loss

    def _worst_around(self, image: Tensor, probe: Probe, state: State) -> Tensor:
        radius = self.reach * state.box.epsilon
        low, high = image - radius, image + radius
        point = uniform_around(image, radius, state.generator)
        for _ in range(self.inner):
            _, gradient = probe(point)
            point.add_(gradient.sign_(), alpha=radius / self.inner)
            torch.minimum(torch.maximum(point, low, out=point), high, out=point)
        return point
