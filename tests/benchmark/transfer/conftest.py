"""Two tiny models with different weights, two photos, and a finished plan."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from plans import make_plan
from runs import Silent, make_other_model, make_photo

from segrobust.benchmark.transfer.run import run_transfer
from segrobust.io.sa1b import write_sa1b
from segrobust.types import Masks


@pytest.fixture(scope="session")
def home(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models ``one`` and ``two``, and ``photos`` with ``a`` and ``b``, of which ``b`` is annotated."""
    home = tmp_path_factory.mktemp("transfer")
    shutil.copytree(tiny_model, home / "one")
    make_other_model(tiny_model, home / "two")
    make_photo(home / "photos" / "a.png", 1)
    make_photo(home / "photos" / "b.png", 2, (40, 30))
    dense = np.zeros((3, 40, 30), np.bool_)
    dense[0, 5:20, 5:25], dense[1, 25:, :15] = True, True
    write_sa1b(home / "photos" / "b.json", Masks.from_dense(dense), "b.png")
    return home


@pytest.fixture(scope="session")
def transferred(home: Path) -> Path:
    """A finished plan, attacked on both models and scored on both; copy it before you change it."""
    run_transfer(make_plan(home, "one", "two"), home / "out", Silent())
    return home / "out"
