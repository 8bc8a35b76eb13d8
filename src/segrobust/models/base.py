"""What every segmenter offers, whatever its family."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segrobust.errors import CapabilityError
from segrobust.models.geometry import Geometry, to_tensor
from segrobust.models.values import Capabilities, Embedding, EverythingSettings, Observed, Prediction
from segrobust.types import Floats, Image, Masks, Prompts

__all__ = [
    "Capabilities",
    "Embedding",
    "EverythingFirst",
    "EverythingSettings",
    "Multimask",
    "Observed",
    "Prediction",
    "Promptable",
    "Segmenter",
    "WhiteBox",
    "check_layers",
    "prompt_arrays",
    "require_multimask",
    "require_white_box",
]


@runtime_checkable
class Segmenter(Protocol):
    """A model that can be scored: it answers prompts on a photo. A black box needs no more than this.

    Attributes:
        name: for tables.
        capabilities: what it can do.
        everything: its segment-everything settings.
    """

    name: str
    capabilities: Capabilities
    everything: EverythingSettings

    def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
        """One mask for each prompt, points first, then boxes, at the photo's resolution; nothing found = empty mask.

        Args:
            image: the photo.
            prompts: in its pixels; each is answered on its own.
            rule: which mask, where a prompt has several: ``single`` (the model's one answer) or ``best`` (the highest
                predicted IoU of all it gives).
        """
        ...


@runtime_checkable
class EverythingFirst(Segmenter, Protocol):
    """A segmenter that finds all masks by itself (FastSAM), instead of being asked at a grid of points."""

    def find_masks(self, image: Image, settings: EverythingSettings) -> Masks:
        """All masks on the photo, best first. Settings that mean nothing to the family are ignored."""
        ...


@runtime_checkable
class Multimask(Segmenter, Protocol):
    """A segmenter that shows all masks it has for a prompt, so that somebody else may choose."""

    def candidates(self, image: Image, prompts: Prompts) -> tuple[Masks, ...]:
        """Several times an answer to every prompt, each like ``answer``'s; a prompt's may be equal, or empty.

        Raises:
            CapabilityError: a wrapper, of a model that does not show them.
        """
        ...


@runtime_checkable
class Promptable(Multimask, Protocol):
    """A segmenter that embeds a photo once and then answers any number of prompts on the embedding.

    A family that inherits from this class gets ``answer`` and ``candidates`` from ``embed`` and ``masks``.
    """

    def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
        """See ``Segmenter.answer``."""
        with torch.no_grad():
            embedding = self.embed(to_tensor(image.pixels)[None])
            return self.masks(embedding, prompts, multimask=rule != "single").choose(rule)

    def candidates(self, image: Image, prompts: Prompts) -> tuple[Masks, ...]:
        """See ``Multimask.candidates``."""
        with torch.no_grad():
            embedding = self.embed(to_tensor(image.pixels)[None])
            return self.masks(embedding, prompts, multimask=True).candidates()

    def embed(self, images: Tensor) -> Embedding:
        """Embed original-resolution photos ``(B, 3, H, W)`` float32 in [0, 1]; all of one size."""
        ...

    def embed_photos(self, photos: Sequence[Image]) -> list[Embedding]:
        """Embed photos of any sizes, without gradients; a family that can do so takes them in one batch."""
        with torch.no_grad():
            return [self.embed(to_tensor(photo.pixels)[None]) for photo in photos]

    def masks(self, embedding: Embedding, prompts: Prompts, *, multimask: bool = False) -> Prediction:
        """Answer prompts on a single embedded photo, points first, then boxes."""
        ...


@runtime_checkable
class WhiteBox(Promptable, Protocol):
    """A segmenter whose way from the pixels to the embedding is open.

    ``embed`` is ``encode(prepare(resize(images)))``. Attacks need the three apart: scale copies act on resized
    pixels, geometric views on the prepared input, and the resize (linear) is done once for all copies.
    """

    device: torch.device

    def geometry(self, size: tuple[int, int]) -> Geometry:
        """How a photo of ``size`` (height, width) lies in the model's input."""
        ...

    def resize(self, images: Tensor) -> Tensor:
        """Photos ``(B, 3, H, W)`` in [0, 1] to the model's resolution, unpadded; linear."""
        ...

    def prepare(self, pixels: Tensor) -> Tensor:
        """Resized pixels in [0, 1] to the normalised, padded input ``(B, 3, S, S)``."""
        ...

    def encode(self, inputs: Tensor) -> Tensor:
        """Prepared input to features ``(B, C, h, w)``."""
        ...

    @property
    def depth(self) -> int:
        """How many inner layers ``observe`` can show; they are numbered from 0, the first, to ``depth - 1``."""
        return 0

    def observe(self, inputs: Tensor, layers: Sequence[int] = ()) -> Observed:
        """Prepared input to features as ``encode``, and what a decoder and the inner layers make of it on the way.

        Args:
            inputs: ``(B, 3, S, S)``.
            layers: numbers of the inner layers to show.

        Raises:
            CapabilityError: a layer that is not there.
        """
        check_layers(self.name, self.depth, layers)
        return Observed(self.encode(inputs))

    def edited(self, layer: int, edit: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
        """Inside the context, the layers after an inner one see ``edit`` of what it gives, in the layer's own shape.

        Args:
            layer: its number, see ``depth``.
            edit: differentiable, to a tensor of the same shape.

        Raises:
            CapabilityError: a layer that is not there, or a family whose layers cannot be reached.
        """
        raise CapabilityError(f"model {self.name!r} does not let its inner layers be changed")

    def views_at_a_time(self, views: int) -> int:
        """How many of so many prepared inputs ``encode`` should be given together, for a gradient to fit into memory.

        All of them, unless a family knows better.
        """
        return views


def check_layers(name: str, depth: int, layers: Sequence[int]) -> None:
    """Refuse inner layers that a model of this name and depth does not have.

    Raises:
        CapabilityError: with the numbers that it has.
    """
    bad = [layer for layer in layers if not 0 <= layer < depth]
    if bad:
        has = f"its inner layers are 0 to {depth - 1}" if depth else "it shows no inner layers"
        raise CapabilityError(f"model {name!r} has no inner layer {bad[0]}; {has}")


def require_white_box(segmenter: Segmenter) -> WhiteBox:
    """The same segmenter, known to have gradients.

    Raises:
        CapabilityError: it is a black box.
    """
    if not segmenter.capabilities.gradient or not isinstance(segmenter, WhiteBox):
        raise CapabilityError(
            f"model {segmenter.name!r} gives no gradients, so it cannot be attacked directly; "
            "use an attack that only asks it ('square'), "
            "or attack a surrogate such as 'nano' and score the saved photos on this model"
        )
    return segmenter


def require_multimask(segmenter: Segmenter) -> Multimask:
    """The same segmenter, known to show all its masks for a prompt.

    Raises:
        CapabilityError: it shows one answer only.
    """
    if not isinstance(segmenter, Multimask):
        raise CapabilityError(
            f"model {segmenter.name!r} shows one answer to a prompt, so the rule 'oracle' has nothing to choose from; "
            "use the rule 'single' or 'best'"
        )
    return segmenter


def prompt_arrays(prompts: Prompts, geometry: Geometry) -> tuple[Floats, Floats]:
    """Points ``(p, 2)`` and boxes ``(b, 4)`` of the prompts in model pixels."""
    points = geometry.to_model(prompts.points)
    corners: NDArray[np.float64] = prompts.boxes.reshape(-1, 2, 2)
    return points, geometry.to_model(corners).reshape(-1, 4)
