"""Promises of the whole: what importing costs, what it must survive, and what may be committed."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest
from fakes import python

import segrobust

MEGABYTE = 10**6


@pytest.mark.parametrize(
    "statement",
    ["import segrobust", "import segrobust; segrobust.Budget, dir(segrobust)", "from segrobust.models import entries"],
)
def test_importing_is_cheap(statement: str) -> None:
    loaded = python(f"{statement}\nimport sys; print(*sys.modules)").split()
    assert not {"torch", "transformers", "scipy"} & set(loaded)


@pytest.mark.parametrize("name", segrobust.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(segrobust, name) is not None
    assert name in dir(segrobust)


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = segrobust.nope


def committed(root: Path) -> list[Path]:
    """What is, or would be, committed."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    paths = [root / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_committed_file_is_larger_than_16_mb(root: Path) -> None:
    files = committed(root)
    assert root / "pyproject.toml" in files
    large = {str(f.relative_to(root)): f.stat().st_size for f in files if f.stat().st_size > 16 * MEGABYTE}
    assert not large


def resolves(dotted: str) -> bool:
    """Whether ``segrobust.a.b.c`` is a module, or an attribute (of an attribute) of one."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_resolves_tells_real_names_from_invented_ones() -> None:
    assert resolves("segrobust.types.Budget.parse")
    assert not resolves("segrobust.types.Budget.parsed")
    assert not resolves("segrobust.nowhere.at_all")


def test_every_name_in_the_documents_is_real(root: Path) -> None:
    pages = [page for page in committed(root) if page.suffix == ".md"]
    assert pages
    named = {
        (str(page.relative_to(root)), name)
        for page in pages
        for name in re.findall(r"\bsegrobust(?:\.[A-Za-z_]\w*)+", page.read_text(encoding="utf-8"))
    }
    assert not {entry for entry in named if not resolves(entry[1])}


def test_every_file_in_the_documents_is_there(root: Path) -> None:
    pages = [page for page in committed(root) if page.suffix == ".md"]
    named = {
        (str(page.relative_to(root)), name)
        for page in pages
        for name in re.findall(
            r"\b(?:src|tests|docs|examples|training|benchmarks)/[\w./-]+\.\w+", page.read_text("utf-8")
        )
    }
    assert named
    assert not {entry for entry in named if not (root / entry[1]).exists()}
