"""The Square attack's search: squares of random signs that stay if the loss falls."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from segrobust.attacks.budget import Box
from segrobust.attacks.updates.base import Probe, State

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of ten thousand steps: after each of these the squares' area is halved; fewer steps are scaled to them."""

TRIES = 10
"""Draws of a square, until one changes anything."""

Window = tuple[slice, slice, slice, slice]


def share_of(size: float, step: int, steps: int) -> float:
    """The share of the photo that a square covers: ``size``, halved after the steps of ``HALVINGS``."""
    halved = sum(step * 10_000 / max(1, steps) > when for when in HALVINGS)
    return float(size / 2**halved)


@dataclass
class Search:
    """What :class:`Squares` remembers.

    Attributes:
        loss: of the image.
        direction: the prior's gradient, when it was last asked for.
        since: the step of that.
    """

    loss: float = math.inf
    direction: Tensor | None = None
    since: int = 0


@dataclass(frozen=True)
class Squares:
    """The Square attack's step (Andriushchenko et al., ECCV 2020, algorithms 1 and 2), one query each.

    L-infinity (and ``contrast``): all of a square at a random place goes to one side of the budget, drawn for each
    channel; it stays if the loss is lower. The first step only looks at the start.
    L2 (ours; the authors move the change of one square to another): a square is added that has ``energy`` of the
    radius, and the whole change is scaled back into the ball.

    Attributes:
        size: the share of the photo that the first squares cover; 0.05, the authors' for ImageNet.
        energy: of L2 only; 0.5.
    """

    size: float = 0.05
    energy: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.size <= 1:
            raise ValueError(f"size must be in (0, 1], got {self.size}")
        if not 0 < self.energy <= 1:
            raise ValueError(f"energy must be in (0, 1], got {self.energy}")

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One query at most."""
        memory = state.of(Search)
        if state.step == 0:
            self.begin(image, probe, state)
            memory.loss = probe.loss(image)
            return memory.loss
        before = memory.loss
        candidate = self._candidate(image, probe, state)
        if candidate is not None:
            loss = probe.loss(candidate)
            if loss < before:
                memory.loss = loss
                image.copy_(candidate)
        return before

    def begin(self, image: Tensor, probe: Probe, state: State) -> None:
        """Whatever comes before the start is looked at."""

    def ups(self, image: Tensor, window: Window, probe: Probe, state: State) -> Tensor:
        """Where a square goes up, bool, of the window's shape or to be spread over it."""
        return torch.rand((1, image.shape[1], 1, 1), generator=state.generator).to(image) < 0.5

    def _candidate(self, image: Tensor, probe: Probe, state: State) -> Tensor | None:
        """The image with one square changed; None if no draw changed anything."""
        for _ in range(TRIES):
            window = draw_window(state.box, share_of(self.size, state.step, state.steps), state.generator, image)
            candidate = image.clone()
            up = self.ups(image, window, probe, state)
            if state.box.centre is None:
                candidate[window] = torch.where(up, state.box.high[window], state.box.low[window])
            else:
                side = candidate[window].numel()
                push = self.energy * state.box.radius / math.sqrt(side)
                candidate[window] += torch.where(up, push, -push)
                state.box.project_(candidate)
            if not torch.equal(candidate[window], image[window]):
                return candidate
        return None


@dataclass(frozen=True)
class GuidedSquares(Squares):
    """Squares with a prior: its signs are the start, and fill a part of the squares (ours).

    Attributes:
        walk: steps down the prior's gradient before the start is looked at; they cost no query.
        trust: the share of the squares in which every value goes where the prior's gradient says.
        renew: queries after which that gradient is asked for again, at the image as it is then.
    """

    walk: int = 10
    trust: float = 0.5
    renew: int = 50

    def __post_init__(self) -> None:
        Squares.__post_init__(self)
        if self.walk < 0 or self.renew < 1:
            raise ValueError(f"walk must be at least 0 and renew at least 1, got {self.walk} and {self.renew}")
        if not 0 <= self.trust <= 1:
            raise ValueError(f"trust must be in [0, 1], got {self.trust}")

    def begin(self, image: Tensor, probe: Probe, state: State) -> None:
        """Sign steps of a quarter of the budget (as RGA's 2/255 of 8/255), from the random start."""
        size = (state.box.epsilon if state.box.centre is None else 8 / 255) / 4
        for _ in range(self.walk):
            _, gradient = probe(image)
            state.box.step_(image, gradient, size)
            state.box.project_(image)

    def ups(self, image: Tensor, window: Window, probe: Probe, state: State) -> Tensor:
        """Against the prior's gradient, or as without one."""
        memory = state.of(Search)
        if float(torch.rand((), generator=state.generator)) >= self.trust:
            return Squares.ups(self, image, window, probe, state)
        if memory.direction is None or state.step - memory.since >= self.renew:
            _, memory.direction = probe(image)
            memory.since = state.step
        if not bool(memory.direction.any()):  # the surrogate has nothing left to gain
            return Squares.ups(self, image, window, probe, state)
        return memory.direction[window] < 0


def draw_window(box: Box, share: float, generator: torch.Generator, image: Tensor) -> Window:
    """A square of a share of the pixels that may be changed, at a random place among them."""
    top, left, height, width, count = 0, 0, int(image.shape[-2]), int(image.shape[-1]), image[0, 0].numel()
    if box.where is not None:
        rows, columns = (box.where[0, 0].any(dim).nonzero() for dim in (1, 0))
        top, left = int(rows.min()), int(columns.min())
        height, width = int(rows.max()) + 1 - top, int(columns.max()) + 1 - left
        count = int(box.where.sum())
    side = max(1, min(round(math.sqrt(share * count)), height, width))
    y = top + int(torch.randint(height - side + 1, (), generator=generator))
    x = left + int(torch.randint(width - side + 1, (), generator=generator))
    return slice(None), slice(None), slice(y, y + side), slice(x, x + side)
