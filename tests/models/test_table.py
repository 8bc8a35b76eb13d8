"""models/table.py: what the table of models says is true."""

import ast
import re
from pathlib import Path

import pytest

import segrobust.models
from segrobust.models.extras import EXTRAS
from segrobust.models.loading import FAMILIES
from segrobust.models.presence import file_of, where
from segrobust.models.table import ENTRIES, ModelEntry
from segrobust.models.weights import FILES

HERE = Path(next(iter(segrobust.models.__path__)))
BY_NAME = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


def is_function(loader: str) -> bool:
    """Whether ``module:function`` is there; read, not imported, since it may need an extra."""
    module, _, function = loader.partition(":")
    file = HERE / f"{module}.py"
    return file.exists() and function in {
        node.name for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)
    }


def test_a_function_that_is_not_there_is_noticed() -> None:
    assert is_function("sam:load_sam")
    assert not is_function("sam:load_ham")
    assert not is_function("ham:load_sam")


def test_names_are_unique() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(names) > 25
    assert sorted(set(names)) == sorted(names)


@BY_NAME
def test_every_line_holds_what_it_should(entry: ModelEntry) -> None:
    assert is_function(entry.loader)
    order = ("gradient", "points", "boxes", "everything")
    assert entry.capabilities == tuple(word for word in order if word in entry.capabilities)
    assert {"points", "everything"} & set(entry.capabilities)
    assert entry.licence.strip()
    assert entry.family.strip()
    assert entry.source.strip()
    assert entry.state in ("trained", "parity", "random")
    assert entry.parameters > 100_000
    assert entry.extra in {"", *(extra.name for extra in EXTRAS)}


@BY_NAME
def test_every_line_says_where_its_weights_come_from(entry: ModelEntry) -> None:
    embedded, hub = entry.loader == "loading:load_embedded", entry.loader == "loading:load_hub"
    assert embedded == (entry.state == "trained")
    assert hub == (re.fullmatch(r"[\w.-]+/[\w.-]+", entry.name) is not None)
    if not embedded and not hub:
        (file,) = [file for file in FILES if file.name == file_of(entry.name)]
        assert file.licence == entry.licence


def test_every_file_of_weights_has_a_model() -> None:
    assert {file.name for file in FILES} <= {entry.name for entry in ENTRIES}


@BY_NAME
def test_what_is_trained_and_here_has_its_scores(entry: ModelEntry) -> None:
    if entry.state != "trained":
        return
    folder = where(entry)
    assert folder is not None, f"{entry.name} is not in the repository"
    assert {"config.json", "card.json", "README.md"} <= {file.name for file in folder.iterdir()}
    assert (folder / "model.safetensors").stat().st_size <= 16 * 10**6


@pytest.mark.parametrize(("kind", "loader"), FAMILIES.items())
def test_every_family_has_a_loader(kind: str, loader: str) -> None:
    assert is_function(loader)


@pytest.mark.parametrize("loader", re.findall(r'return "([a-z_]+:[a-z_]+)"', (HERE / "registry.py").read_text("utf-8")))
def test_what_is_no_name_has_a_loader_too(loader: str) -> None:
    assert is_function(loader)
