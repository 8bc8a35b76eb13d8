"""What the commands do, behind the parser; heavy imports happen inside."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

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
    _print(results_text(results))
    failures = len(results["failures"])
    _print(f"\nsaved {folder}" + (f" ({failures} items failed)" if failures else ""))
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
    changed = dict(values.get("parameters", {})) | dict(_parameter(text) for text in parameters)
    if steps is not None:
        changed["steps"] = steps
    values["parameters"] = changed
    if controls:
        values["attacks"] = [*values.get("attacks", ["rga"]), *CONTROLS]
    return parse_config(values, "command line")  # what the file holds was checked when it was read


def _parameter(text: str) -> tuple[str, float | int | str]:
    """``key=value``; the value may be a number or a fraction such as 2/255."""
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise UsageError(f"--set takes key=value, got {text!r}")
    from segrobust.benchmark.settings import plain_value

    return key, plain_value(value)


def _print(text: str) -> None:
    """To stdout; when nobody reads on (``| head``), the work and its exit code stand."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def verify_folder(folder: Path, tolerance: float) -> int:
    """Verify a run folder; the exit code is 6 when something differs."""
    from segrobust.benchmark.verify import verify

    problems = verify(folder, tolerance=tolerance, on_record=lambda name: typer.echo(f"measuring {name}", err=True))
    for problem in problems:
        _print(f"differs: {problem}")
    _print(f"FAILED: {len(problems)} differences in {folder}" if problems else f"ok: {folder} is as recorded")
    return 6 if problems else 0


def list_models(as_json: bool) -> None:
    """Print the model table."""
    from segrobust.models.registry import entries

    if as_json:
        _print(json.dumps([{**vars(e), "capabilities": list(e.capabilities)} for e in entries()], indent=1))
        return
    header = ["name", "family", "parameters", "can do", "licence", "weights"]
    rows = [
        [e.name, e.family, f"{e.parameters / 1e6:.1f} M", " ".join(e.capabilities), e.licence, e.source]
        for e in entries()
    ]
    _print_columns(header, rows)
    _print("\nor a folder with a transformers SamModel (config.json, model.safetensors)")


def list_attacks(as_json: bool) -> None:
    """Print the attacks with their parameters."""
    import inspect

    from segrobust.attacks.recipes import RECIPES

    table: list[dict[str, Any]] = []
    for name, make in RECIPES.items():
        defaults = {k: p.default for k, p in inspect.signature(make).parameters.items() if k != "name"}
        first = (getattr(make, "func", make).__doc__ or "").splitlines()[0]
        table.append({"name": name, "summary": first, "parameters": defaults})
    if as_json:
        _print(json.dumps(table, indent=1))
        return
    rows = [[e["name"], ", ".join(f"{k}={_short(v)}" for k, v in e["parameters"].items())] for e in table]
    _print_columns(["name", "parameters (change with --set)"], rows)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print_columns(header: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        _print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
