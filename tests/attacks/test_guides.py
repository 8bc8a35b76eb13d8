"""Guides by name: what ``rga`` is given is what its picture shows."""

from pathlib import Path

import numpy as np
import pytest
from linear import LinearSegmenter
from rectangles import boxes

from segrobust.attacks.goals import GUIDES
from segrobust.attacks.recipes import attack, rga
from segrobust.benchmark.plans.reading import parse_plan
from segrobust.benchmark.plans.variants import variants
from segrobust.regions.atoms import atoms
from segrobust.regions.crossing import crossing
from segrobust.regions.tree import tree
from segrobust.types import Image

SIZE = (240, 320)
OURS = {"tree", "atoms", "crossing", "regions-contrast", "atoms-contrast"}


def test_each_guide_shows_its_own_picture() -> None:
    photo = Image(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8), name="photo")
    masks = boxes(SIZE, (130, 20, 300, 200), (200, 80, 280, 230), (2, 2, 9, 9), (4, 4, 20, 20))
    shown = {
        name: attack(LinearSegmenter(), photo, rga(guide=name, steps=1, copies=1, beta=0), clean_masks=masks).guide
        for name in GUIDES
    }
    assert set(shown) >= OURS
    assert all(picture is not None and picture.shape == (*SIZE, 3) for picture in shown.values())
    assert len({picture.tobytes() for picture in shown.values()}) == len(GUIDES)
    bright = {name for name, picture in shown.items() if set(np.unique(picture)) <= {0, 1, 255}}
    assert bright == {"regions-contrast", "atoms-contrast"}
    assert [GUIDES[name] for name in ("tree", "atoms", "crossing")] == [tree, atoms, crossing]


def test_the_plan_of_overlap_differs_in_guides_alone(root: Path) -> None:
    plan, _ = parse_plan((root / "plans/overlap.yaml").read_text("utf-8"), "overlap")
    recipes = [variant.make() for variant in variants(plan) if not variant.control]
    guides = {recipe.goal.guide for recipe in recipes}
    assert guides == OURS | {"regions", "random-cells", "uncut", None}
    alike = {(recipe.steps, recipe.update, recipe.pixel_views, recipe.input_views) for recipe in recipes}
    assert len(alike) == 1
    page = (root / "docs/research/overlap.md").read_text("utf-8")
    assert all(f"<!-- {side} overlap -->" in page for side in ("begin", "end"))
    assert all(f"`{name}`" in page for name in guides - {None})


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_guide_without_masks_is_a_picture_all_the_same(name: str) -> None:
    guide = GUIDES[name](boxes((9, 7)), np.random.default_rng(0))
    assert guide.picture.shape == (9, 7, 3)
    assert guide.notes
