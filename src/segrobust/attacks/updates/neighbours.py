"""Updates that look around: gradients from points near the image, so that the step does not fit one model alone.

All of them end in ``MomentumSign``'s step. Radii are shares of epsilon and ways are steps as ``Box.length`` has them,
so they follow the budget. Momenta are divided by the gradient's L1 norm as in the papers; where a formula needs its
size, the mean of its absolute values is taken, as in the authors' code, or a step along it would be nothing on a large
photo.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from segrobust.attacks.updates.base import Probe, State
from segrobust.attacks.updates.sign import MomentumSign


@dataclass(frozen=True)
class Nesterov(MomentumSign):
    """The gradient is taken where the momentum leads (NI-FGSM, Lin et al., ICLR 2020).

    ``x' = x - step * momentum * g``, then as ``MomentumSign``.
    """

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One step, one gradient."""
        loss, gradient = probe(ahead(self, image, state))
        self.move(image, gradient, state)
        return loss


def ahead(update: MomentumSign, image: Tensor, state: State) -> Tensor:
    """The image moved along its momentum; velocities are divided by a sum, so by their number to be of size one."""
    if state.velocity is None:
        return image
    return image.sub(state.velocity, alpha=state.box.length(update.step) * update.momentum * image.numel())


def uniform_around(image: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """A point drawn uniformly from the cube of half side ``radius`` around the image; it may leave the budget."""
    noise = 2 * torch.rand(image.shape, generator=generator) - 1
    return image + radius * noise.to(image)


@dataclass
class Variance:
    """What :class:`VarianceTuned` remembers: how the neighbours' gradient differed last time."""

    value: Tensor | None = None


@dataclass(frozen=True)
class VarianceTuned(MomentumSign):
    """Variance tuning (VMI- and VNI-FGSM, Wang and He, CVPR 2021, algorithm 1).

    With g the gradient at x and v that of the last step, ``g + v`` goes into the momentum, and
    ``v = mean of the gradients at N points in x + U(-beta epsilon, beta epsilon) - g``.

    Attributes:
        neighbours: N, 20.
        beta: radius, as a share of epsilon; 1.5.
        nesterov: all of it where the momentum leads (VNI).
    """

    neighbours: int = 20
    beta: float = 1.5
    nesterov: bool = False

    def __post_init__(self) -> None:
        MomentumSign.__post_init__(self)
        check_neighbours(self.neighbours, self.beta)

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One step, N + 1 gradients; N fewer in the last one, which no step would use."""
        memory = state.of(Variance)
        here = ahead(self, image, state) if self.nesterov else image.clone()
        loss, gradient = probe(here)
        tuned = gradient.clone() if memory.value is None else gradient + memory.value
        self.move(image, tuned, state)
        if not state.last:
            mean = mean_gradient(probe, here, self.neighbours, self.beta * state.box.epsilon, state.generator)
            memory.value = mean.sub_(gradient)
        return loss


def check_neighbours(neighbours: int, beta: float) -> None:
    """Refuse numbers that mean nothing."""
    if neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, got {neighbours}")
    if beta < 0:
        raise ValueError(f"beta must not be negative, got {beta}")


def mean_gradient(probe: Probe, image: Tensor, count: int, radius: float, generator: torch.Generator) -> Tensor:
    """The mean gradient at ``count`` points drawn uniformly around the image."""
    total = torch.zeros_like(image)
    for _ in range(count):
        total.add_(probe(uniform_around(image, radius, generator))[1])
    return total.div_(count)


@dataclass(frozen=True)
class FlatMinimum(MomentumSign):
    """Penalised gradient norm (PGN, Ge et al., NeurIPS 2023, algorithm 1).

    The mean over N points x' around x of ``(1 - delta) g(x') + delta g(x'')``, with x'' one step from x' up the loss
    that is minimised: where the loss is low and flat.

    Attributes:
        neighbours: N, 20.
        beta: their radius, as a share of epsilon; 3.
        delta: 0.5.
    """

    neighbours: int = 20
    beta: float = 3.0
    delta: float = 0.5

    def __post_init__(self) -> None:
        MomentumSign.__post_init__(self)
        check_neighbours(self.neighbours, self.beta)
        if not 0 <= self.delta <= 1:
            raise ValueError(f"delta must be in [0, 1], got {self.delta}")

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One step, 2 N gradients."""
        total, losses = torch.zeros_like(image), 0.0
        for _ in range(self.neighbours):
            near = uniform_around(image, self.beta * state.box.epsilon, state.generator)
            loss, gradient = probe(near)
            total.add_(gradient, alpha=1 - self.delta)
            way = state.box.length(self.step) / (float(gradient.abs().mean()) or 1.0)
            _, further = probe(near.add_(gradient, alpha=way))
            total.add_(further, alpha=self.delta)
            losses += loss
        self.move(image, total.div_(self.neighbours), state)
        return losses / self.neighbours


@dataclass
class Direction:
    """What :class:`EnhancedMomentum` remembers: the mean gradient of the last step, of size one."""

    value: Tensor | None = None


@dataclass(frozen=True)
class EnhancedMomentum(MomentumSign):
    """Enhanced momentum (EMI-FGSM, Wang et al., BMVC 2021, algorithm 1).

    The mean gradient at N points ``x + c step d``, with d the mean gradient of the last step and c equally spaced in
    [-radius, radius].

    Attributes:
        samples: N, 11; in the first step, which has no d, one.
        radius: 7.
    """

    samples: int = 11
    radius: float = 7.0

    def __post_init__(self) -> None:
        MomentumSign.__post_init__(self)
        check_neighbours(self.samples, self.radius)

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One step, N gradients."""
        memory = state.of(Direction)
        places = [0.0] if memory.value is None else torch.linspace(-self.radius, self.radius, self.samples).tolist()
        total, losses = torch.zeros_like(image), 0.0
        for place in places:
            shift = 0.0 if memory.value is None else memory.value * (place * state.box.length(self.step))
            loss, gradient = probe(image + shift)
            total.add_(gradient)
            losses += loss
        memory.value = total / (float(total.abs().mean()) or 1.0)
        self.move(image, total.div_(len(places)), state)
        return losses / len(places)


@dataclass
class Agreement:
    """What :class:`GradientRelevance` remembers: the last direction, and how far each value may still go."""

    signs: Tensor | None = None
    pace: Tensor | None = None


@dataclass(frozen=True)
class GradientRelevance(MomentumSign):
    """Gradient relevance (GRA, Zhu et al., ICCV 2023, algorithm 1).

    With g the gradient at x, n the mean at N points around it and s the cosine of the two, ``s g + (1 - s) n`` goes
    into the momentum. Where the direction of a value turns, its steps shrink by 0.94.

    Attributes:
        neighbours: N, 20.
        beta: radius, as a share of epsilon; 3.5.
    """

    neighbours: int = 20
    beta: float = 3.5

    decay: ClassVar[float] = 0.94

    def __post_init__(self) -> None:
        MomentumSign.__post_init__(self)
        check_neighbours(self.neighbours, self.beta)

    def __call__(self, image: Tensor, probe: Probe, state: State) -> float:
        """One step, N + 1 gradients."""
        memory = state.of(Agreement)
        loss, gradient = probe(image)
        near = mean_gradient(probe, image, self.neighbours, self.beta * state.box.epsilon, state.generator)
        alike = float(F.cosine_similarity(gradient.flatten(), near.flatten(), dim=0))
        before = image.clone()
        self.move(image, gradient.mul_(alike).add_(near, alpha=1 - alike), state)
        signs = (image - before).sign()
        if memory.pace is None or memory.signs is None:
            memory.pace = torch.full_like(image, 1 / self.decay)
            memory.signs = signs
        memory.pace.mul_(torch.where(signs == memory.signs, 1.0, self.decay))
        memory.signs = signs
        image.sub_(before).mul_(memory.pace).add_(before)
        return loss
