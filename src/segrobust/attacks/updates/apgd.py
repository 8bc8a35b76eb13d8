"""APGD: a step size that halves itself when progress stops."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from segrobust.attacks.budget import USUAL
from segrobust.attacks.updates.base import Probe, State


def checkpoints(steps: int) -> frozenset[int]:
    """The steps after which APGD looks back, of a run of so many (Croce and Hein, section 3).

    ``w_j = ceil(p_j steps)`` with p_0 = 0, p_1 = 0.22, ``p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06)``.
    """
    before, here, found = 0, 22, []  # in hundredths: 0.57 times 100 is no whole number in floats
    while here <= 100:
        found.append(-(-here * steps // 100))
        before, here = here, here + max(here - before - 3, 6)
    return frozenset(found)


@dataclass
class Progress:
    """What :class:`AutoStep` remembers; sizes are in epsilons."""

    size: float = 0.0
    before: Tensor | None = None
    best: Tensor | None = None
    best_loss: float = math.inf
    best_gradient: Tensor | None = None
    last_loss: float = math.inf
    improved: int = 0
    since: int = 0
    size_then: float = 0.0
    best_then: float = math.inf


@dataclass(frozen=True)
class AutoStep:
    """Auto-PGD (Croce and Hein, ICML 2020, algorithm 1), with the paper's constants.

    ``z = P(x - size sign(G))``, ``x <- P(x + a (z - x) + (1 - a) (x - x_before))``. The first size is twice epsilon. At
    the checkpoints it is halved, and the search goes on from the best point, if fewer than ``rho`` of the steps since
    the last one improved the loss, or if neither the size nor the best loss has changed since. The result is the best
    point. After going back there is no momentum at first. With random views "best" is as random as its views.

    Attributes:
        momentum: a, 0.75.
        rho: 0.75.
        compares_losses: of different steps, so they must be of one objective.
    """

    momentum: float = 0.75
    rho: float = 0.75
    compares_losses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {self.momentum}")
        if not 0 <= self.rho <= 1:
            raise ValueError(f"rho must be in [0, 1], got {self.rho}")

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One gradient and a step; in the last one, back to the best point."""
        memory = state.of(Progress)
        loss, gradient = probe(image)
        if state.step == 0:
            memory.size = memory.size_then = 2.0
        memory.improved += state.step > 0 and loss < memory.last_loss
        memory.last_loss = loss
        if loss < memory.best_loss:
            memory.best, memory.best_loss, memory.best_gradient = image.clone(), loss, gradient.clone()
        if state.last and memory.best is not None:
            image.copy_(memory.best)
            return loss
        if state.step in checkpoints(state.steps):
            gradient = self._look_back(image, gradient, memory, state)
        self._move(image, gradient, memory, state)
        return loss

    def _look_back(self, image: Tensor, gradient: Tensor, memory: Progress, state: State) -> Tensor:
        """Halve the size and go back to the best point, if progress has stopped; the gradient to go on with."""
        slow = memory.improved < self.rho * (state.step - memory.since)
        stuck = memory.size_then == memory.size and memory.best_then <= memory.best_loss
        memory.size_then, memory.best_then = memory.size, memory.best_loss
        memory.improved, memory.since = 0, state.step
        if not (slow or stuck) or memory.best is None or memory.best_gradient is None:
            return gradient
        memory.size /= 2
        memory.before = None
        memory.last_loss = memory.best_loss
        image.copy_(memory.best)
        return memory.best_gradient

    def _move(self, image: Tensor, gradient: Tensor, memory: Progress, state: State) -> None:
        before, memory.before = memory.before, image.clone()
        pushed = image.clone()
        # In L2 a step of the size USUAL is one of the whole radius.
        unit = state.box.epsilon if state.box.centre is None else USUAL
        state.box.step_(pushed, gradient, memory.size * unit)
        state.box.project_(pushed)
        if before is None:
            image.copy_(pushed)
        else:
            image.mul_(2 - 2 * self.momentum).add_(pushed, alpha=self.momentum).sub_(before, alpha=1 - self.momentum)
