"""What every room's tests share: the golden files and the tiny SAM that made them."""

import gc
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from runs import Silent, configure, make_photo, make_tiny_model

from segrobust.benchmark.config import CONTROLS
from segrobust.benchmark.run import run
from segrobust.io.sa1b import write_sa1b
from segrobust.models import load
from segrobust.models.base import WhiteBox
from segrobust.types import Masks

ROOT = Path(__file__).resolve().parent.parent

# Sums in another order differ in the last bits: one thread, so that a test means the same on every machine.
torch.set_num_threads(1)

# The engine collects garbage between models, and a collection looks at all objects: torch's are no garbage.
gc.freeze()

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def golden() -> Path:
    """Values computed with the authors' implementations; see tests/golden/README.md."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def tiny_sam(golden: Path) -> WhiteBox:
    """A SAM of 256 px with random weights; shared, so leave it as it is."""
    return load(str(golden / "tiny-sam"), device="cpu")


@pytest.fixture(scope="session")
def tiny_model(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder for quick runs."""
    return make_tiny_model(golden / "tiny-sam", tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with controls on the photos ``a`` and ``b`` (``b`` is annotated); copy it before you change it.

    Next to the folder ``out`` lie the photos.
    """
    home = tmp_path_factory.mktemp("finished")
    photos = [make_photo(home / "a.png", 1), make_photo(home / "b.png", 2, (40, 30))]
    dense = np.zeros((3, 40, 30), np.bool_)
    dense[0, 5:20, 5:25], dense[1, 25:, :15] = True, True  # the third is empty
    write_sa1b(home / "b.json", Masks.from_dense(dense), "b.png")
    run(configure(tiny_model, *photos, attacks=("rga", *CONTROLS)), home / "out", Silent())
    return home / "out"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What is said about names that are no text is escaped: processes send their reports as UTF-8."""
    report = yield
    report.sections = [(title, _escaped(text)) for title, text in report.sections]
    if report.failed and (text := str(report.longrepr)) != _escaped(text):
        report.longrepr = _escaped(text)
    return report


def _escaped(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
