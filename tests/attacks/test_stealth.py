"""The least perturbation: found where it is known, said where there is none."""

import math

import numpy as np
import pytest
from linear import LinearSegmenter

from segrobust.attacks.recipes import make_recipe
from segrobust.attacks.stealth import attackers_prompts, least
from segrobust.errors import NoMasksError, UsageError
from segrobust.types import Image, Masks

SIDE = 24
PIXELS = np.full((SIDE, SIDE, 3), 60, np.uint8)
PIXELS[:, :10] = 140  # a mask of brightness: gone when its pixels are 13 levels darker
PHOTO = Image(PIXELS)
MASK = Masks.from_dense(np.broadcast_to(np.arange(SIDE) < 10, (1, SIDE, SIDE)).copy())
GONE = {"clean_masks": MASK, "points": 6, "steps": 20, "step_size": 4 / 255}


@pytest.mark.parametrize("norm", ["linf", "contrast"])
def test_in_whole_levels_the_least_is_found_exactly(norm: str) -> None:
    found = least(LinearSegmenter(), PHOTO, "ask-separate", norm=norm, most=f"{norm}:64/255", tries=9, **GONE)
    prefix = "" if norm == "linf" else "contrast:"
    levels = 13 if norm == "linf" else 52  # of flat areas, a quarter is allowed
    assert found.found is not None
    assert found.found.budget == f"{prefix}{levels}/255"
    assert (found.found.linf_255 >= 13, found.found.miou, found.found.reached) == (True, 0.0, True)
    assert [t.budget for t in found.trail][:2] == [f"{prefix}64/255", f"{prefix}32/255"]
    assert any(t.budget == f"{prefix}{levels - 1}/255" and not t.reached and t.miou > 0.5 for t in found.trail)


def test_under_l2_it_is_found_to_the_last_halving() -> None:
    seen = []
    found = least(LinearSegmenter(), PHOTO, "ask-separate", most="l2:4", tries=12, on_try=seen.append, **GONE)
    known = 12.5 / 255 * math.sqrt(3 * SIDE * SIDE)  # the gradient is nearly the same everywhere
    assert found.found is not None
    assert found.result is not None
    assert 0.85 * known < found.found.l2 < 1.1 * known
    change = (found.result.image.pixels.astype(float) - PIXELS) / 255
    assert found.found.l2 == pytest.approx(np.linalg.norm(change))
    assert found.found.l2 == min(t.l2 for t in found.trail if t.reached)
    assert list(found.trail) == seen
    again = least(LinearSegmenter(), PHOTO, "ask-separate", most="l2:4", tries=12, **GONE)
    assert again.trail == found.trail


def test_what_no_budget_reaches_is_said() -> None:
    found = least(LinearSegmenter(), PHOTO, "ask-separate", norm="linf", most="12/255", **GONE)
    assert (found.found, found.result) == (None, None)
    assert [(t.budget, t.miou, t.reached) for t in found.trail] == [("12/255", 1.0, False)]


def test_one_try_is_the_largest_budget() -> None:
    found = least(LinearSegmenter(), PHOTO, "ask-separate", norm="linf", most="20/255", tries=1, **GONE)
    assert [t.budget for t in found.trail] == ["20/255"]
    assert found.found == found.trail[0]


def test_the_attackers_prompts_are_nobody_elses() -> None:
    masks = Masks.from_dense(np.random.default_rng(1).random((20, SIDE, SIDE)) < 0.3)
    mine, again, other = (attackers_prompts(masks, PHOTO, 16, seed) for seed in (0, 0, 1))
    assert (len(mine.points), len(mine.boxes)) == (16, 16)
    assert np.array_equal(mine.points, again.points)
    assert not np.array_equal(mine.points, other.points)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"wanted_miou": 1.0}, r"below 1, got 1\.0"),
        ({"tries": 0}, "at least 1, got 0 and 16"),
        ({"norm": "linf", "most": "l2:3"}, "is of norm l2, not linf"),
        ({"most": "l2:0.001"}, "less than one level"),
        ({"norm": "l7"}, "norm 'l7'"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        least(LinearSegmenter(), PHOTO, make_recipe("noise"), clean_masks=MASK, **settings)


def test_without_masks_there_is_nothing_to_take_away() -> None:
    with pytest.raises(NoMasksError, match="finds no masks"):
        least(LinearSegmenter(), PHOTO, "noise", clean_masks=MASK.select([]))
