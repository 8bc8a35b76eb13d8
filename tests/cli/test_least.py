"""The least perturbation, as a person asks for it; and a band around boundaries."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import Cli, make_cli
from runs import FAST, make_photo, records

from segrobust.io.images import read_image, write_png
from segrobust.io.sa1b import read_sa1b
from segrobust.regions.outlines import near_edges


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, in a folder with a photo."""
    monkeypatch.chdir(tmp_path)
    make_photo(tmp_path / "a.png", 1)
    return make_cli(capsys)


def test_the_photo_that_was_found_is_saved_with_its_trail(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    order = ("least", "a.png", "-m", tiny_model, "--norm", "linf", "--eps", "64/255", "--set", "steps=4")
    said = cli(*order, "--set", "step_size=32/255", "--miou", "0.97", "--tries", "3", "-o", "b/least.png")
    assert said.code == 0, said
    record = json.loads((tmp_path / "b/least.json").read_text())
    saved, original = read_image(tmp_path / "b/least.png"), read_image(tmp_path / "a.png")
    change = np.abs(saved.pixels.astype(int) - original.pixels)
    assert record["found"]["linf_255"] == change.max()
    assert record["found"]["l2"] == pytest.approx(np.linalg.norm(change / 255))
    assert record["found"]["miou"] <= 0.97
    assert record["saved_sha256"] == saved.fingerprint
    assert (len(record["trail"]), record["trail"][0]["budget"]) == (3, "64/255")
    assert said.out.splitlines()[0].split() == ["budget", "mIoU", "L2", "max", "diff", "/255", "reached"]
    assert said.err.count("tried ") == 3
    assert f"saved b/least.png: L2 {record['found']['l2']:.3f}" in said.out


def test_what_was_not_reached_is_said_and_not_saved(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    said = cli(
        "least", "a.png", "-m", tiny_model, "--attack", "noise", "--norm", "linf", "--eps", "1/255", "--miou", "0"
    )
    assert said.code == 4
    assert "not reached: 1/255 leaves an mIoU of" in said.out
    assert not (tmp_path / "runs/least.png").exists()
    assert cli("least", "a.png", "-m", tiny_model, "-o", "least.jpg").err == (
        "error: least.jpg must end in .png: only that keeps every pixel\n"
    )
    assert (
        "the wanted mIoU is at least 0 and below 1, got 3" in cli("least", "a.png", "-m", tiny_model, "--miou", "3").err
    )


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("steps=abc", "error: --set steps is a whole number, e.g. 40; got 'abc'\n"),
        ("tries=3", "error: attack 'rga' has no parameter 'tries'"),
        ("protocol=paper", "error: attack 'rga' has no parameter 'protocol'"),
    ],
)
def test_parameters_are_the_recipes_and_of_its_kinds(cli: Cli, parameter: str, said: str) -> None:
    code, out, err = cli("least", "a.png", "--set", parameter)
    assert (code, out) == (2, "")
    assert err.startswith(said)


def test_a_band_limits_attack_and_noise_and_is_verified(cli: Cli, root: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", read_image(root / "examples/coffee.png").pixels[:160, :200])
    few = ("--points-per-side", "4", "--set", "copies=1")
    said = cli("attack", "a.png", *FAST, *few, "--band", "3", "--set", "outside=0.25", "-o", "out")
    assert (said.code, said.err) == (0, "")
    original = read_image(tmp_path / "a.png")
    band = near_edges(read_sa1b(tmp_path / "out/masks/a.json", size=original.size), 3)
    assert band.any()
    assert not band.all()
    for row in ("", ".noise"):
        saved = read_image(tmp_path / "out" / "adv" / f"a{row}.png")
        change = np.abs(saved.pixels.astype(int) - original.pixels).max(axis=2)
        assert (change[band].max(), change[~band].max()) == (8, 2)
    assert yaml.safe_load((tmp_path / "out/config.yaml").read_text())["parameters"]["band"] == 3
    assert cli("verify", "out").code == 0
    pixels = read_image(tmp_path / "out/adv/a.png").pixels.copy()
    place = tuple(np.argwhere(~band)[0])
    pixels[place] = original.pixels[place] - np.where(original.pixels[place] > 100, 5, -5).astype(np.int8)
    write_png(tmp_path / "out/adv/a.png", pixels)
    lines = records(tmp_path / "out")
    lines[-1]["adversarial_sha256"] = read_image(tmp_path / "out/adv/a.png").fingerprint
    (tmp_path / "out/samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "the budget is broken" in cli("verify", "out").out
