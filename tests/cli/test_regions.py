"""What a user points at: only there the photo is changed, or that vanishes; recorded, and verified from the files."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import yaml
from commands import Cli, make_cli
from runs import FAST, make_photo, records, segrobust

from segrobust.attacks.region import Region, parse_region
from segrobust.errors import UsageError
from segrobust.io.images import read_image, write_png
from segrobust.models import load
from segrobust.types import Prompts


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, in a folder with a photo."""
    monkeypatch.chdir(tmp_path)
    make_photo(tmp_path / "a.png", 1)
    return make_cli(capsys)


def changed(here: Path, row: str = "") -> np.ndarray:
    """Where the saved photo differs from the original."""
    saved = read_image(here / "out" / "adv" / f"a{row}.png")
    return (saved.pixels != read_image(here / "a.png").pixels).any(axis=2)


def test_a_box_limits_attack_and_noise_and_is_verified(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    said = cli("attack", "a.png", "-m", tiny_model, *FAST, "--within", "box:10,5,30,20", "-o", "out")
    assert (said.code, said.err) == (0, "")
    inside = np.zeros((48, 64), bool)
    inside[5:21, 10:31] = True
    for row in ("", ".noise"):
        assert changed(tmp_path, row).any()
        assert not (changed(tmp_path, row) & ~inside).any()
    assert yaml.safe_load((tmp_path / "out/config.yaml").read_text())["within"] == "box:10,5,30,20"
    assert {record["within"] for record in records(tmp_path / "out")} == {"box:10,5,30,20"}
    assert "only 336 of 3072 pixels may change" in records(tmp_path / "out")[-1]["notes"]
    assert cli("verify", "out").code == 0
    again = cli("attack", "a.png", "-m", tiny_model, *FAST, "--within", "box:10,5,30,21", "-o", "out")
    assert again.code == 2
    assert "another run (within: within is 'box:10,5,30,20' there" in again.err


def test_a_pixel_changed_outside_is_found(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    """Inside the budget, and recorded as if it had been made so."""
    assert cli("attack", "a.png", "-m", tiny_model, *FAST, "--within", "box:10,5,30,20", "-o", "out").code == 0
    pixels = read_image(tmp_path / "out/adv/a.png").pixels.copy()
    pixels[40, 50] ^= 1
    write_png(tmp_path / "out/adv/a.png", pixels)
    lines = records(tmp_path / "out")
    lines[-1]["adversarial_sha256"] = read_image(tmp_path / "out/adv/a.png").fingerprint
    (tmp_path / "out/samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = cli("verify", "out")
    assert said.code == 6
    assert "differs: a rga: 1 pixels outside box:10,5,30,20 are not the original's\n" in said.out


def test_a_click_is_what_the_model_finds_there(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    assert cli("attack", "a.png", "-m", tiny_model, *FAST, "--within", "click:20,10", "-o", "out").code == 0
    model = load(str(tiny_model), device="cpu")
    region = model.answer(read_image(tmp_path / "a.png"), Prompts.of([(20, 10)])).mask(0)
    assert 0 < region.sum() < region.size
    assert changed(tmp_path)[region].any()
    assert not changed(tmp_path)[~region].any()
    assert cli("verify", "out").code == 0


def test_a_mask_is_a_picture(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    region = np.zeros((48, 64), np.uint8)
    region[30:40, 2:9] = 255
    PIL.Image.fromarray(region).save("mask.png")
    assert cli("attack", "a.png", "-m", tiny_model, *FAST, "--within", "mask:mask.png", "-o", "out").code == 0
    assert changed(tmp_path)[region > 0].any()
    assert not changed(tmp_path)[region == 0].any()
    PIL.Image.fromarray(region[:40]).save("small.png")
    said = cli("attack", "a.png", "-m", tiny_model, *FAST, "--within", "mask:small.png", "-o", "small")
    assert said.code == 4
    assert "small.png: the mask has size (40, 64), the photo (48, 64)" in said.out


@pytest.mark.parametrize(
    ("within", "said"),
    [
        ("circle:1,2", "region 'circle:1,2' is not written box:x1,y1,x2,y2, click:x,y or mask:FILE"),
        ("box:30,5,10,20", "with x1 <= x2"),
        ("click:nan,2", "is not written"),
        ("mask:", "is not written"),
        ("mask:nowhere.png", "no region mask:nowhere.png: there is no such file"),
    ],
)
def test_what_is_no_region_is_refused(cli: Cli, tiny_model: Path, tmp_path: Path, within: str, said: str) -> None:
    refused = cli("attack", "a.png", "-m", tiny_model, *FAST, "--within", within, "-o", "out")
    assert refused.code == 2
    assert said in refused.err
    assert not (tmp_path / "out").exists()


def test_the_papers_protocol_knows_no_region(cli: Cli, tiny_model: Path) -> None:
    said = cli("attack", "a.png", "-m", tiny_model, "--protocol", "paper", "--within", "box:1,1,9,9", "-o", "out")
    assert (said.code, "protocol paper knows no region" in said.err) == (2, True)


def test_regions_are_read() -> None:
    assert parse_region("click:12.5,3") == Region("click", (12.5, 3))
    assert parse_region("mask:a:b.png").file == Path("a:b.png")
    with pytest.raises(UsageError, match="is not written"):
        parse_region("box:1,2,3")


@pytest.mark.parametrize("given", ["click=20,10", "box=5,5,40,30"])
def test_what_is_pointed_at_vanishes(tiny_model: Path, tmp_path: Path, given: str) -> None:
    """In a process of its own, as a person types it."""
    make_photo(tmp_path / "a.png", 1)
    arguments = ("--attack", "vanish", "--set", given, "--set", "keep=0", "--steps", 3, "--no-progress", "-o", "out")
    done = segrobust("attack", "a.png", "-m", tiny_model, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    record = records(tmp_path / "out")[-1]
    kind, _, numbers = given.partition("=")
    assert record["settings"]["goal"][kind] == [float(number) for number in numbers.split(",")]
    assert record["loss_last"] < record["loss_first"]
