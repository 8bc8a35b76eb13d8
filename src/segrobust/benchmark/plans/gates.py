"""Conditions that a run must fulfil to end with exit code 0."""

from collections.abc import Mapping, Sequence
from typing import Any

from segrobust.benchmark.rows import CONTROLS
from segrobust.errors import UsageError

MEASURES = ("miou", "matched_miou")


def parse_gate(text: str) -> tuple[str, float]:
    """Read ``miou=0.5``.

    Raises:
        UsageError: not of this form, or not in [0, 1].
    """
    name, equals, value = text.partition("=")
    try:
        limit = float(value)
    except ValueError:
        limit = -1.0
    if not equals or name not in MEASURES or not 0 <= limit <= 1:
        raise UsageError(f"--fail-under {text!r} is not of the form miou=0.5 ({' or '.join(MEASURES)}, 0 to 1)")
    return name, limit


def under(results: Mapping[str, Any], name: str, limit: float) -> list[str]:
    """Attacks that leave less than a limit, one line each.

    Args:
        results: of a run.
        name: ``miou`` (of prompts) or ``matched_miou`` (of segment everything).
        limit: in [0, 1].
    """
    found = []
    for cell in results["cells"]:
        score = cell.get("all", {}).get("miou") if name == "miou" else cell.get("everything", {}).get("matched_miou")
        if cell["recipe"] in CONTROLS or not score or score["value"] is None or score["value"] >= limit:
            continue
        made = f" on {cell['surrogate']}" if cell["surrogate"] else ""
        place = f"{cell['attack']}{' (adaptive)' if cell['adaptive'] else ''}{made} → {cell['target']}"
        where = f"{cell['dataset']}, {cell['protocol']}, defence {cell['defence']}"
        found.append(f"{name} {score['value']:.3f} is under {limit:g}: {place} ({where})")
    return found


def failing_checks(results: Mapping[str, Any], levels: Sequence[str] = ("error",)) -> list[str]:
    """What checks found at these levels, one line each."""
    return [f"check {f['id']}: {f['message']}" for f in results["checks"] if f["level"] in levels]
