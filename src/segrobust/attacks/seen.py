"""What an objective looks at: views of the image, as the model sees them."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor

from segrobust.attacks.motion import Motion, centres, sample
from segrobust.models.base import Embedding, Prediction, WhiteBox
from segrobust.models.geometry import Geometry
from segrobust.types import Prompts


@dataclass(frozen=True, eq=False)
class Seen:
    """n views of one image, encoded; everything is differentiable to the pixels.

    Attributes:
        features: ``(n, C, h, w)``, the embedding that prompts are answered on.
        layers: the inner layers that the objective asks for in its attribute ``layers``, ``(n, C, h, w)`` each.
        extra: what else the family's decoder needs.
        segmenter: the model; None in a test of an objective of features alone.
        geometry: how the photo lies in the model's input.
        motion: how the views moved the photo's content, if they did and say so.
        first: the number of the first of these views among ``count``, where they are encoded part by part.
        count: of all views of this gradient.
        inputs: what was encoded, ``(n, 3, S, S)``; None in a test of an objective of features alone.
    """

    features: Tensor
    layers: Mapping[int, Tensor] = field(default_factory=dict)
    extra: tuple[Tensor, ...] = ()
    segmenter: WhiteBox | None = None
    geometry: Geometry | None = None
    motion: Motion | None = None
    first: int = 0
    count: int = 0
    inputs: Tensor | None = None

    def __len__(self) -> int:
        return int(self.features.shape[0])

    def follow(self, target: Tensor) -> Tensor:
        """A map ``(1, C, h, w)`` of the unmoved photo, moved as each view was: ``(n, C, h, w)``.

        The map itself where nothing says that it moved. A spatial target that stayed behind would be compared with
        other places of the photo.
        """
        if self.motion is None:
            return target
        height, width = target.shape[-2:]
        points = self.motion(centres(self.count or len(self), (height, width), target))
        return sample(target, points[self.first : self.first + len(self)])

    def decode(self, prompts: Prompts, *, multimask: bool = False) -> tuple[Prediction, ...]:
        """The model's answers to prompts, in pixels of the photo, on each of the n views.

        Args:
            prompts: are not moved with the views.
            multimask: three masks for each prompt instead of one.
        """
        assert self.segmenter is not None, "these features were seen by no model"
        assert self.geometry is not None
        answers = []
        for i in range(len(self)):
            extra = tuple(part[i : i + 1] for part in self.extra)
            one = Embedding(self.features[i : i + 1], self.geometry, extra)
            answers.append(self.segmenter.masks(one, prompts, multimask=multimask))
        return tuple(answers)


Objective = Callable[[Seen], Tensor]
"""Views to losses ``(n,)``, minimised by the loop.

An objective that looks at inner layers has an attribute ``layers``, their numbers. One that draws takes each view's
numbers apart from its generator: views may come part by part, and that must not change a number. One that changes what
the network computes has a method ``during``, see :func:`during`.
"""


def layers_of(objective: Objective) -> tuple[int, ...]:
    """The inner layers that an objective asks for."""
    return tuple(getattr(objective, "layers", ()))


def during(objective: Objective, first: int) -> AbstractContextManager[None]:
    """The context in which views are encoded for an objective's gradient; most objectives leave the network as it is.

    Args:
        objective: its method ``during(first)`` gives the context, if it has one.
        first: number of the first of these views.
    """
    own = getattr(objective, "during", None)
    return nullcontext() if own is None else cast("AbstractContextManager[None]", own(first))
