"""The command line in this process: the fast part. What needs a process of its own is in test_process.py."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import yaml
from commands import Cli, make_cli
from runs import FAST, make_photo, pictures

import segrobust.benchmark.items
import segrobust.benchmark.run
from segrobust.report import panels


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return make_cli(capsys)


def test_a_run_prints_tables_and_where_it_is_saved(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "a.png", 1)
    said = cli("attack", "photos", "-m", tiny_model, *FAST, "-o", "out")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[-1] == "saved out"
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| ")].count("rga") == 2
    for word in ("protocol strict", "L-infinity 8/255", "seed 0", "1 photos", "80 prompts", "5 points and 3 boxes"):
        assert word in said.out
    places = "adv/a.png adv/a.noise.png guide/a.png masks/a.json masks/a.noise.json masks/a.rga.json panels/a.png"
    assert sorted(pictures(tmp_path / "out")) == sorted([*places.split(), "prompts/a.json"])
    assert cli("verify", "out") == (
        0,
        "ok: out is as recorded\n",
        "measuring a clean\nmeasuring a noise\nmeasuring a rga\n",
    )


def test_progress_goes_to_stderr(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png")
    said = cli("attack", "a.png", "-m", tiny_model, "--steps", 1, "--attack", "rga-untargeted", "-o", "out")
    assert said.err.splitlines() == ["[1/3] a: clean", "[2/3] a: noise", "[3/3] a: rga-untargeted"]
    assert "[1/3]" not in said.out


def test_the_flags_become_the_configuration(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png", 1, (16, 16))
    said = cli(
        "attack", "a.png", "-m", tiny_model, "--eps", "4px", "--steps", 1, "--seed", 3, "--set", "step_size=1/255",
        "--set", "momentum=0", "--protocol", "paper", "--device", "cpu", "--points-per-side", 1, "--controls",
        "--no-progress", "--autocast", "bfloat16", "--max-memory", "60GiB", "--no-compile",
    )  # fmt: skip
    assert said.code == 0
    assert said.out.splitlines()[-1] == "saved runs/tiny-rga"
    config = yaml.safe_load((tmp_path / "runs/tiny-rga/config.yaml").read_text())
    assert config == {
        "photos": ["a.png"], "model": str(tiny_model), "checkpoint": None,
        "attacks": ["rga", "rga-untargeted", "rga-random-cells"],
        "parameters": {"step_size": 1 / 255, "momentum": 0, "steps": 1}, "protocol": "paper", "eps": "4/255", "seed": 3,
        "within": None, "device": "cpu", "dtype": "float32", "autocast": "bfloat16", "max_memory": "60GiB",
        "compile": False, "points_per_side": 1, "prompts": {"masks": 10, "points": 5, "boxes": 3},
    }  # fmt: skip
    about = json.loads((tmp_path / "runs/tiny-rga/run.json").read_text())
    assert about["command"][0] == "segrobust"


def test_a_configuration_runs_again_and_flags_override_it(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png", 1)
    assert cli("attack", "a.png", "-m", tiny_model, *FAST, "--set", "copies=1", "-o", "one").code == 0
    assert cli("attack", "-c", "one/config.yaml", "--no-progress", "-o", "two").code == 0
    assert pictures(tmp_path / "two") == pictures(tmp_path / "one")
    assert cli("attack", "-c", "one/config.yaml", "--steps", 1, "--no-progress", "-o", "three").code == 0
    third = yaml.safe_load((tmp_path / "three/config.yaml").read_text())
    assert third["parameters"] == {"copies": 1, "steps": 1}
    (tmp_path / "plan.yaml").write_text(f"model: {tiny_model}\nparameters: {{steps: 2, copies: 1}}\n")
    assert cli("attack", "a.png", "-c", "plan.yaml", "--no-progress", "-o", "four").code == 0
    assert pictures(tmp_path / "four") == pictures(tmp_path / "one")
    said = cli("attack", "-c", "one/config.yaml", "--seed", 1, "-o", "one")
    assert (said.code, said.out) == (2, "")
    assert said.err == "error: one holds another run (seed: seed is 0 there, 1 here); choose another folder with -o\n"


USAGE = [
    (["attack"], 2, "no photos: name files or folders"),
    (["attack", "a.png", "--eps", "8"], 2, "did you mean 8/255?"),
    (["attack", "a.png", "--attack", "rag"], 2, "unknown attack 'rag'; did you mean 'rga'?"),
    (["attack", "a.png", "-m", "nanno"], 5, "unknown model 'nanno'; did you mean 'nano'?"),
    (["attack", "a.png", "--device", "toaster"], 2, "device 'toaster' is not one of"),
    (["attack", "a.png", "--device", "cuda:99"], 5, "device 'cuda:99' is not here"),
    (["attack", "a.png", "--dtype", "int8"], 2, "'float32', 'bfloat16' or 'float16', got 'int8'"),
    (["attack", "a.png", "--autocast", "float32"], 2, "autocast: Input should be 'bfloat16' or 'float16', got"),
    (["attack", "a.png", "--autocast", "bfloat16", "--dtype", "float16"], 2, "autocast goes with dtype float32"),
    (["attack", "a.png", "--max-memory", "much"], 2, "max_memory: memory 'much' is not a size; write it like 6GiB"),
    (["attack", "a.png", "--max-memory", "1MB"], 5, "of a limit of 0.00 GiB; use --max-memory"),
    (["attack", "a.png", "--protocol", "lax"], 2, "protocol: Input should be 'strict' or 'paper', got 'lax'"),
    (["attack", "a.png", "--set", "nonsense"], 2, "--set takes key=value, got 'nonsense'"),
    (["attack", "a.png", "--set", "wait=1"], 2, "has no parameter 'wait'; did you mean 'weight'?"),
    (["attack", "a.png", "--set", "steps=few"], 2, "steps is a whole number, e.g. 40; got 'few'"),
    (["attack", "a.png", "--steps", "few"], 2, "'--steps'"),
    (["attack", "a.png", "--sead", "1"], 2, "No such option: --sead"),
    (["attack", "-c", "nowhere.yaml"], 2, "cannot read nowhere.yaml: No such file or directory"),
    (["attack", "-c", "typo.yaml"], 2, "typo.yaml: unknown key 'attack'; did you mean 'attacks'?"),
    (["attack", "empty"], 2, "folder empty has no photos directly inside"),
    (["attack", "a.png", "-o", "a.png"], 5, "cannot make the output folder a.png"),
    (["attack", "a.png", "-o", "a.png/out"], 5, "cannot make the output folder a.png/out"),
    (["attack", "a.png", "-o", "."], 2, ". is not empty and holds no run of segrobust"),
    (["verify", "empty"], 2, "empty is not a run folder"),
    (["verify", "nowhere"], 2, "nowhere is not a run folder"),
    (["verify"], 2, "Missing argument"),
    (["atack"], 2, "No such command 'atack'"),
    (["ls", "modles"], 2, "No such command 'modles'"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), USAGE, ids=[" ".join(words) for words, _, _ in USAGE])
def test_a_mistake_is_one_line_and_its_code(
    cli: Cli, tiny_model: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    make_photo(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "typo.yaml").write_text("photos: [a.png]\nattack: rga\n")
    if arguments[0] == "attack" and "-m" not in arguments:
        arguments = [*arguments, "-m", str(tiny_model)]
    said = cli(*arguments)
    assert said.code == code
    assert message.casefold() in said.err.casefold()
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("arguments", [[], ["ls"]])
def test_nothing_asked_is_answered_with_the_help(cli: Cli, arguments: list[str]) -> None:
    said = cli(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: segrobust")


def test_bad_photos_are_told_apart_and_the_good_one_is_done(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    data = make_photo(tmp_path / "cut.jpg", 1).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:-200])
    (tmp_path / "text.png").write_text("hello")
    make_photo(tmp_path / "good.png", 1)
    named = ["cut.jpg", "text.png", "good.png", "gone.png", "caf\udce9.png"]
    said = cli("attack", *named, "-m", tiny_model, *FAST, "-o", "out")
    assert (said.code, said.err) == (4, "")
    assert said.out.splitlines()[-1] == "saved out (12 items failed)"
    failures = [line for line in said.out.splitlines() if line.startswith("failed: ")]
    assert [line.split()[1] for line in failures] == ["cut.jpg", "text.png", "gone.png", r"caf\udce9.png"]
    assert all("(clean, noise, rga): " in line for line in failures)
    assert "no such file" in failures[2]
    assert "| clean (1 of 5) |" in said.out
    assert (tmp_path / "out/panels/good.png").exists()
    assert cli("verify", "out").code == 0


def test_an_attack_that_fails_everywhere_keeps_its_row(
    cli: Cli, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    make_photo(tmp_path / "a.png")
    monkeypatch.setattr(segrobust.benchmark.items, "attack", broken)
    said = cli("attack", "a.png", "-m", tiny_model, *FAST, "-o", "out")
    assert said.code == 4
    assert "failed: a.png (noise, rga): RuntimeError: boom" in said.out
    assert said.out.count("| rga (0 of 1)") == 2
    assert "Traceback" in (tmp_path / "out/log.txt").read_text()
    assert not (tmp_path / "out/panels").exists()


def test_a_panel_that_fails_is_a_warning(
    cli: Cli, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photo(tmp_path / "a.png")
    with monkeypatch.context() as patch:
        patch.setattr(panels, "overlay", lambda *_: 1 / 0)
        said = cli("attack", "a.png", "-m", tiny_model, *FAST, "-o", "out")
    assert (said.code, said.err) == (0, "warning: no panel for a: division by zero\n")
    assert cli("attack", "a.png", "-m", tiny_model, *FAST, "-o", "out").code == 0
    assert (tmp_path / "out/panels/a.png").exists()


def test_verify_tells_what_differs(cli: Cli, tiny_model: Path, tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png")
    assert cli("attack", "a.png", "-m", tiny_model, *FAST, "-o", "out").code == 0
    file = tmp_path / "out/adv/a.png"
    pixels = np.array(PIL.Image.open(file))
    pixels[0, 0, 0] ^= 1
    PIL.Image.fromarray(pixels).save(file)
    said = cli("verify", "out")
    assert said.code == 6
    assert said.out.splitlines() == [
        "differs: a rga: adv/a.png is not the recorded photo (its pixels differ)", "FAILED: 1 differences in out"
    ]  # fmt: skip


def test_unexpected_failures_are_one_line_and_in_the_log(
    cli: Cli, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photo(tmp_path / "a.png")
    monkeypatch.setattr(segrobust.benchmark.run, "aggregate", lambda *_: 1 / 0)
    said = cli("attack", "a.png", "-m", tiny_model, *FAST, "-o", "out")
    assert (said.code, said.out) == (1, "")
    assert said.err == "error: unexpected failure: ZeroDivisionError: division by zero (please report it)\n"
    assert "Traceback" in (tmp_path / "out/log.txt").read_text()
