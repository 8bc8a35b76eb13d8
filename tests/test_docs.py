"""The documents say what the code does: their examples run, and their tables list what there is."""

import inspect
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import typer

from segrobust import AttackResult, Budget, Image, errors
from segrobust.attacks.recipes import RECIPES, attack, rga
from segrobust.benchmark import records
from segrobust.benchmark.config import RunConfig
from segrobust.cli.main import app
from segrobust.evaluation.evaluate import PromptSettings, Scores
from segrobust.evaluation.metrics import PromptScores
from segrobust.io.images import MAX_PIXELS, PHOTO_SUFFIXES
from segrobust.models.base import EverythingSettings
from segrobust.regions.guide import region_guided_map

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted(page for page in DOCS.glob("*.md") if "```python" in page.read_text("utf-8"))


def section(page: str, title: str) -> str:
    """The text of one section of a page, up to the next title of the same level."""
    _, _, rest = (DOCS / page).read_text("utf-8").partition(f"\n## {title}\n")
    assert rest, f"{page} has no section {title!r}"
    return rest.partition("\n## ")[0]


def first_column(text: str) -> list[str]:
    """What stands in backticks in the first column of the tables."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def in_backticks(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


@pytest.fixture
def sandbox(tmp_path, monkeypatch, root):
    """A place like the repository's root, for what the examples read; what they write stays out of the repository."""
    (tmp_path / "examples").symlink_to(root / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_examples():
    assert DOCS / "python.md" in PAGES


def run_examples(page: Path, *, slow: bool) -> dict[str, object]:
    """Run a page's blocks in one namespace; those under ``<!-- slow -->`` only if asked."""
    names: dict[str, object] = {"__name__": page.stem}
    text = page.read_text("utf-8")
    for block in re.finditer(r"^(<!-- slow -->\n)?```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if block[1] and not slow:
            continue
        above = "\n" * text[: block.start(2)].count("\n")  # so that a traceback has the page's line numbers
        exec(compile(above + block[2], str(page), "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_quick_examples_run(page, sandbox, capsys):
    names = run_examples(page, slow=False)
    if page.name == "python.md":
        assert names["result"].encoder_backward == 6
        assert "did you mean 8/255?" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_all_examples_run(page, sandbox, capsys):
    names = run_examples(page, slow=True)
    if page.name == "python.md":
        assert names["scores"].max_linf_255 == 8
        assert "['clean', 'noise', 'rga'] []" in capsys.readouterr().out  # the rows of the run, and what verify found


def command(name):
    return next(c for key, c in typer.main.get_command(app).commands.items() if key == name)


def options_of(command) -> set[str]:
    """The options of a command and of those below it."""
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    below = [options_of(inner) for inner in getattr(command, "commands", {}).values()]
    return {name for name in own.union(*below) if name.startswith("-") and name not in ("-h", "--help")}


def test_every_option_is_documented_and_every_documented_one_exists():
    text = section("cli.md", "segrobust attack")
    options = options_of(command("attack"))
    assert len(options) > 10
    assert set(first_column(text)) == options
    assert "--tolerance" in section("cli.md", "segrobust verify")
    pages = "\n".join(page.read_text("utf-8") for page in DOCS.glob("*.md"))
    others = re.compile(r"python |pip |^hf |sha256sum ")  # other programs have other options
    ours = "\n".join(line for line in pages.splitlines() if not others.search(line))
    everywhere = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", ours))
    assert everywhere <= options_of(typer.main.get_command(app)) | {"--help"}


def test_the_defaults_of_the_options():
    table = {
        row.split("|")[1].split("`")[-2]: row.split("|")[2].strip(" `")
        for row in section("cli.md", "segrobust attack").splitlines()
        if row.startswith("| `")
    }
    config = RunConfig(photos=("x",))
    assert table["--model"] == config.model
    assert (table["--attack"],) == config.attacks
    assert table["--protocol"] == config.protocol
    assert table["--eps"] == config.eps
    assert table["--seed"] == str(config.seed)
    assert table["--device"] == config.device
    assert table["--dtype"] == config.dtype
    assert table["--steps"] == str(inspect.signature(rga).parameters["steps"].default)
    assert config.points_per_side is None


def test_the_exit_codes_of_all_errors():
    documented = {
        name: int(row.split("|")[1])
        for row in section("cli.md", "Exit codes").splitlines()
        if re.match(r"\| \d", row)
        for name in re.findall(r"errors\.(\w+)", row)
    }
    real = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.SegrobustError)
    }
    assert documented == real


def example_result() -> AttackResult:
    image = Image(np.zeros((2, 3, 3), np.uint8))
    return AttackResult(image, "rga", "strict", Budget(Fraction(8, 255)), 0, (1.0, 0.5), 5, 3, 1.0)


def example_record(*, annotated: bool = True) -> dict:
    parts = {part: PromptScores(0.5, 0.5, 0.0, 2, 0) for part in ("all", "points", "boxes")}
    references = {"clean": parts} | ({"annotation": parts} if annotated else {})
    image = Image(np.zeros((2, 3, 3), np.uint8))
    return (
        records.base_record(RunConfig(photos=("x",)), "", "x", "x.png", image, "rga")
        | records.score_fields(Scores(references, 3, 2, 0.4, 8, 40.0, 0.99))
        | records.attack_fields(example_result())
    )


def test_every_field_of_a_record_is_documented():
    text = section("cli.md", "samples.jsonl")
    from_files = {"adversarial", "adversarial_sha256", "guide"}  # the runner adds these
    assert set(first_column(text)) == set(example_record()) | from_files
    extra = set(records.failed({}, ValueError("x"))) - {"state"}
    assert extra == {"error", "error_kind"} <= in_backticks(text)
    assert set(example_record()["clean_reference"]["all"]) <= in_backticks(text)


def test_every_field_of_the_aggregates_is_documented():
    text = section("cli.md", "results.json")
    record = example_record()
    failed = records.failed(example_record() | {"image": "y", "photo": "y.png"}, ValueError("x"))
    results = records.aggregate(RunConfig(photos=("x",)), [record, failed])
    assert set(first_column(text)) == set(results)
    row = next(row for row in results["rows"] if row["attack"] == "rga")
    assert set(row) <= in_backticks(text)
    assert set(results["failures"][0]) <= in_backticks(text)


def test_the_numbers_of_the_method():
    """The values in docs/method.md are the defaults of the code."""
    table = {}
    for row in section("method.md", "Symbols").splitlines():
        cells = [cell.strip() for cell in row.split("|")]
        if row.startswith("|") and len(cells) > 4:
            table[cells[1]] = cells[3]
    recipe = {name: parameter.default for name, parameter in inspect.signature(rga).parameters.items()}
    ours = {"alpha": "step_size", "T": "steps", "mu": "momentum", "S": "copies", "beta": "beta", "lambda": "weight"}
    for symbol, name in ours.items():
        assert Fraction(table[symbol].split(":")[0]) == pytest.approx(recipe[name]), symbol
    assert table["epsilon"] == inspect.signature(attack).parameters["budget"].default
    assert f"{inspect.signature(region_guided_map).parameters['grid_rate'].default} x" in table["g"]


def test_the_numbers_of_the_protocol():
    text = (DOCS / "protocol.md").read_text("utf-8")
    plan = PromptSettings()
    assert f"first {plan.masks} masks, {plan.points} points and {plan.boxes} boxes" in text
    assert {name for name in RECIPES if name.startswith("rga-")} <= in_backticks(text)


def test_the_limits_of_photos():
    text = (DOCS / "cli.md").read_text("utf-8")
    assert f"more than {MAX_PIXELS // 10**6} megapixels" in text
    listed = re.search(r"`(\.jpg[^`]*)`", text)
    assert set(listed[1].split()) == PHOTO_SUFFIXES


def test_the_page_on_differences_knows_the_defaults():
    text = (DOCS / "differences.md").read_text("utf-8")
    assert f"{EverythingSettings().points_per_side}, SAM's default" in text
    assert Budget.parse("0.0314").levels == Budget.parse("0.03137").levels == 8
