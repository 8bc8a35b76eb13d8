"""What the help says, and that it is true."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Cli, make_cli
from runs import segrobust

from segrobust import __version__


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return make_cli(capsys)


def test_version_and_lists(cli: Cli) -> None:
    assert cli("--version") == (0, f"segrobust {__version__}\n", "")
    assert json.loads(cli("ls", "models", "--json").out)[0]["name"] == "nano"  # more in test_catalogue.py
    assert "rga-untargeted" in cli("ls", "attacks").out
    attacks = {e["name"]: e for e in json.loads(cli("ls", "attacks", "--json").out)}
    assert attacks["rga"]["parameters"]["steps"] == 40
    assert attacks["rga"]["parameters"]["band"] == 0
    assert "of all: band=0, outside=0" in cli("ls", "attacks").out
    assert attacks["rga-untargeted"]["parameters"]["weight"] == 0


HELPED = [[], ["attack"], ["verify"], ["ls"], ["ls", "models"], ["ls", "attacks"], ["show"], ["doctor"]]
HELPED += [["ls", "datasets"], ["datasets"], ["datasets", "check"]]
HELPED += [["universal"], ["universal", "train"]]
HELPED += [["models"], *(["models", what] for what in ("download", "verify", "path", "convert"))]


def test_every_example_in_the_help_works(cli: Cli, root: Path, tmp_path: Path) -> None:
    texts = [cli(*command, "--help").out for command in HELPED]
    examples = [line.strip() for text in texts for line in text.splitlines() if re.match(r"\s+segrobust ", line)]
    assert len(examples) >= 6
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/coffee.png").symlink_to(root / "examples/coffee.png")  # one of them is quicker
    order = sorted(dict.fromkeys(examples), key=lambda e: ("verify" in e, "-c" in e))  # of folders that are there
    for example in order:
        words = shlex.split(example)[1:]
        if words == ["doctor"]:
            continue  # tries what is installed; test_doctor.py
        if words[0] == "attack":
            words += ["--points-per-side", "4", "--steps", "1", "--no-progress"]
        said = cli(*words)
        assert said.code == 0, f"{example}: {said}"


@pytest.mark.parametrize("command", HELPED, ids=" ".join)
def test_every_help_comes_without_anything_heavy(command: list[str]) -> None:
    code = (
        "import sys, segrobust.cli.main as m\n"
        "try: m.main(sys.argv[1:])\n"
        "finally: print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: segrobust")
    heavy = {"torch", "transformers", "numpy", "scipy", "PIL", "yaml", "pycocotools", "segrobust.benchmark"}
    assert not heavy & set(done.stderr.split())


def test_the_exit_codes_are_in_the_help(cli: Cli) -> None:
    for command in ([], ["attack"], ["verify"]):
        text = " ".join(cli(*command, "--help").out.split())
        for code in ("0 done", "1 unexpected", "2 wrong", "4 done, but", "5 something", "6 verify", "130 interrupted"):
            assert code in text


def test_the_package_can_be_run_as_a_module() -> None:
    done = segrobust("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"segrobust {__version__}\n", "")
