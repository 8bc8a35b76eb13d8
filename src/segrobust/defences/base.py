"""What every defence offers: the real thing on 8-bit photos, and a stand-in that gradients go through."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from segrobust.defences.placement import Placement
from segrobust.models.geometry import to_tensor
from segrobust.types import Pixels

Draws = np.random.Generator | None
"""What a random defence draws from; None means the middle of all draws: no noise, at its own size in the middle."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A photo as a defence shows it to the model.

    Attributes:
        pixels: ``(H', W', 3)`` uint8.
        placements: where the photo lies in it, one after the other; empty = in its own place.
    """

    pixels: Pixels
    placements: tuple[Placement, ...] = ()


class Defence(ABC):
    """An input transformation.

    Both sides draw in the same order, so the same generator means the same draw.

    Attributes:
        votes: how many draws are answered and voted on when it is scored.
    """

    votes: int = 1

    @property
    @abstractmethod
    def name(self) -> str:
        """With its parameters, e.g. ``jpeg-q75``; the only way it is written."""

    @property
    def random(self) -> bool:
        """It draws, so an attack needs an expectation over draws."""
        return False

    @abstractmethod
    def show(self, pixels: Pixels, generator: np.random.Generator) -> Shown:
        """The real thing, as it is scored.

        Args:
            pixels: ``(H, W, 3)`` uint8.
            generator: draws one draw, if the defence is random.

        Returns:
            An 8-bit photo again.
        """

    @abstractmethod
    def surrogate(self, images: Tensor, generator: Draws) -> Tensor:
        """The same for gradients: differentiable, or exact on the way in and straight-through on the way back.

        Args:
            images: ``(n, 3, H, W)`` float in [0, 1], on any device.
            generator: draws one draw for all n; None: the middle of all draws.

        Returns:
            ``(n, 3, H', W')`` float in [0, 1].
        """

    def mean_placements(self, size: tuple[int, int]) -> tuple[Placement, ...]:
        """Where a photo of ``size`` (height, width) lies in the middle of all draws."""
        return ()


class Filter(Defence):
    """A defence whose real thing is a function of float images, rounded to 8 bits, that leaves the photo in place."""

    @abstractmethod
    def filtered(self, images: Tensor, generator: Draws) -> Tensor:
        """``(n, 3, H, W)`` in [0, 1] to the same shape and range."""

    def show(self, pixels: Pixels, generator: np.random.Generator) -> Shown:
        """Filter in float32 on the CPU, whatever the model runs on, and round."""
        with torch.no_grad():
            return Shown(to_pixels(self.filtered(to_tensor(pixels)[None], generator)))

    def surrogate(self, images: Tensor, generator: Draws) -> Tensor:
        """The filter itself."""
        return self.filtered(images, generator)


@dataclass(frozen=True)
class NoDefence(Filter):
    """The photo as it is."""

    @property
    def name(self) -> str:
        """Always ``none``."""
        return "none"

    def filtered(self, images: Tensor, generator: Draws) -> Tensor:
        """Nothing is done."""
        return images


class Chain(Defence):
    """Defences one after the other, each given the 8-bit photo of the one before.

    Args:
        parts: at least two, the first one first.

    Raises:
        ValueError: fewer than two.
    """

    def __init__(self, parts: Sequence[Defence]) -> None:
        if len(parts) < 2:
            raise ValueError(f"a chain has at least two defences, got {len(parts)}")
        self.parts = tuple(parts)
        self.votes = math.prod(part.votes for part in parts)

    @property
    def name(self) -> str:
        """The parts' names with ``+`` between them."""
        return "+".join(part.name for part in self.parts)

    @property
    def random(self) -> bool:
        """Any of them draws."""
        return any(part.random for part in self.parts)

    def show(self, pixels: Pixels, generator: np.random.Generator) -> Shown:
        """Every part's real thing, in order."""
        shown = Shown(pixels)
        for part in self.parts:
            after = part.show(shown.pixels, generator)
            shown = Shown(after.pixels, shown.placements + after.placements)
        return shown

    def surrogate(self, images: Tensor, generator: Draws) -> Tensor:
        """Every part's stand-in, in order."""
        for part in self.parts:
            images = part.surrogate(images, generator)
        return images

    def mean_placements(self, size: tuple[int, int]) -> tuple[Placement, ...]:
        """Those of the parts, in order."""
        placements: tuple[Placement, ...] = ()
        for part in self.parts:
            placements += part.mean_placements(placements[-1].canvas if placements else size)
        return placements


def to_pixels(images: Tensor) -> Pixels:
    """``(1, 3, H, W)`` float in [0, 1] to ``(H, W, 3)`` uint8, rounded."""
    rounded = (images[0] * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).numpy())


def straight_through(exact: Tensor, smooth: Tensor) -> Tensor:
    """The values of ``exact`` with the gradient of ``smooth``.

    Source: Bengio et al. 2013 (arXiv 1308.3432); as an attack on defences, BPDA (Athalye et al., ICML 2018,
    arXiv 1802.00420, section 4.1).
    """
    return smooth + (exact - smooth).detach()


def rounded(values: Tensor) -> Tensor:
    """Rounded to whole numbers; the gradient of no rounding."""
    return straight_through(values.round(), values)
