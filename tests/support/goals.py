"""A goal with a known optimum, on a segmenter whose features are the pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective, Seen


@dataclass(frozen=True)
class LinearGoal:
    """``sum(weight of the channel * features)``: every value goes against its channel's sign as far as it may.

    The weights are the same everywhere, so that moving the photo about changes no sign.
    """

    weights: tuple[float, float, float] = (3.0, -4.0, 1.0)
    needs: tuple[str, ...] = ()

    def __call__(self, scene: Scene) -> Objective:
        weights = torch.tensor(self.weights).view(1, 3, 1, 1)

        def objective(seen: Seen) -> Tensor:
            return (seen.features * weights).sum((1, 2, 3))

        return objective
