"""Attacks that begin at a universal perturbation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from linear import LinearSegmenter

from segrobust.attacks.budget import Box
from segrobust.attacks.recipes import attack, make_recipe, settings_of
from segrobust.attacks.recipes.starts import start_of
from segrobust.attacks.recipes.table import parameters_of
from segrobust.attacks.universal.files import Universal, save_universal
from segrobust.benchmark.plans.parts import AttackEntry
from segrobust.errors import MissingError, UsageError
from segrobust.models.geometry import to_tensor
from segrobust.types import Budget, Image

BUDGET = Budget.parse("8/255")


def photo() -> Image:
    return Image(np.random.default_rng(0).integers(30, 220, (8, 8, 3), dtype=np.uint8), name="photo")


@pytest.fixture
def file(tmp_path: Path) -> str:
    signs = np.random.default_rng(1).choice([-1, 1], (3, 8, 8))
    pattern = (signs * np.float32(4 / 255)).astype(np.float32)
    return str(save_universal(tmp_path / "uap.npy", Universal(pattern, "4/255", "stretch", {"recipe": "r"})))


def signs(file: str) -> np.ndarray:
    return np.sign(np.load(file)).astype(int).transpose(1, 2, 0)


@pytest.mark.parametrize("name", ["gr-code", "mi", "rga-untargeted", "pgd"])
def test_it_begins_at_the_whole_perturbation_at_the_budget_of_the_run(name: str, file: str) -> None:
    recipe = make_recipe(name, start=file)
    assert recipe.reach == 1.0
    source = to_tensor(photo().pixels)[None]
    begun = start_of(recipe, source, Box.around(source, BUDGET), BUDGET, torch.Generator())
    change = (begun - source)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(change - 8 * signs(file)).max() < 1e-3


def test_steps_that_lead_nowhere_leave_the_start(file: str) -> None:
    result = attack(LinearSegmenter(), photo(), "pgd", steps=1, step_size=1e-9, start=file)
    assert np.array_equal(result.image.pixels.astype(int) - photo().pixels, 8 * signs(file))
    elsewhere = attack(LinearSegmenter(), photo(), "pgd", steps=1, step_size=1e-9)
    assert not np.array_equal(elsewhere.image.pixels, result.image.pixels)


def test_the_record_names_the_file_by_its_content_and_plans_take_it(file: str) -> None:
    start = settings_of(make_recipe("gr-code", start=file))["start"]
    assert (start["file"], len(start["sha256"])) == (file, 64)
    assert settings_of(make_recipe("gr-code"))["start"] == "uniform"
    assert parameters_of("gr-code")["start"] == ""
    (changed,) = AttackEntry.model_validate({"attack": "gr-code", "start": file}).combinations()
    assert changed == {"start": file}


def test_what_is_refused(file: str, tmp_path: Path) -> None:
    for name in ("universal", "square", "noise"):
        with pytest.raises(UsageError, match=f"is where gradient steps begin, and '{name}' takes none"):
            make_recipe(name, start=file)
    with pytest.raises(MissingError, match="cannot read"):
        make_recipe("mi", start=str(tmp_path / "none.npy"))
    with pytest.raises(UsageError, match=r"is a \.npy file"):
        make_recipe("mi", start=str(tmp_path / "none.png"))
