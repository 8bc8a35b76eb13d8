"""Files of weights that are read, and those that are not: pages, pointers, halves, pickles that could run anything."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from segrobust.errors import ModelError
from segrobust.models.checkpoint import read_state
from segrobust.models.sniff import megabytes, no_weights

STATE = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}


class Malicious:
    """Does something when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, (f"open({str(self.file)!r}, 'w').close()",))


def read(path: Path) -> dict[str, list[float]]:
    return {key: value.flatten().tolist() for key, value in read_state(path).items()}


@pytest.mark.parametrize(
    "content",
    [STATE, {"model": STATE, "epoch": 3}, {"state_dict": {f"module.{k}": v for k, v in STATE.items()}}],
    ids=["plain", "wrapped", "parallel"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_files(tmp_path: Path, content: object, zipped: bool) -> None:
    file = tmp_path / "x.pth"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    assert read(file) == {"a": [0, 1, 2], "b": [1, 1, 1, 1]}


def test_safetensors_whatever_they_are_called(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "x.pth")
    assert read(tmp_path / "x.pth") == {"a": [0, 1, 2], "b": [1, 1, 1, 1]}


@pytest.mark.parametrize("first", [b"<", b"{", b" "])
def test_safetensors_whose_length_looks_like_text(first: bytes) -> None:
    assert no_weights(first + bytes(7) + b'{"a": ', 10_000) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html>\n<title>Sign in</title>", r"an HTML page, 38 bytes, starts with '<!DOCTYPE html>'"),
        (b"\n\n<html lang=en>" + b" " * 5000, r"an HTML page, 5 KB, starts with '<html lang=en>'"),
        (b"version https://git-lfs.github.com/spec/v1\nsize 375042383\n", r"a Git LFS pointer, .*'git lfs pull'"),
        (b'{"error": "rate limit"}', "JSON text"),
        (b"just some words", "is neither a safetensors nor a PyTorch file"),
    ],
)
def test_what_is_no_weights_is_called_by_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "sam.pth"
    file.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_state(file)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_that_was_cut_off(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "x"
    if kind == "safetensors":
        save_file(STATE, file)
    else:
        torch.save(STATE, file, _use_new_zipfile_serialization=kind == "zip")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ModelError, match=r"cannot read .*; is it cut off\?"):
        read_state(file)


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain"])
def test_a_pickle_that_runs_code_is_not_run(tmp_path: Path, kind: str) -> None:
    file, trace = tmp_path / "x.pt", tmp_path / "it_ran"
    if kind == "plain":
        file.write_bytes(pickle.dumps(Malicious(trace)))
    else:
        torch.save({"model": Malicious(trace)}, file, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(ModelError, match=r"may run code when it is read.*models convert .*x\.pt OUT --trust-pickle"):
        read_state(file)
    assert not trace.exists()


def test_a_pickled_module_says_what_it_wants(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "x.pt")
    with pytest.raises(ModelError, match=r"it wants torch\.nn\.modules\.linear\.Linear"):
        read_state(tmp_path / "x.pt")


def test_other_content(tmp_path: Path) -> None:
    file = tmp_path / "x.pt"
    for content, message in (([1, 2], "but a list"), ({"epoch": 1}, "but a dict with the keys epoch")):
        torch.save(content, file)
        with pytest.raises(ModelError, match=message):
            read_state(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("weights/efficient_sam_vits.pt", b"...")
    with pytest.raises(ModelError, match=r"a zip archive that holds weights/efficient_sam_vits\.pt; unpack it"):
        read_state(file)
    with pytest.raises(ModelError, match=r"cannot read .*absent\.pt: No such file"):
        read_state(tmp_path / "absent.pt")
    with pytest.raises(ModelError, match="Is a directory"):
        read_state(tmp_path)


def test_sizes_for_people() -> None:
    assert [megabytes(n) for n in (12, 2_311, 375_042_383, 2_564_550_879)] == ["12 bytes", "2 KB", "375 MB", "2.56 GB"]
