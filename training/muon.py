"""Muon (Jordan et al., 2024) for matrices and convolutions, Adam for the rest, in one optimiser.

Muon replaces the momentum of a weight matrix by its nearest semi-orthogonal matrix, so every direction learns at the
same speed. Scaled as in Liu et al. (arXiv 2502.16982), so that Adam's learning rates fit both.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrix; singular values end in about [0.7, 1.2]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class MuonAdam(torch.optim.Optimizer):
    """Groups with ``muon=True`` are updated by Muon, the others by Adam; weight decay is decoupled in both."""

    def __init__(
        self, params: Any, lr: float, momentum: float = 0.95, betas: tuple[float, float] = (0.9, 0.99)
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "betas": betas, "weight_decay": 0.0, "muon": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                change = self._muon(parameter, group) if group["muon"] else self._adam(parameter, group)
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-group["lr"])

    def _muon(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        gradient = parameter.grad
        assert gradient is not None
        if not state:
            state["velocity"] = torch.zeros_like(parameter)
        velocity = state["velocity"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(velocity, group["momentum"])  # Nesterov
        matrix = ahead.reshape(ahead.shape[0], -1)
        return (0.2 * max(matrix.shape) ** 0.5 * orthogonalise(matrix)).reshape(parameter.shape)

    def _adam(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        gradient = parameter.grad
        assert gradient is not None
        if not state:
            state.update(count=torch.tensor(0), mean=torch.zeros_like(parameter), square=torch.zeros_like(parameter))
        first, second = group["betas"]
        state["count"] += 1
        count = int(state["count"])
        mean, square = state["mean"].lerp_(gradient, 1 - first), state["square"].lerp_(gradient.square(), 1 - second)
        return (mean / (1 - first**count)) / ((square / (1 - second**count)).sqrt() + 1e-8)
