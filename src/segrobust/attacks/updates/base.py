"""From gradients to a step: what every update is given and what it remembers.

An update is a frozen setting. It asks a probe for gradients, wherever it likes and as often as it likes, and then
changes the image; the loop projects into the budget afterwards.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from segrobust.attacks.budget import Box

M = TypeVar("M")


class Probe(Protocol):
    """Asks the model about an image; counts what it costs."""

    def __call__(self, image: Tensor) -> tuple[float, Tensor]:
        """Mean loss over fresh views of ``image`` ``(1, 3, H, W)`` and its gradient, which may be overwritten.

        The image may lie outside the budget.
        """
        ...

    def loss(self, image: Tensor) -> float:
        """The loss of the plain image, without views or gradient: one forward pass."""
        ...


@dataclass
class State:
    """What an update knows beside the image, and carries from step to step.

    Attributes:
        box: the budget.
        steps: of the whole run.
        step: the number of this one, from 0.
        generator: what the update draws from; on the CPU.
        velocity: momentum.
        memory: whatever else this kind of update remembers, see :meth:`of`.
    """

    box: Box
    steps: int = 1
    step: int = 0
    generator: torch.Generator = field(default_factory=torch.Generator)
    velocity: Tensor | None = None
    memory: Any = None

    @property
    def last(self) -> bool:
        """This is the last step."""
        return self.step == self.steps - 1

    def of(self, kind: type[M]) -> M:
        """What an update of this kind remembers: made, without arguments, when it is first asked for."""
        if not isinstance(self.memory, kind):
            self.memory = kind()
        return self.memory


class Update(Protocol):
    """A rule that changes the image."""

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """Change ``image`` ``(1, 3, H, W)`` in place and give its loss before that; the loop projects afterwards."""
        ...
