"""Any segmenter behind any defence."""

import numpy as np
import pytest
from answering import Bright, BrightFirst

from segrobust.defences.defended import defend
from segrobust.defences.filters import Smoothing
from segrobust.defences.names import make_defence
from segrobust.defences.table import NAMES
from segrobust.errors import CapabilityError, UsageError
from segrobust.models.base import EverythingFirst, EverythingSettings, Segmenter, require_white_box
from segrobust.randomness import stream
from segrobust.regions.everything import segment_everything
from segrobust.types import Image, Masks, Prompts


def scene(seed=0):
    """Dark, with two bright things."""
    pixels = np.random.default_rng(seed).integers(30, 70, (60, 80, 3), np.uint8)
    pixels[10:30, 12:40] = 230
    pixels[38:52, 50:72] = 220
    return Image(pixels, "scene")


PROMPTS = Prompts.of(points=[(20, 20), (60, 45), (2, 2)], boxes=[(12, 10, 40, 30)])


def ious(masks: Masks, others: Masks):
    return [(a & b).sum() / max((a | b).sum(), 1) for a, b in zip(masks, others, strict=True)]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"] + ["jpeg-q75+bits-4", "resize-pad+blur-s1"])
@pytest.mark.parametrize("kind", [Bright, BrightFirst])
def test_every_defence_leaves_an_easy_scene_as_it_was(name, kind):
    model, image = kind(), scene()
    defended = defend(model, name, seed=3)
    assert defended.name == f"bright + {name}"
    answers = defended.answer(image, PROMPTS)
    plain = kind().answer(image, PROMPTS)
    assert answers.size == image.size
    assert [iou for iou, area in zip(ious(answers, plain), plain.areas, strict=True) if area] == pytest.approx(
        [1, 1, 1], abs=0.15
    )
    assert answers.areas[2] == 0
    found = segment_everything(defended, image)
    assert len(found) == 2
    assert sorted(found.areas) == pytest.approx(sorted(plain.areas[:2]), rel=0.15)


def test_none_is_the_model_itself():
    model = Bright()
    assert defend(model, "none") is model


@pytest.mark.parametrize("name", ["jpeg-q30", "resize-pad", "smooth-s0.05-n8"])
def test_what_a_defended_segmenter_can_do_is_what_is_true(name):
    boxes_only = defend(Bright(points=False), name)
    assert boxes_only.capabilities.names() == ("boxes",)
    assert isinstance(boxes_only, Segmenter)
    with pytest.raises(CapabilityError, match="takes no point prompts"):
        segment_everything(boxes_only, scene())
    assert defend(Bright(), name).capabilities.names() == ("points", "boxes", "everything")
    with pytest.raises(CapabilityError, match="shows one answer"):
        defend(Bright(), name).candidates(scene(), PROMPTS)


def test_a_white_box_behind_a_defence_gives_no_gradient(tiny_sam):
    defended = defend(tiny_sam, "blur-s1")
    assert defended.capabilities.names() == ("points", "boxes", "everything")
    with pytest.raises(CapabilityError, match="gives no gradients"):
        require_white_box(defended)


def test_it_is_the_model_on_the_filtered_photo(tiny_sam):
    image = scene()
    filtered = Image(make_defence("jpeg-q30").show(image.pixels, stream(0)).pixels)
    defended = defend(tiny_sam, "jpeg-q30")
    for rule in ("single", "best"):
        assert defended.answer(image, PROMPTS, rule).rles == tiny_sam.answer(filtered, PROMPTS, rule).rles
    assert defended.fingerprint == tiny_sam.fingerprint
    assert defended.everything == tiny_sam.everything
    for mine, theirs in zip(defended.candidates(image, PROMPTS), tiny_sam.candidates(filtered, PROMPTS), strict=True):
        assert mine.rles == theirs.rles
    assert isinstance(defended, EverythingFirst)
    settings = EverythingSettings(points_per_side=3, predicted_iou_threshold=0, stability_threshold=0)
    assert segment_everything(defended, image, settings).rles == segment_everything(tiny_sam, filtered, settings).rles


@pytest.mark.parametrize("name", ["noise-s0.05", "resize-pad", "jpeg-q75+noise-s0.05"])
def test_draws_depend_on_seed_photo_and_name_and_on_nothing_else(name):
    def seen(image, seed, defence=name, before=None):
        model = Bright()
        defended = defend(model, defence, seed)
        if before is not None:
            defended.answer(before, PROMPTS)
        defended.answer(image, PROMPTS)
        return model.seen[-1].pixels

    image, other = scene(), scene(1)
    first = seen(image, 0)
    np.testing.assert_array_equal(first, seen(Image(image.pixels, "by another name"), 0))
    np.testing.assert_array_equal(first, seen(image, 0, before=other))
    assert not np.array_equal(first, seen(image, 1))
    assert not np.array_equal(seen(image, 0, "noise-s0.05"), seen(image, 0, "noise-s0.051"))
    flat = Image(np.full((60, 80, 3), 100, np.uint8)), Image(np.full((60, 80, 3), 101, np.uint8))
    draws = [seen(photo, 0).astype(int) for photo in flat]
    assert not np.array_equal(draws[0] + 1, draws[1])


def test_smoothing_shows_as_many_draws_as_it_votes_on():
    model = Bright()
    defend(model, "smooth-s0.05-n5").answer(scene(), PROMPTS)
    assert len({image.fingerprint for image in model.seen}) == 5


class Fickle(Bright):
    """Answers the whole photo when it is asked for the third time, and nothing otherwise than its regions."""

    def answer(self, image, prompts, rule="single"):
        usual = super().answer(image, prompts, rule)
        if len(self.seen) % 3:
            return usual
        return Masks.from_dense(np.ones((len(prompts), *image.size), np.bool_), predicted_iou=[0.3] * len(prompts))


def test_the_majority_outvotes_a_wrong_draw():
    answers = defend(Fickle(), Smoothing(0.01, 3)).answer(scene(), PROMPTS)
    assert answers.rles == Bright().answer(scene(), PROMPTS).rles
    assert answers.predicted_iou == pytest.approx([0.7] * 4)


class Seldom(BrightFirst):
    """Finds a thing that is not there on every draw but one, and another only on the first."""

    def find_masks(self, image, settings):
        found = super().find_masks(image, settings).dense()
        extra = np.zeros((1, *image.size), np.bool_)
        if len(self.seen) == 1:
            extra[0, :5, :5] = True
        return Masks.from_dense(np.concatenate([found, extra]), predicted_iou=[0.9, 0.8, 0.99])


def test_a_mask_that_one_draw_finds_alone_is_voted_down():
    found = segment_everything(defend(Seldom(), Smoothing(0.01, 3)), scene())
    assert len(found) == 2
    assert found.predicted_iou.tolist() == [0.9, 0.8]
    assert sorted(found.areas) == [14 * 22, 20 * 28]


def test_no_prompts_no_answers():
    for name in ("resize-pad", "smooth-s0.05-n8"):
        assert len(defend(Bright(), name).answer(scene(), Prompts.of())) == 0


def test_nothing_found_is_no_error():
    black = Image(np.zeros((30, 40, 3), np.uint8))
    for name in ("resize-pad", "smooth-s0.05-n8"):
        assert len(segment_everything(defend(BrightFirst(250), name), black)) == 0


def test_an_unknown_name_is_told_at_the_door():
    with pytest.raises(UsageError, match="did you mean 'jpeg-q75'"):
        defend(Bright(), "jpg-q75")
