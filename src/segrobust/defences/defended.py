"""A segmenter behind a defence: what is scored."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from segrobust.defences.base import Defence, NoDefence, Shown
from segrobust.defences.names import make_defence
from segrobust.defences.placement import vote
from segrobust.models.base import (
    Capabilities,
    EverythingFirst,
    EverythingSettings,
    Multimask,
    Segmenter,
    require_multimask,
)
from segrobust.randomness import stream
from segrobust.regions.everything import segment_everything
from segrobust.types import Bools, Floats, Image, Masks, Prompts, decode_mask, encode_mask

PARTNER_IOU = 0.5
"""Under another draw, the mask that is the same thing overlaps at least so much."""


def defend(segmenter: Segmenter, defence: Defence | str, seed: int = 0) -> Segmenter:
    """A segmenter that sees photos only through a defence: the real one, as a user would run it.

    Args:
        segmenter: any, also a black box.
        defence: from ``make_defence``, or its name.
        seed: what a random defence draws for a photo depends on this, the photo's pixels and the defence's name.

    Returns:
        A :class:`Defended`; the segmenter itself for ``none``.

    Raises:
        UsageError: no such defence.
    """
    made = make_defence(defence) if isinstance(defence, str) else defence
    return segmenter if isinstance(made, NoDefence) else Defended(segmenter, made, seed)


class Defended(EverythingFirst, Multimask):
    """A segmenter behind a defence; prompts and masks stay in the photo's pixels.

    It gives no gradients, so that no attack can take it for the undefended model: see ``adaptive``.

    Args:
        segmenter: what is behind the defence.
        defence: what photos go through.
        seed: of its draws.
    """

    def __init__(self, segmenter: Segmenter, defence: Defence, seed: int = 0) -> None:
        self.inner = segmenter
        self.defence = defence
        self.seed = seed
        self.name = f"{segmenter.name} + {defence.name}"
        self.everything = segmenter.everything
        self.fingerprint = str(getattr(segmenter, "fingerprint", ""))
        can = segmenter.capabilities
        self.capabilities = Capabilities(False, can.points, can.boxes, can.everything)

    def shown(self, image: Image) -> list[Shown]:
        """What the segmenter sees of a photo: one picture for each draw that is voted on."""
        generator = stream(self.seed, image.fingerprint, self.defence.name)
        return [self.defence.show(image.pixels, generator) for _ in range(self.defence.votes)]

    def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
        """See ``Segmenter.answer``; of several draws the vote, with the mean of the predicted IoUs."""
        return self._ask(image, prompts, lambda shown, moved: (self.inner.answer(shown, moved, rule),))[0]

    def candidates(self, image: Image, prompts: Prompts) -> tuple[Masks, ...]:
        """See ``Multimask.candidates``; of several draws the vote on the first, on the second ...

        Raises:
            CapabilityError: the segmenter behind shows one answer only.
        """
        inner = require_multimask(self.inner)
        return self._ask(image, prompts, inner.candidates)

    def _ask(
        self, image: Image, prompts: Prompts, ask: Callable[[Image, Prompts], tuple[Masks, ...]]
    ) -> tuple[Masks, ...]:
        """Show the photo, ask, and bring what is answered back; voted on, where there are several draws."""
        answers = []
        for shown in self.shown(image):
            moved = prompts
            for placement in shown.placements:
                moved = placement.prompts(moved)
            answers.append([_back(masks, shown) for masks in ask(Image(shown.pixels, image.name), moved)])
        return tuple(_vote(list(draws)) for draws in zip(*answers, strict=True))

    def find_masks(self, image: Image, settings: EverythingSettings) -> Masks:
        """All masks that segment everything finds behind the defence, in its order.

        Of several draws: every mask of the first one with its partners under the others, where it has any, put to the
        vote; its scores are the first one's.

        Raises:
            CapabilityError: the segmenter behind cannot segment everything.
        """
        found = [
            _there(_back(segment_everything(self.inner, Image(shown.pixels, image.name), settings), shown))
            for shown in self.shown(image)
        ]
        return found[0] if len(found) == 1 else _there(_vote_on_first(found))


def _vote(draws: list[Masks]) -> Masks:
    """For every prompt the pixels that most draws agree on, with the mean of the predicted IoUs."""
    if len(draws) == 1:
        return draws[0]
    rles = [encode_mask(vote([masks.mask(i) for masks in draws])) for i in range(len(draws[0]))]
    scores: Floats = np.mean([masks.predicted_iou for masks in draws], axis=0)
    return Masks.from_rles(draws[0].size, rles, predicted_iou=scores)


def _back(masks: Masks, shown: Shown) -> Masks:
    """Masks of what was shown, as masks of the photo."""
    for placement in reversed(shown.placements):
        masks = placement.back(masks)
    return masks


def _there(masks: Masks) -> Masks:
    """Those that have pixels: one may lie beside the photo, or be voted down."""
    return masks.select(np.flatnonzero(masks.areas > 0))


def _vote_on_first(found: list[Masks]) -> Masks:
    """The first draw's masks, each put to the vote with the most alike of every other draw."""
    first = found[0]
    partners = [_partners(first, other) for other in found[1:]]
    nothing: Bools = np.zeros(first.size, np.bool_)
    rles = []
    for i in range(len(first)):
        ballot = [first.mask(i)]
        for other, which in zip(found[1:], partners, strict=True):
            ballot.append(nothing if which[i] < 0 else decode_mask(other.rles[which[i]]))
        rles.append(encode_mask(vote(ballot)))
    return Masks.from_rles(first.size, rles, first.predicted_iou, first.stability, first.points)


def _partners(masks: Masks, others: Masks) -> NDArray[np.int64]:
    """For each mask the index of the other with the highest IoU; -1 if that is below ``PARTNER_IOU``."""
    if not len(masks) or not len(others):
        return np.full(len(masks), -1, np.int64)
    from pycocotools import mask as coco

    mine, theirs = (
        [{"size": rle["size"], "counts": rle["counts"].encode("ascii")} for rle in each.rles]
        for each in (masks, others)
    )
    ious = np.asarray(coco.iou(mine, theirs, [0] * len(theirs)))
    best = ious.argmax(axis=1)
    return np.where(ious.max(axis=1) >= PARTNER_IOU, best, -1).astype(np.int64)
