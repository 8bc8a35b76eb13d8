"""Goals that ask for another mask than the model's: shifted, or a given one (Attack-SAM, arXiv 2305.00866)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from segrobust.attacks.objectives.mask_goals import MaskGoal, clean_answers, in_source
from segrobust.attacks.objectives.masks import Shown, moved, on_logits
from segrobust.attacks.region import mask_from_file
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective
from segrobust.types import Bools, Prompts


@dataclass(frozen=True)
class ShiftMasks(MaskGoal):
    """Each prompt's own clean mask, somewhere else (Attack-SAM, mask shift).

    Attributes:
        right: how far, as a share of the logits' width (ours: the paper's distance is not known).
        down: likewise, of their height.
        balanced: inside and outside of the wanted mask count alike (ours).
    """

    right: float = 0.1
    down: float = 0.1
    balanced: bool = True

    def __call__(self, scene: Scene) -> Objective:
        """The objective."""
        prompts = self.prompts(scene)
        clean = clean_answers(scene, prompts, False, self.full).logits[:, 0] > 0
        height, width = clean.shape[-2:]
        target = moved(clean.float(), round(self.right * width), round(self.down * height))
        return self.ask(scene, prompts, Shown(target, self.floor, balanced=self.balanced))


@dataclass(frozen=True)
class ShowMask(MaskGoal):
    """One given mask as the answer to every prompt (Attack-SAM, targeted).

    Attributes:
        mask: path of a picture of the photo's size whose pixels that are not black are the mask, or ``other``: of the
            masks that segment everything finds, one that holds none of the points, the largest.
        balanced: inside and outside of the wanted mask count alike (ours).
    """

    mask: str = "other"
    balanced: bool = True

    @property
    def needs(self) -> tuple[str, ...]:
        """The decoder, and the masks for ``other``."""
        return tuple(dict.fromkeys((*super().needs, *(("masks",) if self.mask == "other" else ()))))

    def __call__(self, scene: Scene) -> Objective:
        """The objective.

        Raises:
            UsageError: a picture of another size, or an empty mask.
        """
        questions = self.questions(scene)
        wanted = other_mask(scene, questions) if self.mask == "other" else read_mask(self.mask, scene)
        mask = torch.from_numpy(wanted).to(scene.segmenter.device).float()
        if self.full:
            size = (scene.source.shape[-2], scene.source.shape[-1])
            target, where = F.interpolate(mask[None, None], size, mode="nearest-exact")[0, 0], None
        else:
            clean = clean_answers(scene, in_source(questions, scene), self.multimask, False)
            size = (clean.logits.shape[-2], clean.logits.shape[-1])
            target, where = (on_logits(m, scene.geometry, size) for m in (mask, torch.ones_like(mask)))
        goal = Shown(target, self.floor, where, self.balanced)
        return self.drawn(scene, self.ask(scene, in_source(questions, scene), goal))


def read_mask(path: str, scene: Scene) -> Bools:
    """A mask from a picture, bool ``(H, W)``.

    Raises:
        UsageError: it has another size than the photo, or is black.
    """
    return mask_from_file(Path(path), scene.image)


def other_mask(scene: Scene, prompts: Prompts) -> Bools:
    """The largest mask on the photo that holds none of the points; without one the photo's right half, and a note."""
    columns, rows = prompts.points.round().astype(int).T
    for number in scene.masks.areas.argsort()[::-1]:
        mask = scene.masks.mask(int(number))
        inside = mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)]
        if mask.any() and not inside.any():
            return mask
    scene.notes.append("no other mask: the wanted one is the photo's right half")
    half = torch.zeros(scene.image.size, dtype=torch.bool).numpy()
    half[:, scene.image.width // 2 :] = True
    return half
