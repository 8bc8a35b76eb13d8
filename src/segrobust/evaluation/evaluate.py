"""Score one adversarial photo against its clean original, through a segmenter.

Two references, never mixed: *clean* scores against the model's own answers on the original photo (prompts drawn
from its own masks), *annotation* against annotated masks (prompts drawn from those). The same prompts for every attack.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segrobust.errors import NoMasksError
from segrobust.evaluation.metrics import (
    PromptScores,
    matched_miou,
    max_linf_255,
    prompt_ious,
    psnr,
    ssim,
    summarise_by_kind,
)
from segrobust.evaluation.prompts import by_predicted_iou, draw_prompts, join_prompts, split_answers
from segrobust.models.base import EverythingSettings, Segmenter, require_multimask
from segrobust.randomness import stream
from segrobust.regions.everything import segment_everything
from segrobust.types import Floats, Image, Masks, Prompts

PartScores = Mapping[str, PromptScores]


@dataclass(frozen=True)
class PromptSettings:
    """How prompts are drawn (RGA's and UAD's protocol).

    Attributes:
        masks: the first so many masks of a photo are asked for.
        points: per mask, drawn uniformly inside.
        boxes: per mask, the mask's box with sides scaled by U(0.9, 1.1).
    """

    masks: int = 10
    points: int = 5
    boxes: int = 3


@dataclass(frozen=True, eq=False)
class Reference:
    """Prompts and the masks they should give.

    Attributes:
        kind: ``clean`` or ``annotation``.
        prompts: points first, then boxes.
        masks: the right answer to each prompt, in the prompts' order.
    """

    kind: str
    prompts: Prompts
    masks: Masks


@dataclass(frozen=True, eq=False)
class CleanSide:
    """Everything about a photo that all attacks share.

    Attributes:
        image: the original.
        masks: what segment everything finds on it, by predicted IoU.
        references: by kind.
    """

    image: Image
    masks: Masks
    references: Mapping[str, Reference]


@dataclass(frozen=True)
class Scores:
    """What one photo's attack did.

    Attributes:
        references: prompt scores by reference kind, then by part: ``all``, ``points``, ``boxes``.
        masks_clean: masks that segment everything finds on the original.
        masks_found: on the scored photo.
        masks_matched_miou: mean IoU of the original's masks with their Hungarian partners on the scored photo.
        max_linf_255: largest difference of a pixel value, of 255.
        psnr: dB.
        ssim: in [-1, 1].
    """

    references: Mapping[str, PartScores]
    masks_clean: int
    masks_found: int
    masks_matched_miou: float
    max_linf_255: int
    psnr: float
    ssim: float


def clean_side(
    segmenter: Segmenter,
    image: Image,
    *,
    seed: int = 0,
    annotation: Masks | None = None,
    prompts: PromptSettings | None = None,
    everything: EverythingSettings | None = None,
) -> CleanSide:
    """Segment the original, draw the prompts, and record the right answers.

    Args:
        segmenter: the model under test.
        image: the original photo.
        seed: prompts come from the stream (seed, photo, reference kind); attacks and models cannot change them.
        annotation: annotated masks, if the photo has them; the first ``prompts.masks`` in the order given are used.
            Where those are all empty there is nothing to ask for, and no such reference.
        prompts: how to draw them.
        everything: segment-everything settings (None: the segmenter's own).

    Raises:
        NoMasksError: segment everything found nothing, so there is nothing to ask for.
    """
    how = prompts or PromptSettings()
    masks = by_predicted_iou(segment_everything(segmenter, image, everything))
    if not len(masks):
        raise NoMasksError(f"{image.name}: the model finds no masks on the photo, so there is nothing to score")
    asked = {"clean": prompts_for(masks, image, seed, "clean", how)}
    annotated = None if annotation is None else prompts_for(annotation, image, seed, "annotation", how)
    if annotated:  # an annotation may be empty, or all of its masks
        asked["annotation"] = annotated
    return CleanSide(image, masks, right_answers(segmenter, image, asked, annotation))


def right_answers(
    segmenter: Segmenter, image: Image, prompts: Mapping[str, Prompts], annotation: Masks | None
) -> dict[str, Reference]:
    """What would be right for every prompt: the segmenter's own answers on the original, or the annotated masks.

    Args:
        segmenter: the model under test.
        image: the original photo.
        prompts: by reference kind.
        annotation: the masks that the prompts of kind ``annotation`` ask for; needed where there are such.
    """
    answers = ask(segmenter, image, prompts)
    if annotation is not None and "annotation" in prompts:
        asked = prompts["annotation"]
        answers["annotation"] = annotation.select(np.concatenate([asked.point_masks, asked.box_masks]))
    return {kind: Reference(kind, prompts[kind], answers[kind]) for kind in prompts}


def ask(segmenter: Segmenter, image: Image, prompts: Mapping[str, Prompts], rule: str = "single") -> dict[str, Masks]:
    """Answers to the prompts of several references in one call: most models look at the photo once for each call.

    What is compared must be asked alike, since the prompts that are decoded together may change the last bits.

    Raises:
        ValueError: the segmenter gave another number of masks than it was asked for, or of another size.
    """
    together = join_prompts(list(prompts.values()))
    return _apart(segmenter, segmenter.answer(image, together, rule), image, prompts)


def ask_all(segmenter: Segmenter, image: Image, prompts: Mapping[str, Prompts]) -> dict[str, list[Masks]]:
    """The same with all masks that the segmenter has for each prompt, to choose from.

    Raises:
        CapabilityError: it shows one answer only.
        ValueError: see :func:`ask`.
    """
    together = join_prompts(list(prompts.values()))
    every = require_multimask(segmenter).candidates(image, together)
    parts = [_apart(segmenter, answers, image, prompts) for answers in every]
    return {kind: [part[kind] for part in parts] for kind in prompts}


def _apart(segmenter: Segmenter, answers: Masks, image: Image, prompts: Mapping[str, Prompts]) -> dict[str, Masks]:
    asked = sum(map(len, prompts.values()))
    if len(answers) != asked or tuple(answers.size) != image.size:
        got = f"{len(answers)} masks of {answers.size[0]} x {answers.size[1]}"
        wanted = f"{asked} of {image.height} x {image.width}"
        raise ValueError(f"model {segmenter.name!r} answered with {got}, asked for {wanted}")
    return dict(zip(prompts, split_answers(answers, list(prompts.values())), strict=True))


def prompts_for(masks: Masks, image: Image, seed: int, kind: str, how: PromptSettings) -> Prompts:
    """The prompts that ask for a photo's masks, from the stream of (seed, photo, reference kind)."""
    generator = stream(seed, image.fingerprint, "prompts", kind)
    return draw_prompts(masks, generator, limit=how.masks, points_per_mask=how.points, boxes_per_mask=how.boxes)


def evaluate(
    segmenter: Segmenter, clean: CleanSide, scored: Image, *, everything: EverythingSettings | None = None
) -> tuple[Scores, Masks]:
    """Score a photo that should look like ``clean.image``: the adversarial one, or the original itself.

    Returns:
        The scores, and the masks that segment everything finds on the scored photo.

    Raises:
        ValueError: the two photos differ in size.
    """
    found = segment_everything(segmenter, scored, everything)
    answers = ask(segmenter, scored, {kind: ref.prompts for kind, ref in clean.references.items()})
    scores = Scores(
        references={kind: score_answers(ref, answers[kind]) for kind, ref in clean.references.items()},
        masks_clean=len(clean.masks),
        masks_found=len(found),
        masks_matched_miou=matched_miou(clean.masks, found),
        max_linf_255=max_linf_255(clean.image.pixels, scored.pixels),
        psnr=psnr(clean.image.pixels, scored.pixels),
        ssim=ssim(clean.image.pixels, scored.pixels),
    )
    return scores, found


def score_answers(reference: Reference, answers: Masks) -> PartScores:
    """The scores of :func:`answer_ious`, over all prompts, points and boxes."""
    return summarise_by_kind(answer_ious(reference, answers), reference.prompts)


def answer_ious(reference: Reference, answers: Masks) -> Floats:
    """IoU of the answers on the scored photo with the reference's masks, prompt by prompt; NaN = skipped.

    Empty masks: against the clean prediction, empty on both sides counts 1, on one side 0; against an annotation,
    an empty annotated mask is skipped and counted.
    """
    return prompt_ious(reference.masks, answers, both_empty=1.0 if reference.kind == "clean" else None)
