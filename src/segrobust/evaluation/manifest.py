"""A photo's prompts with the masks they ask for and the pixels that do not count: all that scoring needs to know of it.

Drawn once from the seed and the photo, and shared by all attacks and all targets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from segrobust.errors import UsageError
from segrobust.evaluation.evaluate import PromptSettings, prompts_for
from segrobust.evaluation.overlaps import without
from segrobust.evaluation.prompts import prompts_from_json, prompts_to_json
from segrobust.io.rle import segmentation_to_rle
from segrobust.types import RLE, Image, Ints, Masks, Prompts


@dataclass(frozen=True, eq=False)
class Manifest:
    """What is asked for on a photo.

    Attributes:
        reference: ``annotation`` or ``clean``, where the masks come from.
        prompts: points and boxes; their mask ids count in ``masks``.
        masks: what they ask for, without the void.
        void: pixels that are excluded from scoring, None if there are none.
    """

    reference: str
    prompts: Prompts
    masks: Masks
    void: RLE | None = None

    def __post_init__(self) -> None:
        if self.asked.max(initial=-1) >= len(self.masks):
            raise ValueError(f"a prompt asks for mask {self.asked.max()}, there are {len(self.masks)}")
        if self.void is not None and tuple(self.void["size"]) != tuple(self.masks.size):
            raise ValueError(f"the void has size {self.void['size']}, the masks {list(self.masks.size)}")

    @property
    def asked(self) -> Ints:
        """``(n,)``: the mask that each prompt asks for, points first, then boxes."""
        return np.concatenate([self.prompts.point_masks, self.prompts.box_masks])


def draw_manifest(
    masks: Masks,
    image: Image,
    reference: str,
    *,
    seed: int,
    settings: PromptSettings | None = None,
    void: RLE | None = None,
) -> Manifest:
    """Draw the prompts that ask for a photo's masks, see :func:`segrobust.evaluation.prompts.draw_prompts`.

    Args:
        masks: annotated ones in the order of their file, or what the plan's prompt source finds on the original,
            highest predicted IoU first; the first ``settings.masks`` are asked for.
        image: the original photo.
        reference: ``annotation`` or ``clean``; part of the stream's name.
        seed: of the run. Without void the prompts are those of ``segrobust attack`` with the same seed.
        settings: how many.
        void: pixels of which nobody says what they are. No point is drawn there, and boxes are those of what is left.

    Returns:
        With no prompts, if no mask has a pixel outside the void.
    """
    how = settings or PromptSettings()
    asked = without(masks.select(range(min(how.masks, len(masks)))), void)
    return Manifest(reference, prompts_for(asked, image, seed, reference, how), asked, void)


def manifest_to_json(
    manifest: Manifest, *, image: Image | None = None, about: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Plain values, exact on the way back.

    They are the document of :func:`segrobust.evaluation.prompts.prompts_to_json`, so that whoever wants the prompts
    alone can read it too, with ``reference``, ``size``, and ``masks`` and ``void`` in COCO RLE.

    Args:
        manifest: of one photo.
        image: the photo; noted, so that a foreign manifest can be refused.
        about: how it was drawn; kept as it is, must be JSON.
    """
    return prompts_to_json(manifest.prompts, image=image, about=about) | {
        "reference": manifest.reference,
        "size": list(manifest.masks.size),
        "masks": [dict(rle) for rle in manifest.masks.rles],
        "void": None if manifest.void is None else dict(manifest.void),
    }


def manifest_from_json(document: Mapping[str, Any], *, image: Image | None = None) -> Manifest:
    """The manifest that :func:`manifest_to_json` wrote.

    Raises:
        UsageError: another schema, another photo, or content that is no manifest.
    """
    prompts = prompts_from_json(document, image=image)
    try:
        height, width = (int(side) for side in document["size"])
        rles = [segmentation_to_rle(raw, (height, width)) for raw in document["masks"]]
        void = document["void"] and segmentation_to_rle(document["void"], (height, width))
        return Manifest(str(document["reference"]), prompts, Masks.from_rles((height, width), rles), void)
    except KeyError as error:
        raise UsageError(f"prompt manifest: {error.args[0]!r} is missing") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise UsageError(f"prompt manifest: {error}") from error
