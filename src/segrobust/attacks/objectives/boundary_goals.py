"""Goals that leave the regions where they are and move their boundaries by some pixels."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from segrobust.attacks.objectives.answers import Answers
from segrobust.attacks.objectives.mask_goals import MaskGoal, clean_answers
from segrobust.attacks.objectives.masks import AtPhotoSize, Shown, on_logits
from segrobust.attacks.objectives.questions import OnMasks, Questions
from segrobust.attacks.objectives.similarity import SIMILARITIES
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective, Seen
from segrobust.errors import NoMasksError, UsageError
from segrobust.regions.outlines import moved_edge, picture_of_moved_edges
from segrobust.types import Bools

MARGIN = -2.0
"""Neg for boundaries: a logit of 2 on the right side is enough, so that only those near the wanted edge are pushed."""


def check_pixels(pixels: int) -> None:
    """Refuse to move boundaries nowhere.

    Raises:
        UsageError: 0.
    """
    if pixels == 0:
        raise UsageError("boundaries move by at least 1 pixel, outwards (8) or inwards (-8), got 0")


@dataclass(frozen=True)
class MoveBoundaries(MaskGoal):
    """Each prompt's own clean mask, with its edge moved: targeted Attack-SAM (``Shown``) with that mask (ours).

    Attributes:
        questions: where the attack asks.
        floor: Neg; here ``MARGIN``, not ClipMSE's -10.
        pixels: how far edges move, in pixels of the photo: outwards, or inwards if less than 0.
        balanced: inside and outside of the wanted mask count alike.
    """

    questions: Questions = field(default_factory=OnMasks)
    floor: float = MARGIN
    pixels: int = 8
    balanced: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pixels(self.pixels)

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        prompts = self.prompts(scene)
        clean = clean_answers(scene, prompts, False, False)
        masks = clean.geometry.restore(clean.logits)[:, 0] > 0
        moved = self._moved(scene, masks.cpu().numpy()).to(scene.segmenter.device)
        where = None
        if not self.full:
            size = (clean.logits.shape[-2], clean.logits.shape[-1])
            where = on_logits(torch.ones_like(moved[0]), scene.geometry, size)
            moved = torch.stack([on_logits(mask, scene.geometry, size) for mask in moved])
        goal = Shown(moved, self.floor, where, self.balanced)
        return Answers(prompts, AtPhotoSize(goal) if self.full else goal, at_a_time=len(prompts))

    def _moved(self, scene: Scene, masks: Bools) -> Tensor:
        """The masks ``(n, H, W)`` with their edges moved; what would vanish stays as it is."""
        scale = scene.source.shape[-1] / scene.image.width  # protocol paper lives on a photo of another size
        pixels = int(np.sign(self.pixels)) * max(1, round(abs(self.pixels) * scale))
        moved = np.stack([moved_edge(mask, pixels) for mask in masks])
        gone = np.asarray(masks.any(axis=(1, 2)) & ~moved.any(axis=(1, 2)))
        if gone.any():
            scene.notes.append(f"{int(gone.sum())} of {len(masks)} masks would vanish and are wanted as they are")
        return torch.from_numpy(np.where(gone[:, None, None], masks, moved)).float()


@dataclass(frozen=True, eq=False)
class Toward:
    """Toward an embedding, and from nothing in particular.

    Attributes:
        goal: ``(1, C, h, w)``.
        similarity: a name from ``SIMILARITIES``.
    """

    goal: Tensor
    similarity: str

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``, lower the more alike."""
        return -SIMILARITIES[self.similarity](seen.features, seen.follow(self.goal))


@dataclass(frozen=True)
class ApproachMovedEdges:
    """Toward the embedding of the photo with every edge moved, in its own colours (ours).

    Attributes:
        pixels: how far edges move, in pixels of the photo: outwards, or inwards if less than 0.
        similarity: to that embedding, a name from ``SIMILARITIES``.
    """

    pixels: int = 8
    similarity: str = "token-cosine"
    needs = ("masks",)

    def __post_init__(self) -> None:
        check_pixels(self.pixels)
        if self.similarity not in SIMILARITIES:
            raise UsageError(f"similarity {self.similarity!r} is not one of {', '.join(SIMILARITIES)}")

    def __call__(self, scene: Scene) -> Objective:
        """The objective.

        Raises:
            NoMasksError: the photo has no edges, so the picture would be the photo.
        """
        picture = picture_of_moved_edges(scene.image.pixels, scene.masks, self.pixels)
        if np.array_equal(picture, scene.image.pixels):
            raise NoMasksError("moving the edges of the masks that the model finds changes nothing on the photo")
        scene.guide = picture
        return Toward(scene.observe(scene.place(picture)).features, self.similarity)
