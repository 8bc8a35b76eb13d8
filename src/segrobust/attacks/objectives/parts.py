"""A loss that is a mean over parts, each of which is differentiated before the next one is computed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from segrobust.attacks.loop import LOSS_SCALE
from segrobust.attacks.seen import Seen

P = TypeVar("P")


def averaged(loss: Callable[[Seen, P], Tensor], seen: Seen, parts: Sequence[P], count: int) -> Tensor:
    """The sum of a loss over parts, by a count: ``(n,)``; differentiable to the features and what else is decoded.

    What a part keeps for its gradient is gone before the next part is computed, and nothing is computed twice, as it
    would be under gradient checkpointing. It takes a loss of each view that depends on that view alone.

    Args:
        loss: of n views and one part, ``(n,)``.
        seen: the views.
        parts: what it is summed over.
        count: what the sum is divided by.
    """
    return cast(Tensor, _Mean.apply(loss, seen, parts, count, seen.features, *seen.extra))  # type: ignore[no-untyped-call]


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, loss: Callable[[Seen, P], Tensor], seen: Seen, parts: Sequence[P], count: int, *shown: Tensor
    ) -> Tensor:
        wanted = [tensor.requires_grad for tensor in shown]
        total = torch.zeros(len(seen), device=shown[0].device)
        slopes: list[list[Tensor | None]] = []
        for part in parts:
            with torch.enable_grad():
                leaves = [tensor.detach().requires_grad_(w) for tensor, w in zip(shown, wanted, strict=True)]
                losses = loss(replace(seen, features=leaves[0], extra=tuple(leaves[1:])), part)
                scaled = (losses / count).sum() * LOSS_SCALE  # as the loop scales what it differentiates
            asked = [leaf for leaf in leaves if leaf.requires_grad]
            found = iter(torch.autograd.grad(scaled, asked, allow_unused=True) if asked else ())
            slopes.append([next(found) if leaf.requires_grad else None for leaf in leaves])
            total += losses.detach()
        # The last part first, as autograd itself adds them up: the sum is the same to the last digit.
        ctx.slopes = [_added(column[::-1]) for column in zip(*slopes, strict=True)]
        return total / count

    @staticmethod
    def backward(ctx: Any, *slope: Tensor) -> tuple[Tensor | None, ...]:
        (outer,) = slope
        views = [
            None if s is None else s * (outer / LOSS_SCALE).view(-1, *[1] * (s.ndim - 1)).to(s) for s in ctx.slopes
        ]
        return (None, None, None, None, *views)


def _added(slopes: Sequence[Tensor | None]) -> Tensor | None:
    total: Tensor | None = None
    for slope in slopes:
        if slope is not None:
            total = slope if total is None else total + slope
    return total
