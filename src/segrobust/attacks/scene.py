"""What an objective is made from: the photo, what the model finds on it, and streams of random numbers."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from segrobust.attacks.band import Share
from segrobust.attacks.seen import Objective
from segrobust.models.base import Observed, WhiteBox
from segrobust.models.geometry import Geometry, to_tensor
from segrobust.randomness import stream, torch_stream
from segrobust.regions.everything import segment_everything
from segrobust.types import Budget, Image, Masks, Pixels


@dataclass(eq=False)
class Scene:
    """One photo to be attacked on one model.

    Attributes:
        segmenter: the model.
        image: the photo.
        source: the photo where the perturbation lives, ``(1, 3, H, W)`` in [0, 1]: in its original pixels, or resized
            to the model's (protocol ``paper``).
        budget: how far the perturbation may go.
        seed: of every random number.
        attack: the recipe's name, which names the streams too.
        found: the masks of segment everything on the photo, if somebody has made them already.
        where: the only pixels that may be changed, or how much of epsilon each has, ``(H, W)``; None: all of it.
        encoded: images that went through the encoder to make the objective; counted here by :meth:`observe`.
        differentiated: images whose gradient came back while the objective was made.
        guide: the guide picture that the goal made, for the record.
        notes: conditions worth a line in the record.
    """

    segmenter: WhiteBox
    image: Image
    source: Tensor
    budget: Budget
    seed: int
    attack: str
    found: Masks | None = None
    where: Share | None = None
    encoded: int = 0
    differentiated: int = 0
    guide: Pixels | None = None
    notes: list[str] = field(default_factory=list)

    @cached_property
    def masks(self) -> Masks:
        """The masks of segment everything on the photo; made when a goal first asks for them."""
        return segment_everything(self.segmenter, self.image) if self.found is None else self.found

    @property
    def geometry(self) -> Geometry:
        """How ``source`` lies in the model's input."""
        return self.segmenter.geometry((self.source.shape[-2], self.source.shape[-1]))

    def place(self, picture: Pixels) -> Tensor:
        """A picture of the photo's size, uint8 ``(H, W, 3)``, where the perturbation lives: ``(1, 3, H, W)``."""
        pixels = to_tensor(picture, self.segmenter.device)[None]
        return pixels if pixels.shape == self.source.shape else self.segmenter.resize(pixels)

    @torch.no_grad()
    def observe(self, image: Tensor, layers: tuple[int, ...] = ()) -> Observed:
        """What the model sees of an image where the perturbation lives, ``(1, 3, H, W)``; without gradient.

        Of a model behind a random defence, which sees several pictures: the mean.
        """
        inputs = self.segmenter.prepare(self.segmenter.resize(image))
        self.encoded += len(inputs)
        seen = self.segmenter.observe(inputs, layers)
        if len(inputs) == 1:
            return seen
        features, *extra = (part.mean(0, keepdim=True) for part in (seen.features, *seen.extra))
        return Observed(features, tuple(extra), {i: part.mean(0, keepdim=True) for i, part in seen.layers.items()})

    def stream(self, purpose: str) -> np.random.Generator:
        """Random numbers of this photo, attack and purpose."""
        return stream(self.seed, self.image.fingerprint, self.attack, purpose)

    def torch_stream(self, purpose: str) -> torch.Generator:
        """The same for torch, on the CPU."""
        return torch_stream(self.seed, self.image.fingerprint, self.attack, purpose)


class Goal(Protocol):
    """A frozen setting that makes the objective of a photo.

    ``needs``: what it takes beside the encoder's gradient, for the table of attacks, e.g. ``masks`` (segment
    everything), ``decoder``, ``layers``.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """See the class."""
        ...

    def __call__(self, scene: Scene) -> Objective:
        """The objective, minimised by the loop."""
        ...
