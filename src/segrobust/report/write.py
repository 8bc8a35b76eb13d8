"""From the folder of a plan's run to its report."""

import json
from pathlib import Path
from typing import Any

from segrobust.benchmark.results import SCHEMA
from segrobust.errors import UsageError
from segrobust.io.files import atomic_write_text
from segrobust.report.page import html, markdown
from segrobust.report.pictures import Pictures

RESULTS, PAGE, TEXT = "results.json", "report.html", "report.md"


def write_report(folder: Path, pictures: Pictures) -> dict[str, Any]:
    """Write ``report.html`` and ``report.md`` beside ``results.json``.

    Args:
        folder: of a finished run of a plan.
        pictures: where its photos are.

    Returns:
        The results.

    Raises:
        UsageError: the folder has no results, or of another kind.
    """
    results = read_results(folder)
    atomic_write_text(folder / PAGE, html(results, pictures))
    atomic_write_text(folder / TEXT, markdown(results))
    return results


def read_results(path: Path) -> dict[str, Any]:
    """The results of a run of a plan.

    Args:
        path: the folder, or the file itself.

    Raises:
        UsageError: there are none, or of another kind.
    """
    file = path / RESULTS if path.is_dir() else path
    try:
        results = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise UsageError(
            f"cannot read {file}: {reason}; a plan's run writes it at its end ('segrobust run PLAN -o FOLDER')"
        ) from None
    kind = results.get("schema") if isinstance(results, dict) else None
    if kind != SCHEMA:
        raise UsageError(f"{file} holds {kind or 'something else'}, and a report needs {SCHEMA} (segrobust run PLAN)")
    return dict(results)
