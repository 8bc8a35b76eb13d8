"""What is pushed where: functions of what the model sees, one value per view, minimised by the loop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from segrobust.attacks.seen import Seen


def flat_cosine(features: Tensor, target: Tensor) -> Tensor:
    """Cosine of whole embeddings, each flattened to one vector: ``(n, C, h, w)``, and one or n targets, to ``(n,)``."""
    return F.cosine_similarity(features.flatten(1), target.flatten(1), dim=1)


def token_cosine(features: Tensor, target: Tensor) -> Tensor:
    """Mean over the tokens of the cosine of each token: no token counts more because its vector is longer."""
    return F.cosine_similarity(features, target, dim=1).mean((1, 2))


def negative_l2(features: Tensor, target: Tensor) -> Tensor:
    """Minus the squared distance of whole embeddings, as a share of the target's squared length."""
    return -(features - target).square().sum((1, 2, 3)) / target.square().sum((1, 2, 3))


SIMILARITIES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": flat_cosine,
    "token-cosine": token_cosine,
    "l2": negative_l2,
}
"""How alike two embeddings are, by name; ``cosine`` is RGA's."""


@dataclass(frozen=True, eq=False)
class AwayAndToward:
    """RGA's loss: ``s(y_a, y_s) - weight * s(y_a, y_g)``, minimised, with s the cosine unless told otherwise.

    Attributes:
        source: y_s, the clean embedding ``(1, C, h, w)``: to be left.
        guide: y_g, the guide's embedding: to be approached; None with weight 0 (untargeted).
        weight: lambda.
        similarity: a name from ``SIMILARITIES``.
    """

    source: Tensor
    guide: Tensor | None
    weight: float
    similarity: str = "cosine"

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)`` of n views; both targets follow views that say how they moved the photo."""
        alike = SIMILARITIES[self.similarity]
        away = alike(seen.features, seen.follow(self.source))
        if self.guide is None or self.weight == 0:
            return away
        return away - self.weight * alike(seen.features, seen.follow(self.guide))
