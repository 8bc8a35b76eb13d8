import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.errors import NoMasksError
from segrobust.evaluation import evaluate as module
from segrobust.evaluation.evaluate import PromptSettings, ask, clean_side, evaluate, score_answers
from segrobust.models.base import EverythingSettings
from segrobust.types import Image, Masks, Prompts

SIZE = (32, 32)
LOOSE = EverythingSettings(points_per_side=2, predicted_iou_threshold=0, stability_threshold=0, box_nms_threshold=0.5)


def photo(*bright: tuple[slice, slice], name: str = "photo") -> Image:
    """Black, but for the places where the linear segmenter shall see its one mask."""
    pixels = np.zeros((*SIZE, 3), np.uint8)
    for place in bright:
        pixels[place] = 255
    return Image(pixels, name)


LEFT, RIGHT = np.s_[4:12, 2:10], np.s_[4:12, 20:28]
CLEAN = photo(LEFT)
BOX = np.zeros(SIZE, np.bool_)
BOX[LEFT] = True


def masks(*places: tuple[slice, slice] | None) -> Masks:
    dense = np.zeros((len(places), *SIZE), np.bool_)
    for mask, place in zip(dense, places, strict=True):
        if place is not None:
            mask[place] = True
    return Masks.from_dense(dense)


def test_every_prompt_is_answered_with_one_mask() -> None:
    answers = LinearSegmenter().answer(CLEAN, Prompts.of(points=[[3, 5]], boxes=[[0, 0, 5, 5], [1, 1, 2, 2]]))
    assert len(answers) == 3
    assert all(np.array_equal(mask, BOX) for mask in answers)


def test_the_clean_side_asks_for_its_own_masks_and_for_the_annotation() -> None:
    how = PromptSettings(masks=2, points=3, boxes=1)
    annotation = masks(RIGHT, None, LEFT)
    side = clean_side(LinearSegmenter(), CLEAN, annotation=annotation, prompts=how, everything=LOOSE)
    assert len(side.masks) == 1
    own, asked = side.references["clean"], side.references["annotation"]
    assert (len(own.prompts.points), len(own.prompts.boxes), len(own.masks)) == (3, 1, 4)
    assert asked.prompts.point_masks.tolist() == [0, 0, 0]  # of the first two; the empty one asks for nothing
    assert all(BOX[int(y), int(x)] for x, y in own.prompts.points)
    assert all(20 <= x < 28 for x, _ in asked.prompts.points)
    assert [m[RIGHT].all() and m.sum() == 64 for m in asked.masks] == [True] * 4


def test_prompts_depend_on_seed_photo_and_kind_and_on_nothing_else() -> None:
    def points(image: Image, seed: int, kind: str = "clean") -> list[list[float]]:
        side = clean_side(LinearSegmenter(), image, seed=seed, annotation=masks(LEFT), everything=LOOSE)
        return side.references[kind].prompts.points.tolist()

    first = points(CLEAN, 0)
    torch.manual_seed(5)
    assert points(Image(CLEAN.pixels, "other name"), 0) == first
    others = [points(CLEAN, 1), points(photo(LEFT, np.s_[0:1, 31:32]), 0), points(CLEAN, 0, "annotation")]
    assert all(other != first for other in others)


def test_an_unchanged_photo_scores_perfectly() -> None:
    side = clean_side(LinearSegmenter(), CLEAN, annotation=masks(LEFT), everything=LOOSE)
    scores, found = evaluate(LinearSegmenter(), side, CLEAN, everything=LOOSE)
    assert (scores.masks_clean, scores.masks_found, len(found)) == (1, 1, 1)
    assert (scores.masks_matched_miou, scores.max_linf_255, scores.psnr, scores.ssim) == (1, 0, np.inf, 1)
    for kind in ("clean", "annotation"):
        parts = scores.references[kind]
        assert {part: (s.miou, s.asr50, s.asr10) for part, s in parts.items()} == {
            "all": (1, 0, 0), "points": (1, 0, 0), "boxes": (1, 0, 0)
        }  # fmt: skip
        assert (parts["all"].n, parts["points"].n, parts["boxes"].n) == (8, 5, 3)


def test_a_changed_photo_is_scored_against_the_clean_answers() -> None:
    side = clean_side(LinearSegmenter(), CLEAN, annotation=masks(RIGHT), everything=LOOSE)
    half = photo(np.s_[4:8, 2:10])
    scores, found = evaluate(LinearSegmenter(), side, half, everything=LOOSE)
    assert scores.references["clean"]["all"].miou == 0.5
    assert (scores.references["clean"]["all"].asr50, scores.references["clean"]["all"].asr10) == (1, 0)
    assert scores.references["annotation"]["all"].miou == 0
    assert (scores.masks_matched_miou, scores.max_linf_255, found.areas.tolist()) == (0.5, 255, [32])


def test_empty_answers() -> None:
    side = clean_side(LinearSegmenter(), CLEAN, everything=LOOSE)
    scores, found = evaluate(LinearSegmenter(), side, photo(), everything=LOOSE)
    assert (scores.references["clean"]["all"].miou, scores.masks_found, len(found)) == (0, 0, 0)
    assert scores.masks_matched_miou == 0
    prompts = Prompts.of(points=[[1, 1]])
    for kind, miou, skipped in (("clean", 1.0, 0), ("annotation", None, 1)):
        answers = LinearSegmenter().answer(photo(), prompts)
        got = score_answers(module.Reference(kind, prompts, masks(None)), answers)["all"]
        assert (got.miou if got.n else None, got.skipped) == (miou, skipped)


def test_no_masks_at_all_is_a_condition_with_the_photos_name() -> None:
    with pytest.raises(NoMasksError, match=r"^dark: the model finds no masks"):
        clean_side(LinearSegmenter(), photo(name="dark"), everything=LOOSE)


@pytest.mark.parametrize("annotation", [masks(), masks(None, None)])
def test_an_annotation_that_asks_for_nothing_is_no_reference(annotation: Masks) -> None:
    side = clean_side(LinearSegmenter(), CLEAN, annotation=annotation, everything=LOOSE)
    assert list(side.references) == ["clean"]


def test_photos_of_two_sizes_are_refused() -> None:
    side = clean_side(LinearSegmenter(), CLEAN, everything=LOOSE)
    with pytest.raises(ValueError, match="32"):
        evaluate(LinearSegmenter(), side, Image(np.full((10, 10, 3), 255, np.uint8)), everything=LOOSE)


def test_a_photo_is_looked_at_once_for_all_references() -> None:
    class Counting(LinearSegmenter):
        def __init__(self) -> None:
            super().__init__()
            self.asked: list[tuple[int, int]] = []

        def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
            self.asked.append((len(prompts.points), len(prompts.boxes)))
            return super().answer(image, prompts, rule)

    model = Counting()
    how = PromptSettings(masks=2, points=2, boxes=1)
    side = clean_side(model, CLEAN, annotation=masks(LEFT, RIGHT), prompts=how, everything=LOOSE)
    evaluate(model, side, photo(RIGHT), everything=LOOSE)
    assert model.asked == [(2 + 4, 1 + 2)] * 2


def test_every_reference_gets_the_answers_to_its_own_prompts() -> None:
    class Dots:
        """Answers a point with that pixel, a box with all of its pixels."""

        name = "dots"

        def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
            dense = np.zeros((len(prompts), *image.size), np.bool_)
            for mask, (x, y) in zip(dense, prompts.points.astype(int), strict=False):
                mask[y, x] = True
            for mask, (x1, y1, x2, y2) in zip(dense[len(prompts.points) :], prompts.boxes.astype(int), strict=True):
                mask[y1:y2, x1:x2] = True
            return Masks.from_dense(dense)

    a = Prompts.of(points=[[1, 2], [3, 4]], boxes=[[0, 0, 5, 5]])
    b, c = Prompts.of(boxes=[[1, 1, 3, 9], [0, 0, 1, 1]]), Prompts.of(points=[[31, 31]])
    asked = {"a": a, "b": b, "nothing": Prompts.of(), "c": c}
    answers = ask(Dots(), CLEAN, asked)  # type: ignore[arg-type]
    assert {kind: len(found) for kind, found in answers.items()} == {"a": 3, "b": 2, "nothing": 0, "c": 1}
    for kind, prompts in asked.items():
        assert answers[kind].rles == Dots().answer(CLEAN, prompts).rles


def test_a_model_that_answers_something_else_is_named() -> None:
    class Short(LinearSegmenter):
        def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
            return super().answer(image, prompts, rule).select([0])

    with pytest.raises(ValueError, match=r"answered with 1 masks of 32 x 32, asked for 2 of 32 x 32"):
        ask(Short(), CLEAN, {"clean": Prompts.of(points=[[1, 1], [2, 2]])})
