"""Region attacks on what is answered: one object, named by a click, a box or a mask, must vanish; the others stay."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from segrobust.attacks.objectives.answers import Answers
from segrobust.attacks.objectives.mask_goals import clean_answers, in_source
from segrobust.attacks.objectives.masks import FLOOR, Kept, Removed
from segrobust.attacks.objectives.questions import Box, of_masks
from segrobust.attacks.objectives.shown_goals import read_mask
from segrobust.attacks.scene import Scene
from segrobust.attacks.seen import Objective, Seen
from segrobust.errors import UsageError
from segrobust.types import Masks, Prompts


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of weighted objectives.

    Attributes:
        parts: of answers alone, with their weights.
    """

    parts: tuple[tuple[float, Objective], ...]

    def __call__(self, seen: Seen) -> Tensor:
        """Losses ``(n,)``."""
        total = self.parts[0][0] * self.parts[0][1](seen)
        for weight, objective in self.parts[1:]:
            total = total + weight * objective(seen)
        return total


@dataclass(frozen=True)
class Vanish:
    """No mask for one object however it is asked for, and the clean answers for the others (ours, from ClipMSE).

    Exactly one of click, box and mask names the object; by default it is the largest that segment everything finds.
    It is asked for by ``points`` in it, by its box, and by the user's own prompt.

    Attributes:
        click: xy in pixels of the photo; the object is what the model answers.
        box: xyxy, likewise.
        mask: path of a picture of the photo's size, not black inside the object.
        points: clicks inside the object.
        keep: weight of the other masks' clean answers; 0 = they may go too.
        most: other masks that are kept, the largest of those that overlap the object by an IoU below 0.1.
        floor: Neg of ClipMSE, -10.
    """

    click: tuple[float, float] | None = None
    box: Box | None = None
    mask: str | None = None
    points: int = 8
    keep: float = 1.0
    most: int = 8
    floor: float = FLOOR

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.click, self.box, self.mask)) > 1:
            raise UsageError("which object: give a click, a box or a mask, not several of them")
        if self.floor >= 0 or self.keep < 0 or self.points < 0 or self.most < 1:
            raise UsageError(
                "floor is below 0, keep and points at least 0, most at least 1, got "
                f"{self.floor}, {self.keep}, {self.points}, {self.most}"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """The decoder; masks, to keep the others or to find the object."""
        named = self.click or self.box or self.mask
        return ("decoder",) if named and not self.keep else ("decoder", "masks")

    def __call__(self, scene: Scene) -> Objective:
        """The objective.

        Raises:
            UsageError: nothing is there.
        """
        target = self._object(scene)
        asked = of_masks(target, [0], self.points, True, scene.stream("questions"))
        points = np.concatenate([asked.points, np.reshape(self.click or (), (-1, 2))])
        boxes = np.concatenate([asked.boxes, np.reshape(self.box or (), (-1, 4))])
        prompts = in_source(Prompts.of(points=points, boxes=boxes), scene)
        gone = Answers(prompts, Removed(self.floor))
        others = self._others(scene, target) if self.keep else None
        if others is None:
            return gone
        clean = clean_answers(scene, others, False, False).logits
        return Sum(((1.0, gone), (self.keep, Answers(others, Kept(clean, self.floor), at_a_time=len(others)))))

    def _object(self, scene: Scene) -> Masks:
        """The object's mask, alone."""
        if self.mask is not None:
            return Masks.from_dense(read_mask(self.mask, scene)[None])
        if self.click or self.box:
            asked = Prompts.of(points=[self.click] if self.click else (), boxes=[self.box] if self.box else ())
            found = scene.segmenter.answer(scene.image, asked)
            scene.encoded += 1
        else:
            found = scene.masks.select([int(scene.masks.areas.argmax())] if len(scene.masks) else [])
        if not len(found) or not found.areas[0]:
            raise UsageError("no object to remove: the model finds nothing there; give a click, a box or a mask")
        return found

    def _others(self, scene: Scene, target: Masks) -> Prompts | None:
        """Prompts for the masks that are kept: a point in each and its box; None if there are none."""
        inside, chosen = target.mask(0), []
        for number in scene.masks.areas.argsort(kind="stable")[::-1].tolist():
            mask = scene.masks.mask(number)
            if mask.any() and (mask & inside).sum() < 0.1 * (mask | inside).sum():
                chosen.append(number)
            if len(chosen) == self.most:
                break
        if not chosen:
            scene.notes.append("no other masks: nothing is kept")
            return None
        return in_source(of_masks(scene.masks, chosen, 1, True, scene.stream("kept")), scene)
