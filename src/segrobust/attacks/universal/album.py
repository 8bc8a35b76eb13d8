"""The photos that a universal perturbation is trained on: their order, their crops, and what is known of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import torch
from torch import Tensor

from segrobust.attacks.scene import Goal, Scene
from segrobust.attacks.seen import Objective
from segrobust.models.base import WhiteBox
from segrobust.models.geometry import to_tensor
from segrobust.randomness import stream, torch_stream
from segrobust.types import Budget, Image

KEPT = 128
"""Objectives that are kept from one visit of a photo to the next: each holds about an embedding, 4 MiB for SAM."""


@dataclass(eq=False)
class Album:
    """Training photos, in an order that is drawn anew for every round through them.

    Attributes:
        segmenter: the model.
        photos: may read each photo when it is asked for.
        budget: of the perturbation.
        seed: of every random number.
        attack: the recipe's name, which names the streams too.
        batch: photos for a step; the last step of a round may have fewer.
        augment: every visit sees another crop of a photo, perhaps mirrored.
    """

    segmenter: WhiteBox
    photos: Sequence[Image]
    budget: Budget
    seed: int
    attack: str
    batch: int = 1
    augment: bool = False
    _kept: dict[int, Objective] = field(default_factory=dict, init=False)

    @property
    def steps_per_round(self) -> int:
        """Steps in which every photo is seen once."""
        return -(-len(self.photos) // self.batch)

    def batch_of(self, step: int) -> list[int]:
        """The numbers of a step's photos."""
        round_, place = divmod(step, self.steps_per_round)
        draw = torch_stream(self.seed, "universal", self.attack, "order", str(round_))
        order: list[int] = torch.randperm(len(self.photos), generator=draw).tolist()
        return order[place * self.batch : (place + 1) * self.batch]

    def visit(self, step: int, number: int, goal: Goal) -> tuple[Scene, Objective]:
        """A photo in a step, where nothing is perturbed yet; the scene counts what making the objective took.

        Args:
            step: its number, which an augmentation depends on.
            number: the photo's.
            goal: makes the objective: once for a photo, or for every crop of it.
        """
        image = self.photos[number]
        if self.augment:
            image = crop(image, stream(self.seed, image.fingerprint, self.attack, "crop", str(step)))
        source = to_tensor(image.pixels, self.segmenter.device)[None]
        scene = Scene(self.segmenter, image, source, self.budget, self.seed, self.attack)
        if self.augment:
            return scene, goal(scene)
        if number not in self._kept:
            if len(self._kept) == KEPT:  # the first to come is the first to go; it will be made again, the same
                del self._kept[next(iter(self._kept))]
            self._kept[number] = goal(scene)
        return scene, self._kept[number]

    def embeddings(self, count: int) -> tuple[list[Tensor], int]:
        """The embeddings of some photos, drawn once, ``(1, C, h, w)`` each; and how many passes they took."""
        draw = stream(self.seed, "universal", self.attack, "negatives")
        chosen = draw.permutation(len(self.photos))[:count]
        seen = []
        with torch.no_grad():
            for number in chosen:
                source = to_tensor(self.photos[int(number)].pixels, self.segmenter.device)[None]
                seen.append(self.segmenter.encode(self.segmenter.prepare(self.segmenter.resize(source))))
        return seen, len(seen)


def crop(image: Image, draw: np.random.Generator, least: float = 0.8) -> Image:
    """A random part of a photo with at least ``least`` of each side, mirrored half of the time."""
    height, width = (max(1, round(side * draw.uniform(least, 1))) for side in image.size)
    top, left = draw.integers(0, image.height - height + 1), draw.integers(0, image.width - width + 1)
    part = image.pixels[top : top + height, left : left + width]
    return Image(part[:, ::-1] if draw.random() < 0.5 else part, name=image.name)


class Shelf(Sequence[Image]):
    """Photos that are read each time they are asked for, so that a large training set takes no memory.

    Args:
        readers: each reads a photo.
    """

    def __init__(self, readers: Sequence[Callable[[], Image]]) -> None:
        self.readers = tuple(readers)

    def __len__(self) -> int:
        return len(self.readers)

    @overload
    def __getitem__(self, index: int) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> "Shelf": ...
    def __getitem__(self, index: int | slice) -> "Image | Shelf":
        """A photo, read now; or a part of the shelf."""
        return Shelf(self.readers[index]) if isinstance(index, slice) else self.readers[index]()
