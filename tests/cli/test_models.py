"""``segrobust models`` as a person runs it: in a process of its own, against a server on this machine."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import Cli, make_cli
from file_server import FileServer, file_server
from official_names import to_official
from runs import make_photo, segrobust
from safetensors.torch import load_file

from segrobust.models.weights import weights_file

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with caches of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGROBUST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path


@pytest.fixture
def cli(here: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(capsys)


def test_download_verify_path(here: Path, server: FileServer) -> None:
    url = server.serve("/weights.pt", CONTENT, cuts=[400_000])
    done = segrobust("models", "download", "mobile_sam", "--url", url)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"mobile_sam: {here}/cache/weights/mobile_sam.pt")
    assert f"sha256 {hashlib.sha256(CONTENT).hexdigest()} (not verified" in done.stdout
    assert "licence: Apache-2.0" in done.stdout
    assert done.stderr.splitlines()[-1] == "mobile_sam.pt: 1 MB (100 %)"
    assert segrobust("models", "path", "mobile_sam").stdout == f"{here}/cache/weights/mobile_sam.pt\n"
    assert segrobust("models", "verify").stdout.startswith(f"ok: {here}/cache/weights/mobile_sam.pt\n")
    (here / "cache/weights/mobile_sam.pt").write_bytes(CONTENT[::-1])
    done = segrobust("models", "verify", "mobile_sam")
    assert (done.returncode, done.stderr) == (6, "")
    assert done.stdout.startswith("differs: ")
    assert "has changed since it came here" in done.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"content": b"<!DOCTYPE html><title>Moved</title>"},
            "got an HTML page, 35 bytes, starts with '<!DOCTYPE html>",
        ),
        ({"content": CONTENT}, "has 1024000 bytes (1 MB), published are 375042383"),
        ({"status": 404}, "HTTP 404"),
    ],
)
def test_what_is_not_the_file_is_one_line(cli: Cli, server: FileServer, settings: Any, message: str) -> None:
    said = cli("models", "download", "sam_vit_b", "--url", server.serve("/x", **settings), "--no-progress")
    assert (said.code, said.out) == (5, "")
    assert message in said.err
    assert len(said.err.splitlines()) == 1


def test_a_hash_that_the_user_knows(cli: Cli, server: FileServer, here: Path) -> None:
    url = server.serve("/fine_tune.pth", CONTENT)
    said = cli("models", "download", url, "--sha256", "0" * 64, "--no-progress")
    assert said.code == 5
    assert "it should be 000" in said.err
    said = cli("models", "download", url, "--sha256", hashlib.sha256(CONTENT).hexdigest().upper(), "--no-progress")
    assert (said.code, said.err) == (0, "")
    assert "sha256 as published" in said.out
    assert (here / "cache/weights/fine_tune.pth").read_bytes() == CONTENT


def test_missing_is_one_line(cli: Cli, here: Path) -> None:
    make_photo(here / "x.png")
    said = cli("attack", "x.png", "-m", "sam_vit_h")
    assert (said.code, said.out) == (5, "")
    assert said.err == (
        "error: the weights of sam_vit_h are not here; on a connected machine: 'segrobust models download sam_vit_h'; "
        f"or put sam_vit_h_4b8939.pth into {here}/cache/weights, or name it with --checkpoint\n"
    )


def test_a_cache_that_cannot_be_written(here: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGROBUST_CACHE", "/proc/nothing")
    done = segrobust("models", "download", "mobile_sam", "--url", server.serve("/x", CONTENT))
    assert done.returncode == 5
    assert done.stderr.startswith("error: cannot write to /proc/nothing/weights: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["path", "sam_vit_l"], 5, "segrobust models download sam_vit_l"),
        (["path", "sam_vit"], 5, "did you mean"),
        (["verify", "FastSAM-s"], 5, "segrobust models download FastSAM-s"),
        (["download", "nano"], 2, "there is nothing to download"),
        (["download", "mobile_sam", "FastSAM-s", "--url", "http://x/y"], 2, "go with one name"),
        (["download", "mobile_sam", "--sha256", "12"], 2, "64 hexadecimal digits"),
        (["download", "facebook/sam3", "--url", "http://x/y"], 2, "comes from Hugging Face"),
        (["download", "ftp://example.org/x.pth"], 5, "only http:// and https://"),
        (["convert", "none.pth", "out"], 5, "cannot read none.pth"),
        ([], 2, ""),
    ],
)
def test_refusals(cli: Cli, arguments: list[str], code: int, message: str) -> None:
    said = cli("models", *arguments)
    assert (said.code, said.out) == (code, "")
    assert message in said.err


def test_what_came_with_the_package(cli: Cli) -> None:
    assert Path(cli("models", "path", "nano").out.strip(), "model.safetensors").exists()
    assert cli("models", "verify").out.startswith("no weights in ")


def test_an_official_file_is_attacked_and_verified(cli: Cli, golden: Path, here: Path) -> None:
    make_photo(here / "a.png", 1)
    torch.save(to_official(load_file(golden / "tiny-sam" / "model.safetensors")), here / "tiny.pth")
    said = cli("attack", "a.png", "-m", "sam_vit_b", "--checkpoint", "tiny.pth", "-o", "wrong")
    assert said.code == 5
    assert "you asked for sam_vit_b" in said.err
    said = cli("models", "convert", "tiny.pth", "tiny")
    assert said.out == "a SAM of its own size (width 64, 3 blocks): tiny\n  use it with: -m tiny\n"
    config = json.loads((here / "tiny/config.json").read_text())
    config["everything"] = {"points_per_side": 2, "predicted_iou_threshold": -1.0, "stability_threshold": 0.0}
    (here / "tiny/config.json").write_text(json.dumps(config))
    said = cli("attack", "a.png", "-m", "tiny/model.safetensors", "--steps", 1, "--no-progress", "-o", "out")
    assert (said.code, said.err) == (0, "")
    assert cli("verify", "out").code == 0


def test_the_checkpoint_is_part_of_the_run(cli: Cli, golden: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[dict[str, Any]] = []

    def load(name: str, **settings: Any) -> None:
        loaded.append({"name": name, "checkpoint": settings["checkpoint"]})
        raise KeyboardInterrupt

    make_photo(here / "a.png", 1)
    monkeypatch.setattr("segrobust.benchmark.run.load", load)
    assert cli("attack", "a.png", "-m", "sam_vit_b", "--checkpoint", "own.pth", "-o", "out").code == 130
    assert loaded == [{"name": "sam_vit_b", "checkpoint": "own.pth"}]


@pytest.fixture
def hub(here: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """A hub on this machine, for commands in processes of their own."""
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    return server


def test_a_name_on_the_hub(hub: FileServer, golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {file: (golden / "tiny-sam" / file).read_bytes() for file in ("config.json", "model.safetensors")}
    hub.serve_hub("acme/tiny-sam", {**files, "pytorch_model.bin": b"a pickle", "README.md": b"# Tiny"})
    done = segrobust("models", "download", "acme/tiny-sam")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.removeprefix("acme/tiny-sam: ").strip())
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == files
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.asked.clear()
    assert segrobust("models", "path", "acme/tiny-sam").stdout == f"{folder}\n"
    assert segrobust("models", "verify", "acme/tiny-sam").stdout.count("ok: ") == 2
    (folder / "model.safetensors").resolve().write_bytes(b"damaged")
    done = segrobust("models", "verify", "acme/tiny-sam")
    assert done.returncode == 6
    assert f"differs: {folder}/model.safetensors is damaged" in done.stdout
    assert hub.asked == []


def test_what_the_hub_does_not_have(hub: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.serve("/api/models/acme/none/revision/main", status=401, headers={"X-Error-Code": "RepoNotFound"})
    hub.serve("/api/models/acme/gated/revision/main", status=403, headers={"X-Error-Code": "GatedRepo"})
    hub.serve_hub("acme/pickles", {"config.json": b"{}", "pytorch_model.bin": b"a pickle"})
    for name, message in (
        ("acme/none", "the hub has no such name, or it is private"),
        ("acme/gated", "its licence must be accepted at https://huggingface.co/acme/gated"),
        ("acme/pickles", "has no config.json with safetensors"),
    ):
        done = segrobust("models", "download", name, "--no-progress")
        assert done.returncode == 5
        assert message in done.stderr.splitlines()[-1]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = segrobust("models", "download", "acme/x")
    assert done.returncode == 5
    assert done.stderr == (
        "error: cannot get acme/x: it is not in huggingface_hub's cache, and HF_HUB_OFFLINE is set; on a connected "
        "machine: 'segrobust models download acme/x'; copy the folder that 'segrobust models path' prints there, and "
        "give its path with -m\n"
    )


def test_a_converted_pickle_is_what_is_found(cli: Cli, here: Path) -> None:
    known = weights_file("FastSAM-s")
    folder = here / "cache/weights"
    folder.mkdir(parents=True)
    torch.save({"model": {"model.0.conv.weight": torch.ones(32, 3, 3, 3)}}, folder / known.file)
    assert cli("models", "convert", folder / known.file, folder / known.converted).code == 0
    assert cli("models", "path", "FastSAM-s").out == f"{folder / known.converted}\n"
    said = cli("models", "verify", "FastSAM-s")
    assert "unchanged since it came here" in said.out
