"""Protocols: models whose answers are known, compared with what they should be."""

import json
from typing import Any

import numpy as np
import pytest
from linear import LinearSegmenter

from segrobust.errors import CapabilityError, UsageError
from segrobust.evaluation.evaluate import PromptSettings, clean_side, evaluate
from segrobust.evaluation.manifest import Manifest, draw_manifest
from segrobust.evaluation.protocols import Protocol, right_answers_for, score
from segrobust.models.base import EverythingSettings
from segrobust.models.black_box import BlackBox
from segrobust.types import Image, Masks, Prompts, encode_mask

SIZE = (32, 32)
FEW = PromptSettings(masks=2, points=2, boxes=1)
LOOSE = EverythingSettings(points_per_side=2, predicted_iou_threshold=0, stability_threshold=0, box_nms_threshold=0.5)
LEFT, HALF, RIGHT = np.s_[4:12, 2:10], np.s_[4:8, 2:10], np.s_[4:12, 20:28]


def photo(*bright: Any) -> Image:
    pixels = np.zeros((*SIZE, 3), np.uint8)
    for place in bright:
        pixels[place] = 255
    return Image(pixels)


def masks(*places: Any, **columns: Any) -> Masks:
    dense = np.zeros((len(places), *SIZE), np.bool_)
    for mask, place in zip(dense, places, strict=True):
        if place is not None:
            mask[place] = True
    return Masks.from_dense(dense, **columns)


def manifest(found: Masks, image: Image, reference: str, **more: Any) -> Manifest:
    return draw_manifest(found, image, reference, seed=0, settings=FEW, **more)


class OneMask(BlackBox):
    """Sees bright pixels; whatever is asked, the answer is all of them. It tells nobody else."""

    def __init__(self) -> None:
        super().__init__("one", points=True, boxes=True, everything=True)
        self.rules: list[str] = []

    def _ask(self, image: Image, prompts: Prompts, rule: str) -> Masks:
        self.rules.append(rule)
        return Masks.from_rles(image.size, [encode_mask(image.pixels[..., 0] > 127)] * len(prompts))


class Three(OneMask):
    """Has three masks for a prompt: all bright pixels, none, and the right half of the photo's bright pixels."""

    def candidates(self, image: Image, prompts: Prompts) -> tuple[Masks, ...]:
        bright = image.pixels[..., 0] > 127
        right = bright & (np.arange(image.width) >= 16)
        return tuple(
            Masks.from_rles(image.size, [encode_mask(mask)] * len(prompts), predicted_iou=[k] * len(prompts))
            for k, mask in enumerate((bright, bright & False, right))
        )


def test_an_item_has_one_value_per_prompt_and_is_plain() -> None:
    original, annotated = photo(LEFT), masks(LEFT, RIGHT)
    asked = {Protocol("annotation", prompts=FEW): manifest(annotated, original, "annotation")}
    right = right_answers_for(OneMask(), original, asked)
    item = score(OneMask(), right, photo(HALF))["annotation"]
    assert json.loads(json.dumps(item, allow_nan=False)) == item
    prompts = item["prompts"]
    assert prompts["kind"] == ["point"] * 4 + ["box"] * 2
    assert prompts["mask"] == [0, 0, 1, 1, 0, 1]
    assert prompts["area"] == [64] * 6
    assert prompts["iou"] == [0.5, 0.5, 0, 0, 0.5, 0]
    assert prompts["precision"] == [1, 1, 0, 0, 1, 0]
    assert prompts["recall"] == [0.5, 0.5, 0, 0, 0.5, 0]
    assert prompts["f1"] == pytest.approx([2 / 3, 2 / 3, 0, 0, 2 / 3, 0])
    rim, half_rim = 64 - 36, 32 - 2 * 6  # one pixel wide
    common = 8 + 3 + 3  # of the half, without its lower edge
    assert prompts["boundary_iou"][0] == pytest.approx((common) / (rim + half_rim - common))
    # The half's lower edge lies up to 3 pixels inside the other's sides; of the other, the sides go on for 3 rows below
    # the half, and the lower edge is 4 rows away. All else is common.
    to, back = 2 * (1 + 2 + 3), 2 * (1 + 2 + 3) + 8 * 4
    assert [prompts["displacement"][i] for i in (0, 1, 4)] == pytest.approx([(to + back) / (20 + 28)] * 3)
    assert item["empty"] == 0


def test_clean_is_measured_by_the_targets_own_answers() -> None:
    """The source's masks say what is asked, not what is right."""
    original = photo(LEFT)
    asked = {Protocol("clean", prompts=FEW): manifest(masks(RIGHT), original, "clean")}
    right = right_answers_for(OneMask(), original, asked)
    assert score(OneMask(), right, original)["clean"]["prompts"]["iou"] == [1.0] * 3
    assert score(OneMask(), right, photo(HALF))["clean"]["prompts"]["iou"] == [0.5] * 3


def test_empty_masks_by_protocol() -> None:
    dark = photo()
    asked = {
        Protocol("clean", prompts=FEW): manifest(masks(LEFT), dark, "clean"),
        Protocol("annotation", prompts=FEW): manifest(masks(LEFT), dark, "annotation"),
    }
    right = right_answers_for(OneMask(), dark, asked)
    still, lit = score(OneMask(), right, dark), score(OneMask(), right, photo(LEFT))
    assert still["clean"]["prompts"]["iou"] == still["clean"]["prompts"]["precision"] == [1.0] * 3
    assert lit["clean"]["prompts"]["iou"] == lit["clean"]["prompts"]["recall"] == [0.0] * 3
    assert (still["clean"]["empty"], still["annotation"]["empty"]) == (3, 0)
    assert still["annotation"]["prompts"]["precision"] == [0.0] * 3
    assert lit["clean"]["prompts"]["displacement"] == still["annotation"]["prompts"]["displacement"] == [None] * 3


def test_void_pixels_are_not_scored() -> None:
    void = np.zeros(SIZE, np.bool_)
    void[8:12] = True  # the lower half of LEFT, and more
    original = photo(LEFT)
    part = manifest(masks(LEFT), original, "annotation", void=encode_mask(void))
    right = right_answers_for(OneMask(), original, {Protocol("annotation", prompts=FEW): part})
    for answer in (photo(LEFT), photo(HALF), photo(LEFT, np.s_[8:12, :])):
        item = score(OneMask(), right, answer)["annotation"]["prompts"]
        assert item["iou"] == item["boundary_iou"] == [1.0] * 3
        assert item["area"] == [32] * 3
    assert score(OneMask(), right, photo(np.s_[8:12, 2:10]))["annotation"]["prompts"]["iou"] == [0.0] * 3


def test_the_oracle_picks_by_the_right_answer() -> None:
    original = photo(LEFT, RIGHT)
    asked = {
        Protocol("annotation", "oracle", FEW): manifest(masks(RIGHT), original, "annotation"),
        Protocol("clean", "oracle", FEW): manifest(masks(RIGHT), original, "clean"),
    }
    right = right_answers_for(Three(), original, asked)
    assert right["clean"].masks.areas.tolist() == [64] * 3  # the candidate most like the mask that was asked for
    item = score(Three(), right, original)
    assert item["annotation"]["prompts"]["iou"] == item["clean"]["prompts"]["iou"] == [1.0] * 3
    gone = score(Three(), right, photo(LEFT))  # all that is bright, and nothing, miss alike
    assert gone["annotation"]["prompts"]["iou"] == [0.0] * 3
    half = score(Three(), right, photo(LEFT, np.s_[4:8, 20:28]))["annotation"]["prompts"]
    assert half["iou"] == [0.5] * 3


def test_the_oracle_does_not_see_the_void() -> None:
    class Two(OneMask):
        """Half of what is right; and all of it, with much that lies in the void."""

        def candidates(self, image: Image, prompts: Prompts) -> tuple[Masks, ...]:
            both = np.zeros((2, *SIZE), np.bool_)
            both[0, 4:8, 20:28] = both[1, 4:12, 20:28] = both[1, :, :16] = True
            return tuple(Masks.from_rles(SIZE, [encode_mask(mask)] * len(prompts)) for mask in both)

    void = np.zeros(SIZE, np.bool_)
    void[:, :16] = True
    part = manifest(masks(RIGHT), photo(), "annotation", void=encode_mask(void))
    right = right_answers_for(Two(), photo(), {Protocol("annotation", "oracle", FEW): part})
    assert score(Two(), right, photo())["annotation"]["prompts"]["iou"] == [1.0] * 3


def test_a_black_box_with_one_mask_has_no_oracle() -> None:
    original = photo(LEFT)
    asked = {Protocol("clean", "oracle", FEW): manifest(masks(LEFT), original, "clean")}
    with pytest.raises(CapabilityError, match=r"model 'one' shows one answer to a prompt.*'single' or 'best'"):
        right_answers_for(OneMask(), original, asked)


def test_a_photo_is_looked_at_once_for_each_rule() -> None:
    original = photo(LEFT)
    clean, annotation = (manifest(masks(LEFT), original, kind) for kind in ("clean", "annotation"))
    alike, apart = OneMask(), OneMask()
    right = right_answers_for(alike, original, {Protocol("clean"): clean, Protocol("annotation"): annotation})
    score(alike, right, original)
    assert alike.rules == ["single"] * 2
    right = right_answers_for(apart, original, {Protocol("clean", "best"): clean, Protocol("annotation"): annotation})
    score(apart, right, original)
    assert apart.rules == ["best", "best", "single"]  # an annotation knows its answers


def test_everything_compares_with_the_original() -> None:
    model, asked = LinearSegmenter(), {Protocol("everything"): None}
    right = right_answers_for(model, photo(LEFT), asked, everything=LOOSE)
    same = score(model, right, photo(LEFT), everything=LOOSE)
    assert same == {"everything": {"masks_clean": 1, "masks_found": 1, "matched_miou": 1.0, "map": 1.0}}
    half = score(model, right, photo(HALF), everything=LOOSE)["everything"]
    assert (half["matched_miou"], half["map"]) == (0.5, pytest.approx(0.1))
    assert score(model, right, photo(), everything=LOOSE)["everything"]["masks_found"] == 0


def test_scores_agree_with_those_of_a_single_attack() -> None:
    """One protocol, two ways to it: ``segrobust attack`` and plans."""
    model, original, attacked = LinearSegmenter(), photo(LEFT), photo(HALF, RIGHT)
    side = clean_side(model, original, annotation=masks(LEFT, RIGHT), prompts=FEW, everything=LOOSE)
    before, _ = evaluate(model, side, attacked, everything=LOOSE)
    asked = {
        Protocol("clean", prompts=FEW): manifest(side.masks, original, "clean"),
        Protocol("annotation", prompts=FEW): manifest(masks(LEFT, RIGHT), original, "annotation"),
        Protocol("everything"): None,
    }
    right = right_answers_for(model, original, asked, everything=LOOSE)
    items = score(model, right, attacked, everything=LOOSE)
    for kind in ("clean", "annotation"):
        assert np.mean(items[kind]["prompts"]["iou"]) == before.references[kind]["all"].miou
    assert items["everything"]["matched_miou"] == before.masks_matched_miou


def test_no_prompts_are_no_values() -> None:
    original = photo(LEFT)
    nothing = manifest(masks(None), original, "annotation")
    right = right_answers_for(LinearSegmenter(), original, {Protocol("annotation"): nothing})
    item = score(LinearSegmenter(), right, original)["annotation"]
    assert item["empty"] == 0
    assert all(column == [] for column in item["prompts"].values())


def test_a_photo_of_another_size_is_refused() -> None:
    original = photo(LEFT)
    right = right_answers_for(OneMask(), original, {Protocol("clean"): manifest(masks(LEFT), original, "clean")})
    with pytest.raises(ValueError, match=r"original has size \(32, 32\), the scored photo \(9, 9\)"):
        score(OneMask(), right, Image(np.zeros((9, 9, 3), np.uint8)))


def test_protocols_that_mean_nothing() -> None:
    with pytest.raises(UsageError, match="protocol must be one of annotation, clean, everything, got 'dirty'"):
        Protocol("dirty")
    with pytest.raises(UsageError, match="rule must be one of single, best, oracle, got 'worst'"):
        Protocol("clean", "worst")
    with pytest.raises(UsageError, match="'everything' asks no prompts"):
        Protocol("everything", "best")
    assert Protocol("everything").to_json() == {"name": "everything"}
    assert Protocol("clean", "best", FEW).to_json() == {
        "name": "clean", "rule": "best", "prompts": {"masks": 2, "points": 2, "boxes": 1}
    }  # fmt: skip


def test_a_protocol_goes_with_its_own_manifest_and_once() -> None:
    original = photo(LEFT)
    clean = manifest(masks(LEFT), original, "clean")
    with pytest.raises(UsageError, match="'annotation' needs a manifest of 'annotation', got one of 'clean'"):
        right_answers_for(OneMask(), original, {Protocol("annotation"): clean})
    with pytest.raises(UsageError, match="'clean' needs a manifest of 'clean', got one of None"):
        right_answers_for(OneMask(), original, {Protocol("clean"): None})
    with pytest.raises(UsageError, match="once at a time, got clean, clean"):
        right_answers_for(OneMask(), original, {Protocol("clean"): clean, Protocol("clean", "best"): clean})
