"""``segrobust ls models`` and ``segrobust show``: what is said about models, without loading any."""

import json
from pathlib import Path

import pytest
from commands import Cli, make_cli
from fakes import process, put_package, python

from segrobust.cli.catalogue import facts, listing
from segrobust.models import entries
from segrobust.models.table import ENTRIES, ModelEntry

STANDING = {"nano", "FastSAM-x", "facebook/sam2.1-hiera-base-plus"}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, where no weights are."""
    monkeypatch.setenv("SEGROBUST_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return make_cli(capsys)


def rows(text: str) -> dict[str, list[str]]:
    """The cells by name; families stand at the left margin, models do not."""
    table = text.partition("\n\n")[0].splitlines()[1:]
    return {line.split()[0]: line.split() for line in table if line.startswith("  ")}


def test_every_model_is_listed_within_100_columns(cli: Cli) -> None:
    said = cli("ls", "models")
    assert (said.code, said.err) == (0, "")
    listed = rows(said.out)
    assert set(listed) == {entry.name for entry in entries()} >= STANDING
    assert not [line for line in said.out.splitlines() if len(line) > 100]
    assert listed["nano"][1:] == ["6.5", "M", "GPBE", "research", "use", "shipped", "yes", "trained"]
    assert listed["FastSAM-x"][-5:] == ["AGPL-3.0", "download", "no", "random", "fastsam"]
    families = [line for line in said.out.partition("\n\n")[0].splitlines()[1:] if not line.startswith(" ")]
    assert sorted(families) == sorted({entry.family for entry in entries()})


def test_the_list_for_programs_is_complete(cli: Cli) -> None:
    listed = {row["name"]: row for row in json.loads(cli("ls", "models", "--json").out)}
    assert list(listed) == [entry.name for entry in entries()]
    for entry in entries():
        row = listed[entry.name]
        assert row["capabilities"] == list(entry.capabilities)
        assert row["parameters"] == (entry.parameters or None)
        for key in ("family", "licence", "source", "state", "extra", "loader"):
            assert row[key] == getattr(entry, key)
    assert listed["nano"]["here"] is True
    assert Path(listed["nano"]["path"], "model.safetensors").exists()
    assert (listed["sam_vit_b"]["here"], listed["sam_vit_b"]["path"]) == (False, None)


def test_weights_are_seen_where_they_are_put(cli: Cli, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub/models--facebook--sam-vit-base/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").touch()
    file = tmp_path / "weights/sam_vit_b_01ec64.pth"
    file.parent.mkdir()
    file.touch()
    listed = {row["name"]: row["path"] for row in json.loads(cli("ls", "models", "--json").out)}
    assert listed["sam_vit_b"] == str(file)
    assert listed["facebook/sam-vit-base"] is None  # a configuration is no weights
    (snapshot / "model.safetensors").touch()
    assert rows(cli("ls", "models").out)["facebook/sam-vit-base"][-2] == "yes"


def test_listing_imports_nothing_heavy() -> None:
    out = python(
        """
        import sys
        from segrobust.cli.main import main
        try: main(["ls", "models"])
        except SystemExit: pass
        print(*sys.modules)
        """
    )
    loaded = set(out.splitlines()[-1].split())
    assert "segrobust.cli.catalogue" in loaded
    assert not {"torch", "transformers", "numpy", "scipy", "PIL", "kornia", "rich"} & loaded
    working = ("attacks", "benchmark", "evaluation", "io", "regions", "report")
    assert not {f"segrobust.{room}" for room in working} & loaded


def test_what_attacks_import_is_needed() -> None:
    """``scipy.stats`` would take as long as nearly all the rest."""
    loaded = python("import sys, segrobust.attacks.recipes, segrobust.benchmark.plans.run; print(*sys.modules)").split()
    assert "torch" in loaded
    assert not {"scipy.stats", "matplotlib", "transformers", "rich"} & set(loaded)


def test_plug_ins_are_listed_with_the_others(tmp_path: Path) -> None:
    put_package(tmp_path, "theirs", "", "2.0")
    (tmp_path / "theirs-2.0.dist-info/entry_points.txt").write_text("[segrobust.models]\ntheir-sam = theirs:load\n")
    done = process("-m", "segrobust", "ls", "models", path=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "plug-in theirs" in done.stdout.splitlines()
    assert rows(done.stdout)["their-sam"][1:3] == ["?", "?"]
    assert rows(done.stdout)["their-sam"][-2:] == ["?", "plug-in"]
    shown = process("-m", "segrobust", "show", "their-sam", path=tmp_path)
    assert shown.returncode == 0
    assert "only the plug-in knows" in shown.stdout


@pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])
def test_every_model_can_be_shown(cli: Cli, name: str) -> None:
    said = cli("show", name)
    assert (said.code, said.err) == (0, "")
    told = dict(line.split("  ", 1) for line in said.out.splitlines())
    assert told["name"].strip() == name
    assert told["in Python"].strip() == f"segrobust.load({name!r})"
    assert json.loads(cli("show", name, "--json").out)["name"] == name


def test_what_is_shown_says_how_to_get_it_and_what_it_scores(cli: Cli) -> None:
    text = cli("show", "sam_vit_b").out
    assert "sam_vit_b_01ec64.pth" in text
    assert "segrobust models download sam_vit_b" in text
    assert "segrobust models download facebook/sam3" in cli("show", "facebook/sam3").out
    assert "pip install 'segrobust[fastsam]'" in cli("show", "FastSAM-s").out
    assert "segrobust attack PHOTO -m sam_vit_b" in text
    assert "mIoU, sa1b" in cli("show", "nano").out
    assert "sa1b" in json.loads(cli("show", "nano", "--json").out)["scores"]


def test_a_black_box_is_told_from_a_white_one() -> None:
    closed = ModelEntry("closed", "others", 0, ("points", "everything"), "none", "somewhere", "x:y", "random")
    line = next(line for line in listing([closed]) if "closed" in line)
    assert line.split() == ["closed", "?", "-P-E", "none", "download", "no", "random"]
    assert "make the photo on a white box" in dict(facts(closed))["to attack it"]


def test_a_setting_of_a_file_has_that_files_weights(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/FastSAM-s.pt").touch()
    for name in ("FastSAM-s", "FastSAM-s@photo"):
        assert "segrobust models download FastSAM-s\n" in cli("show", name).out
        assert json.loads(cli("show", name, "--json").out)["path"] == str(tmp_path / "weights/FastSAM-s.pt")


def test_an_unknown_name_is_answered_with_a_close_one(cli: Cli) -> None:
    said = cli("show", "sam_vit_x")
    assert (said.code, said.out) == (5, "")
    assert said.err.startswith("error: unknown model 'sam_vit_x'; did you mean 'sam_vit_")
    assert "did you mean" not in cli("show", "qqqq").err
