"""A finished run of a small plan."""

import shutil
from pathlib import Path

import plan_runs
import pytest

from segrobust.benchmark.plans import models


@pytest.fixture(autouse=True)
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models of these tests; for each test anew, since those of other rooms load real ones."""
    monkeypatch.setattr(models, "load", plan_runs.load)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, a plan, and its finished run ``out``; copy it before you change it."""
    home = plan_runs.make_home(tmp_path_factory.mktemp("plans"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "load", plan_runs.load)
        plan_runs.run_home(home)
    return home


@pytest.fixture
def copy(home: Path, tmp_path: Path) -> Path:
    """The same, to change."""
    return Path(shutil.copytree(home, tmp_path / "copy"))
