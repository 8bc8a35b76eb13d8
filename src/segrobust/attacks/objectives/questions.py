"""Where an attack asks while it is made: prompts of the attacker, not those that are scored.

Each is a frozen setting that gives prompts in pixels of the photo.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from segrobust.attacks.scene import Scene
from segrobust.errors import UsageError
from segrobust.types import Bools, Floats, Masks, Prompts

Box = tuple[float, float, float, float]


class Questions(Protocol):
    """Makes the prompts of a scene."""

    @property
    def needs(self) -> tuple[str, ...]:
        """What it takes, see ``attacks.scene.Goal``."""
        ...

    def __call__(self, scene: Scene) -> Prompts:
        """At least one prompt, in pixels of ``scene.image``."""
        ...


@dataclass(frozen=True)
class Anywhere:
    """Points uniform over the whole photo: ASK's, K = 400.

    Attributes:
        count: K.
    """

    count: int = 400
    needs = ()

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"an attack asks at least one point, got {self.count}")

    def __call__(self, scene: Scene) -> Prompts:
        """Drawn from the scene's stream."""
        edge = np.array([scene.image.width - 1, scene.image.height - 1])
        return Prompts.of(points=scene.stream("questions").uniform(0, 1, (self.count, 2)) * edge)


@dataclass(frozen=True)
class Given:
    """The user's own prompts.

    Attributes:
        points: xy in pixels of the photo.
        boxes: xyxy likewise.
    """

    points: tuple[tuple[float, float], ...] = ()
    boxes: tuple[Box, ...] = ()
    needs = ()

    def __post_init__(self) -> None:
        if not self.points and not self.boxes:
            raise UsageError("an attack asks at least one point or box, got none")

    def __call__(self, scene: Scene) -> Prompts:
        """They must lie on the photo."""
        corners = np.array([*self.points, *(b[:2] for b in self.boxes), *(b[2:] for b in self.boxes)], np.float64)
        outside = (corners < 0) | (corners > [scene.image.width, scene.image.height])
        if outside.any():
            bad = tuple(corners[outside.any(axis=1)][0].tolist())
            raise UsageError(f"the prompt at {bad} is outside the photo of {scene.image.width}x{scene.image.height}")
        return Prompts.of(points=self.points, boxes=self.boxes)


@dataclass(frozen=True)
class Grid:
    """A regular grid of points in a box, its border included: S-RA's.

    Attributes:
        side: points per side; 5. With 1, the box's centre (the authors' script then takes its corner).
        box: xyxy in pixels of the photo; None = that of the largest mask that segment everything finds, or the photo.
    """

    side: int = 5
    box: Box | None = None

    def __post_init__(self) -> None:
        if self.side < 1:
            raise UsageError(f"a grid has at least one point per side, got {self.side}")

    @property
    def needs(self) -> tuple[str, ...]:
        """Masks, if no box is given."""
        return () if self.box else ("masks",)

    def __call__(self, scene: Scene) -> Prompts:
        """``side * side`` points."""
        x0, y0, x1, y1 = self.box or _largest(scene.masks, scene.image.size)
        return Prompts.of(points=grid_points(self.side, (x0, y0, x1, y1)))


@dataclass(frozen=True)
class OnMasks:
    """Prompts that ask for what segment everything finds: points in each mask, and its box.

    Attributes:
        points: in each mask, drawn with replacement.
        boxes: ask with the boxes too.
        most: masks, drawn among all that are not empty.
    """

    points: int = 1
    boxes: bool = True
    most: int = 16
    needs = ("masks",)

    def __post_init__(self) -> None:
        if self.points < 0 or self.most < 1 or not (self.points or self.boxes):
            raise UsageError(f"an attack asks points or boxes of at least one mask, got {self.points}, {self.most}")

    def __call__(self, scene: Scene) -> Prompts:
        """Of a photo without masks: as many points anywhere, and a note."""
        draw = scene.stream("questions")
        found = np.flatnonzero(scene.masks.areas > 0)
        if not len(found):
            scene.notes.append("no masks: the attack asks at random points")
            return Anywhere(self.most)(scene)
        chosen = np.sort(draw.permutation(found)[: self.most])
        return of_masks(scene.masks, chosen.tolist(), self.points, self.boxes, draw)


def grid_points(side: int, box: Box) -> Floats:
    """A regular ``side`` x ``side`` grid in a box, row by row, ``(side * side, 2)`` xy."""
    x0, y0, x1, y1 = box
    if side == 1:
        return np.array([[(x0 + x1) / 2, (y0 + y1) / 2]])
    x, y = np.meshgrid(np.linspace(x0, x1, side), np.linspace(y0, y1, side))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def points_inside(mask: Bools, count: int, generator: np.random.Generator) -> Floats:
    """``(count, 2)`` xy of pixels of a mask that is not empty, drawn with replacement."""
    y, x = np.nonzero(mask)
    chosen = generator.integers(0, len(y), count)
    return np.stack([x[chosen], y[chosen]], axis=1).astype(np.float64)


def of_masks(masks: Masks, chosen: list[int], points: int, boxes: bool, generator: np.random.Generator) -> Prompts:
    """Prompts that ask for each of the chosen masks: some points in it, and its box (of pixel centres) if wanted."""
    inside = [points_inside(masks.mask(number), points, generator) for number in chosen]
    return Prompts.of(
        points=np.concatenate(inside),
        point_masks=np.repeat(chosen, points),
        boxes=masks.boxes[chosen] - [0, 0, 1, 1] if boxes else (),
        box_masks=chosen if boxes else (),
    )


def _largest(masks: Masks, size: tuple[int, int]) -> Box:
    if not len(masks) or not masks.areas.max():
        return 0.0, 0.0, float(size[1] - 1), float(size[0] - 1)
    x0, y0, x1, y1 = masks.boxes[int(masks.areas.argmax())].tolist()
    return x0, y0, x1 - 1, y1 - 1
