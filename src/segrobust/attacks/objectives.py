"""What is pushed where: functions of an embedding, one value per image, minimised by the loop."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

Objective = Callable[[Tensor], Tensor]
"""Features ``(n, C, h, w)`` to losses ``(n,)``."""


def flat_cosine(features: Tensor, target: Tensor) -> Tensor:
    """Cosine of whole embeddings, each flattened to one vector: ``(n, C, h, w)`` and ``(1, C, h, w)`` to ``(n,)``."""
    return F.cosine_similarity(features.flatten(1), target.flatten(1), dim=1)


@dataclass(frozen=True, eq=False)
class AwayAndToward:
    """RGA's loss: ``cos(y_a, y_s) - weight * cos(y_a, y_g)``, minimised.

    Attributes:
        source: y_s, the clean embedding ``(1, C, h, w)``: to be left.
        guide: y_g, the guide's embedding: to be approached; None with weight 0 (untargeted).
        weight: lambda.
    """

    source: Tensor
    guide: Tensor | None
    weight: float

    def __call__(self, features: Tensor) -> Tensor:
        """Losses ``(n,)`` of features ``(n, C, h, w)``."""
        away = flat_cosine(features, self.source)
        if self.guide is None or self.weight == 0:
            return away
        return away - self.weight * flat_cosine(features, self.guide)
