"""ILPD of its paper: what an attack changes is made small again inside the network, and the gradient taken there.

Intermediate-level perturbation decay (Li et al., NeurIPS 2023, arXiv 2304.13410): with ``h`` the output of an inner
layer, ``g`` the rest of the network, the loss is that of ``g(keep h(x') + (1 - keep) h(x + noise))``. So the gradient
is that of the final objective, taken where the layers after ``h`` see a small part of the perturbation. What UAD's
authors call ILPD is another loss, see ``inner.LeaveInner``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from segrobust.attacks.objectives.depths import inner_layers
from segrobust.attacks.scene import Goal, Scene
from segrobust.attacks.seen import Objective, Seen, layers_of
from segrobust.errors import UsageError
from segrobust.models.base import WhiteBox


@dataclass(frozen=True)
class DecayInside:
    """Any goal, with the perturbation decayed at one inner layer.

    Attributes:
        goal: what is to be reached at the end of the network.
        block: the layer, of an encoder of ``of`` blocks, see ``depths.inner_layers``.
        of: see there.
        keep: gamma, the share of the attacked features; 1 is no decay.
        sigma: of the normal noise on the photo whose features are the rest, in units of the pixel range.
    """

    goal: Goal
    block: int = 5
    of: int = 12
    keep: float = 0.1
    sigma: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise UsageError(f"keep must be in (0, 1], got {self.keep}")
        if self.sigma < 0:
            raise UsageError(f"sigma must not be negative, got {self.sigma}")

    @property
    def needs(self) -> tuple[str, ...]:
        """An inner layer, and what the goal needs."""
        return tuple(dict.fromkeys(("layers", *self.goal.needs)))

    def __call__(self, scene: Scene) -> Objective:
        """The objective.

        Raises:
            CapabilityError: the model shows no inner layers.
        """
        (layer,) = inner_layers(scene.segmenter, (self.block,), self.of)
        scene.notes.append(f"decayed at inner layer {layer} of 0 to {scene.segmenter.depth - 1}")
        draw = scene.torch_stream("noise on the photo")

        def noisy() -> Tensor:
            noise = torch.randn(scene.source.shape, generator=draw).to(scene.source)
            scene.encoded += 1
            return scene.segmenter.prepare(scene.segmenter.resize(scene.source + self.sigma * noise))

        return Decayed(self.goal(scene), scene.segmenter, layer, self.keep, noisy)


@dataclass(eq=False)
class Decayed:
    """An objective whose gradients are taken with a layer decayed; its loss alone is that of the network as it is.

    Attributes:
        objective: of the network's end.
        segmenter: the model.
        layer: number of its inner layer.
        keep: share of the attacked features.
        noisy: makes the other picture, as the model's input ``(1, 3, S, S)``; asked once for every gradient.
    """

    objective: Objective
    segmenter: WhiteBox
    layer: int
    keep: float
    noisy: Callable[[], Tensor]
    _rest: Tensor | None = field(default=None, init=False)

    @property
    def layers(self) -> tuple[int, ...]:
        """The objective's."""
        return layers_of(self.objective)

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        return self.objective(seen)

    @contextmanager
    def during(self, first: int) -> Iterator[None]:
        """See ``seen.during``: inside, the layer gives the mix.

        Args:
            first: number of the first view that is encoded inside; with 0 a new gradient begins.
        """
        if first == 0 or self._rest is None:
            self._rest = self._look()
        rest = self._rest
        with self.segmenter.edited(self.layer, lambda features: self.keep * features + (1 - self.keep) * rest):
            yield

    @torch.no_grad()
    def _look(self) -> Tensor:
        seen: list[Tensor] = []

        def note(features: Tensor) -> Tensor:
            seen.append(features)
            return features

        with self.segmenter.edited(self.layer, note):
            self.segmenter.encode(self.noisy())
        return seen[-1]
