"""What the commands do, behind the parser; heavy imports happen inside."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from segrobust.cli.output import columns, print_text
from segrobust.errors import UsageError

if TYPE_CHECKING:
    from segrobust.benchmark.config import RunConfig


def attack_photos(
    photos: Sequence[Path],
    config_file: Path | None,
    flags: dict[str, Any],
    steps: int | None,
    parameters: Sequence[str],
    controls: bool,
    out: Path | None,
    progress: bool,
) -> int:
    """Run attacks and print the table; the exit code is 4 when an item failed."""
    config = _resolve(photos, config_file, flags, steps, parameters, controls)
    from segrobust.benchmark.run import run
    from segrobust.cli.progress import make_listener
    from segrobust.report.panels import PanelDrawer
    from segrobust.report.tables import results_text

    folder = out or Path("runs") / f"{Path(config.model).name}-{config.attacks[0]}"
    with make_listener(progress) as listener:
        drawer = PanelDrawer(listener)
        results = run(config, folder, drawer, command=["segrobust", *sys.argv[1:]])
    for problem in drawer.problems:
        typer.echo(f"warning: {problem}", err=True)
    print_text(results_text(results))
    failures = len(results["failures"])
    print_text(f"\nsaved {folder}" + (f" ({failures} items failed)" if failures else ""))
    return 4 if failures else 0


def _resolve(
    photos: Sequence[Path],
    config_file: Path | None,
    flags: dict[str, Any],
    steps: int | None,
    parameters: Sequence[str],
    controls: bool,
) -> "RunConfig":
    """Settings from the file, overridden by the flags."""
    from segrobust.benchmark.config import CONTROLS, parse_config, read_settings

    values = read_settings(config_file) if config_file else {}
    values.update(flags)
    if photos:
        values["photos"] = [str(p) for p in photos]
    if not values.get("photos"):
        raise UsageError("no photos: name files or folders, e.g. 'segrobust attack examples'")
    changed = dict(values.get("parameters", {})) | dict(parameter(text) for text in parameters)
    if steps is not None:
        changed["steps"] = steps
    values["parameters"] = changed
    if controls:
        values["attacks"] = [*values.get("attacks", ["rga"]), *CONTROLS]
    return parse_config(values, "command line")  # what the file holds was checked when it was read


def checked_parameters(texts: Sequence[str], defaults: Mapping[str, Any], what: str) -> dict[str, Any]:
    """What several ``--set`` say, each of the kind of its default; one without a default is left to whoever takes it.

    Raises:
        UsageError: not key=value, or of another kind; begins with ``what``.
    """
    from segrobust.benchmark.parameters import check_kind

    changed = dict(parameter(text) for text in texts)
    for key, value in changed.items():
        if key in defaults:
            try:
                check_kind(key, value, defaults[key])
            except ValueError as error:
                raise UsageError(f"{what}{error}") from None
    return changed


def parameter(text: str) -> tuple[str, float | int | str]:
    """``key=value``; the value may be a number or a fraction such as 2/255."""
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise UsageError(f"--set takes key=value, got {text!r}")
    from segrobust.benchmark.parameters import plain_value

    return key, plain_value(value)


def verify_folder(folder: Path, tolerance: float) -> int:
    """Verify the folder of a run or a plan; the exit code is 6 when something differs."""
    from segrobust.benchmark.plans.folder import PLAN
    from segrobust.benchmark.plans.verify import verify_run
    from segrobust.benchmark.verify import verify

    check = verify_run if (folder / PLAN).exists() else verify
    problems = check(folder, tolerance=tolerance, on_record=lambda name: typer.echo(f"measuring {name}", err=True))
    for problem in problems:
        print_text(f"differs: {problem}")
    print_text(f"FAILED: {len(problems)} differences in {folder}" if problems else f"ok: {folder} is as recorded")
    return 6 if problems else 0


def list_attacks(as_json: bool) -> None:
    """Print the attacks with their parameters."""
    from segrobust.attacks.recipes import RECIPES
    from segrobust.attacks.recipes.table import OF_ALL, parameters_of

    table: list[dict[str, Any]] = []
    for name, make in RECIPES.items():
        first = (getattr(make, "func", make).__doc__ or "").splitlines()[0]
        table.append({"name": name, "summary": first, "parameters": parameters_of(name)})
    if as_json:
        print_text(json.dumps(table, indent=1))
        return
    rows = [[e["name"], _listed({k: v for k, v in e["parameters"].items() if k not in OF_ALL})] for e in table]
    for line in columns([["name", "parameters (change with --set)"], *rows]):
        print_text(line)
    print_text(f"\nof all: {_listed(OF_ALL)}")


def _listed(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_short(value)}" for key, value in parameters.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
