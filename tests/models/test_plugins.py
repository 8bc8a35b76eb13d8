"""models/plugins.py: packages that bring models, installed for real (metadata and all) in a folder on the path."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segrobust.errors import ModelError, SegrobustError, UsageError
from segrobust.models import entries, load
from segrobust.models.base import Segmenter
from segrobust.models.registry import find_entry

CODE = """
import numpy as np
import segrobust
from segrobust.errors import UsageError

def load_blind(name, options):
    return segrobust.wrap(lambda image, prompts: None, name=f"{name} on {options.device}")

class Zoo:
    load = staticmethod(load_blind)

def load_nothing(name, options):
    return 7

def load_failing(name, options):
    raise RuntimeError("no\\nweights")

def load_refusing(name, options):
    raise UsageError("not on a Sunday")
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a distribution: a module, and what pip notes down about it."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def put(distribution: str, entry_points: dict[str, str], module: str = "", code: str = "") -> None:
        notes = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        notes.mkdir()
        (notes / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entry_points.items()]
        (notes / "entry_points.txt").write_text("\n".join(["[segrobust.models]", *lines, ""]))
        if module:
            (tmp_path / f"{module}.py").write_text(code)
        entries.cache_clear()

    yield put
    entries.cache_clear()
    for name in ("blind_zoo", "broken_zoo"):
        sys.modules.pop(name, None)


def test_a_plugin_is_listed_and_loaded(install: Install) -> None:
    install("blind-zoo", {"blind": "blind_zoo:load_blind", "blind-too": "blind_zoo:Zoo.load"}, "blind_zoo", CODE)
    entry = find_entry("blind")
    assert entry is not None
    assert (entry.family, entry.source, entry.state) == ("plug-in blind-zoo", "plug-in blind-zoo", "plug-in")
    assert "blind_zoo" not in sys.modules  # a list imports nothing
    segmenter = load("blind", device="cpu")
    assert isinstance(segmenter, Segmenter)
    assert segmenter.name == "blind on cpu"
    assert load("blind-too", device="cpu").name == "blind-too on cpu"
    assert load("nano", device="cpu").name == "nano"


def test_a_plugin_of_an_installed_wheel_is_found_in_a_process_of_its_own(install: Install, tmp_path: Path) -> None:
    install("blind-zoo", {"blind": "blind_zoo:load_blind"}, "blind_zoo", CODE)
    done = subprocess.run(
        [sys.executable, "-m", "segrobust", "ls", "models"],
        env={"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "blind" in done.stdout


@pytest.mark.parametrize("owner", ["segrobust itself", "plug-in first-zoo"])
def test_a_name_that_is_taken_is_refused(install: Install, owner: str) -> None:
    name = "nano" if owner == "segrobust itself" else "blind"
    install("first-zoo", {"blind": "blind_zoo:load_blind"})
    install("second-zoo", {name: "blind_zoo:load_blind"})
    with pytest.raises(ModelError, match=rf"model '{name}' of plug-in .*-zoo has a name that is taken by") as caught:
        load("nano")
    assert "uninstall it, or rename" in str(caught.value)
    if name == "nano":
        assert "of plug-in second-zoo has a name that is taken by segrobust itself" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        (
            "nowhere_at_all:load",
            ModelError,
            "cannot be imported: ModuleNotFoundError: No module named 'nowhere_at_all'",
        ),
        ("broken_zoo:load", ModelError, "cannot be imported: SyntaxError"),
        ("blind_zoo:load_blnd", ModelError, "cannot be imported: AttributeError"),
        ("blind_zoo:load_failing", ModelError, "cannot be loaded: RuntimeError: no weights"),
        ("blind_zoo:load_nothing", ModelError, "gives a int, which is no segmenter"),
        ("blind_zoo:__name__", ModelError, "cannot be loaded: TypeError"),
        ("blind_zoo:load_refusing", UsageError, "not on a Sunday"),
        ("blind_zoo", ModelError, "'blind_zoo' must be module:function"),
    ],
)
def test_a_plugin_that_fails_says_so_on_one_line(
    install: Install, value: str, kind: type[SegrobustError], says: str
) -> None:
    install("blind-zoo", {"blind": value}, "blind_zoo", CODE)
    install("broken-zoo", {}, "broken_zoo", "def load(")
    with pytest.raises(kind, match=says) as caught:
        load("blind", device="cpu")
    assert "\n" not in str(caught.value)
    if kind is ModelError:
        assert str(caught.value).startswith("model 'blind' of plug-in blind-zoo")


def test_a_plugin_that_fails_does_not_hinder_others(install: Install) -> None:
    install("blind-zoo", {"blind": "nowhere_at_all:load"})
    assert load("nano", device="cpu").name == "nano"
