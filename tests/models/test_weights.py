"""The table of files of weights, and where they are looked for."""

import re
from pathlib import Path

import pytest

from segrobust.errors import ModelError
from segrobust.models.table import ENTRIES
from segrobust.models.weights import FILES, cache_folder, locate, weights_file


def test_every_model_that_is_a_file_has_one(root: Path) -> None:
    downloaded = {entry.name: entry for entry in ENTRIES if entry.source.startswith("download")}
    assert {known.name for known in FILES} == {name.partition("@")[0] for name in downloaded}
    assert all(known.licence == downloaded[known.name].licence for known in FILES)


def test_the_table_in_the_documents(root: Path) -> None:
    text = (root / "docs" / "weights.md").read_text("utf-8")
    rows = [[cell.strip(" `") for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("| `")]
    assert [(row[0], row[1], row[4]) for row in rows] == [(known.name, known.file, known.licence) for known in FILES]
    assert [row[3].startswith("size") for row in rows] == [known.size is not None for known in FILES]


def test_nothing_about_a_file_is_made_up() -> None:
    for known in FILES:
        assert all(url.startswith("https://") and url.endswith((".pth", ".pt", ".zip")) for url in known.urls)
        assert known.sha256 is None or re.fullmatch("[0-9a-f]{64}", known.sha256)
        assert known.digest in known.file


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"SEGROBUST_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/weights"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/segrobust/weights"),
        ({"HOME": "/h"}, "/h/.cache/segrobust/weights"),
        ({"HOME": "/h", "SEGROBUST_CACHE": "~/w"}, "/h/w/weights"),
    ],
)
def test_the_cache(variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEGROBUST_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)


def test_where_a_model_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGROBUST_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        locate("mobile_sam")
    for part in ("segrobust models download mobile_sam", f"put mobile_sam.pt into {tmp_path}/weights", "--checkpoint"):
        assert part in str(caught.value)
    (tmp_path / "weights").mkdir()
    for file in ("mobile_sam.pt", "mobile_sam.safetensors"):  # the second is preferred
        (tmp_path / "weights" / file).touch()
        assert locate("mobile_sam") == tmp_path / "weights" / file


def test_names() -> None:
    assert weights_file("sam_vit_b_01ec64.pth") is weights_file("sam_vit_b")
    with pytest.raises(ModelError, match="did you mean 'FastSAM-s'"):
        weights_file("fastsam-s")
    with pytest.raises(ModelError, match="those that have: sam_vit_b, sam_vit_l"):
        weights_file("xyz")
