"""Training a universal perturbation and attacking with it, from the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import Cli, make_cli
from runs import make_photo, records, segrobust

from segrobust.attacks.universal.files import read_universal
from segrobust.io.images import read_image

QUICK = ("--set", "epochs=2", "--set", "side=32", "--no-progress")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photos to train on, two others to attack."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(["train/a.png", "train/b.png", "photos/c.png", "photos/d.png"]):
        make_photo(tmp_path / name, seed, (40 + 8 * seed, 64))
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(capsys)


def test_trained_and_attacked_in_processes_of_their_own(home: Path, cli: Cli, tiny_model: Path) -> None:
    trained = segrobust("universal", "train", "train", "-m", tiny_model, *QUICK[:-1], "-o", "u/uap.npy", cwd=home)
    assert trained.returncode == 0, trained.stderr
    assert "uap-momentum on 2 photos: loss" in trained.stdout
    assert "--universal u/uap.npy" in trained.stdout
    assert "step 2/2: loss" in trained.stderr
    attacked = segrobust("attack", "photos/c.png", "-m", tiny_model, "--universal", "u/uap.npy", "-o", "out", cwd=home)
    assert attacked.returncode == 0, attacked.stderr
    done = records(home / "out")
    assert [r["attack"] for r in done] == ["clean", "noise", "universal"]
    assert (done[2]["max_linf_255"], done[2]["encoder_backward"]) == (8, 0)
    assert done[2]["settings"]["start"]["sha256"] == read_universal(home / "u/uap.npy").card["sha256"]
    assert cli("verify", "out").out == "ok: out is as recorded\n"


def test_the_card_says_what_was_done(home: Path, cli: Cli, tiny_model: Path) -> None:
    (home / "train/broken.png").write_bytes(b"no photo")
    said = cli("universal", "train", "train", "-m", tiny_model, "--recipe", "sam-uap", "--eps", "6/255", "--seed", 7,
               *QUICK, "-o", "u.npy")  # fmt: skip
    assert said.code == 4
    assert "warning: left out: " in said.err
    assert "1 photos could not be read" in said.out
    card = json.loads((home / "u.json").read_text())
    assert [entry["name"] for entry in card["photos"]] == ["a", "b"]
    assert card["photos"][0]["sha256"] == read_image(home / "train/a.png").fingerprint
    assert [entry["name"] for entry in card["left_out"]] == ["broken"]
    assert (card["recipe"], card["epsilon"], card["seed"], card["side"]) == ("sam-uap", "6/255", 7, 32)
    assert card["settings"]["epochs"] == 2
    assert np.abs(read_universal("u.npy").pattern).max() <= np.float32(6 / 255)


def test_verify_sees_another_perturbation(home: Path, cli: Cli, tiny_model: Path) -> None:
    for seed in (0, 1):
        train = ("universal", "train", "train", "-m", tiny_model, "--seed", seed, *QUICK)
        assert cli(*train, "-o", f"u{seed}.npy").code == 0
    run = ("attack", "photos/c.png", "-m", tiny_model, "--universal", "u0.npy", "--eps", "4/255", "--no-progress")
    assert cli(*run, "-o", "out").code == 0
    assert [r["max_linf_255"] for r in records(home / "out")] == [0, 4, 4]  # scaled from what it was trained with
    again = cli("attack", "-c", "out/config.yaml", "-o", "again", "--no-progress")
    assert again.code == 0
    assert (home / "again/adv/c.png").read_bytes() == (home / "out/adv/c.png").read_bytes()
    for suffix in (".npy", ".json"):
        shutil.copy(home / f"u1{suffix}", home / f"u0{suffix}")
    said = cli("verify", "out")
    assert said.code == 6
    assert "c universal: its settings are not those of the configuration" in said.out


def test_beside_other_attacks(home: Path, cli: Cli, tiny_model: Path) -> None:
    assert cli("universal", "train", "train", "-m", tiny_model, *QUICK, "-o", "u.npy").code == 0
    run = ("attack", "photos/c.png", "-m", tiny_model, "--attack", "fgsm", "--universal", "u.npy", "--no-progress")
    assert cli(*run, "-o", "out").code == 0
    assert [r["attack"] for r in records(home / "out")] == ["clean", "noise", "fgsm", "universal"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["train", "nowhere"], 2, "nowhere: no such folder"),
        (["train", "train", "--recipe", "darkksam"], 2, "unknown recipe 'darkksam'; did you mean 'darksam'"),
        (["train", "train", "--set", "epoch=3"], 2, "no parameter 'epoch'; did you mean 'epochs'"),
        (["train", "train", "--set", "epochs=1.5"], 2, "epochs is a whole number, e.g. 10; got 1.5"),
        (["train", "train", "--set", "epochs"], 2, "--set takes key=value"),
        (["train", "train", "--eps", "8"], 2, "did you mean 8/255?"),
        (["train", "train", "--eps", "l2:3"], 2, "trained under L-infinity"),
        (["train", "train", "-o", "uap.png"], 2, "is a .npy file, got 'uap.png'"),
        (["train", "train", "-m", "nanoo"], 5, "nanoo"),
        (["train", "train", "-o", "there.npy"], 2, "there.npy is there already"),
        (["train", "empty"], 2, "empty"),
        (["train", "bad"], 4, "none of 1 photos can be read"),
    ],
)
def test_bad_training(home: Path, cli: Cli, arguments: list[str], code: int, said: str) -> None:
    (home / "there.npy").write_bytes(b"")
    (home / "empty").mkdir()
    (home / "bad").mkdir()
    (home / "bad/x.png").write_bytes(b"no photo")
    result = cli("universal", *arguments)
    assert result.code == code, result
    assert said in result.err
    assert result.err.splitlines()[-1].startswith("error: ")
    assert not list(home.glob("runs/*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--universal", "nowhere.npy"], "cannot read nowhere.npy"),
        (["--universal", "photos/c.png"], "is a .npy file, got 'photos/c.png'"),
        (["--attack", "universal"], "needs the file of a perturbation: --universal FILE"),
        (["--universal", "alone.npy"], "cannot read alone.json, the card"),
    ],
)
def test_bad_perturbations(home: Path, cli: Cli, tiny_model: Path, arguments: list[str], said: str) -> None:
    np.save(home / "alone.npy", np.zeros((3, 4, 4), np.float32))
    result = cli("attack", "photos", "-m", tiny_model, *arguments, "-o", "out")
    assert result.code == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert not (home / "out").exists()


def test_without_a_command_there_is_help(cli: Cli) -> None:
    said = cli("universal")
    assert said.code == 2
    assert "train" in said.err
