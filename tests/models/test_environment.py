"""models/environment.py and models/probe.py: packages are tried where they can do no harm."""

import re
import tomllib
from pathlib import Path

import pytest
import torch
from fakes import put_package

from segrobust.models import environment
from segrobust.models.environment import examine_extra, try_packages
from segrobust.models.extras import EXTRAS, REQUIRED, Extra
from segrobust.models.shield import matching_torchvision, mend

CRASH = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


def on_path(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """For this process, which looks whether a package is there, and for those that try it."""
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setenv("PYTHONPATH", str(home))


def test_the_tables_are_those_of_the_package(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[^\w.-]", line)[0] for line in project["dependencies"]}
    assert {name.replace("-", "_") for name in needed} == set(REQUIRED.values())
    assert {extra.name for extra in EXTRAS} == set(project["optional-dependencies"]) - {"dev", "train"}
    for extra in EXTRAS:
        assert any(line.startswith(extra.package) for line in project["optional-dependencies"][extra.name])


def test_packages_are_tried_in_order_and_what_they_print_is_not_mixed_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_package(tmp_path, "talker", "__version__ = '1.2'\nprint('hello')\nimport os; os.write(1, b'{}')")
    put_package(tmp_path, "leaver", "raise SystemExit('I do not\\nlike it here')")
    on_path(monkeypatch, tmp_path)
    answers = try_packages(["talker", "nonesuch", "leaver"])
    assert list(answers) == ["talker", "nonesuch", "leaver"]
    assert answers["talker"] == {"state": "works", "version": "1.2"}
    assert answers["nonesuch"] == {"state": "fails", "detail": "ModuleNotFoundError: No module named 'nonesuch'"}
    assert answers["leaver"] == {"state": "fails", "detail": "SystemExit: I do not like it here"}


def test_who_took_the_process_down_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_package(tmp_path, "good", "")
    put_package(tmp_path, "crashing", CRASH)
    put_package(tmp_path, "late", "")
    on_path(monkeypatch, tmp_path)
    answers = try_packages(["good", "crashing", "late"])
    assert answers["good"]["state"] == "works"
    assert answers["crashing"] == {"state": "fails", "detail": "took its process down (SIGKILL)"}
    assert answers["late"]["detail"].startswith("not tried")


def test_one_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_package(tmp_path, "sleeper", "import time\ntime.sleep(60)")
    on_path(monkeypatch, tmp_path)
    monkeypatch.setattr(environment, "PATIENCE", 2.0)
    assert try_packages(["sleeper"])["sleeper"]["detail"] == "took its process down (took more than 2 s)"


def test_a_trial_is_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import os\n__version__ = os.environ['HF_HUB_OFFLINE'] + os.environ['YOLO_OFFLINE']"
    put_package(tmp_path, "asker", code)
    on_path(monkeypatch, tmp_path)
    assert try_packages(["asker"])["asker"]["version"] == "1true"


@pytest.mark.parametrize(
    ("code", "state", "detail", "mend"),
    [
        (None, "absent", "for tests", "pip install 'segrobust[fake]'"),
        ("__version__ = '3'", "works", "for tests", ""),
        (
            CRASH,
            "fails",
            "for tests: took its process down (SIGKILL)",
            "pip install --force-reinstall --no-deps 'fake_extra'",
        ),
        ("import nonesuch", "fails", "for tests: ModuleNotFoundError: No module named 'nonesuch'", "pip install --f"),
        (
            "raise OSError('torchvision is odd')",
            "fails",
            "for tests: OSError",
            "pip uninstall torchvision",
        ),
    ],
)
def test_an_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str | None, state: str, detail: str, mend: str
) -> None:
    if code is not None:
        put_package(tmp_path, "fake_extra", code)
    on_path(monkeypatch, tmp_path)
    found = examine_extra(Extra("fake", "fake_extra", "for tests"))
    assert (found.name, found.state) == ("fake", state)
    assert found.detail.startswith(detail)
    assert found.mend.startswith(mend)
    assert (found.mend == "") == (state == "works")


def test_the_torchvision_that_goes_with_a_torch() -> None:
    # https://github.com/pytorch/vision#installation: 2.0 with 0.15, 2.5 with 0.20, 2.9 with 0.24
    assert matching_torchvision("2.0.1") == "torchvision==0.15.*"
    assert matching_torchvision("2.9.0+cpu") == "torchvision==0.24.*"
    assert matching_torchvision("") == matching_torchvision("3.0") == "torchvision"


def test_who_has_ultralytics_is_not_told_to_uninstall_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mend() == "pip uninstall torchvision"
    on_path(monkeypatch, put_package(tmp_path, "ultralytics", ""))
    assert mend() == f"pip install --force-reinstall --no-deps '{matching_torchvision(torch.__version__)}'"
