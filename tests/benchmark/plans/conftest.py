"""A finished run of a small plan."""

from pathlib import Path

import plan_runs
import pytest

from segrobust.benchmark.plans import models


@pytest.fixture(scope="session")
def patched() -> pytest.MonkeyPatch:  # type: ignore[misc]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "load", plan_runs.load)
        yield patch


@pytest.fixture(scope="session")
def home(patched: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, a plan, and its finished run ``out``; copy it before you change it."""
    home = plan_runs.make_home(tmp_path_factory.mktemp("plans"))
    plan_runs.run_home(home)
    return home
