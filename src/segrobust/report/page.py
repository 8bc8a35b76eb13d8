"""results.json to the report: one HTML file that needs nothing else, and the same as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from segrobust.benchmark.checks import CHECKS
from segrobust.benchmark.rows import CONTROLS, NO_DEFENCE
from segrobust.report import charts, story
from segrobust.report.grids import Cell, Grid, words
from segrobust.report.layout import (
    PROTOCOLS,
    WHITE_BOX,
    Results,
    attack_name,
    full_name,
    groups,
    main_interval,
    score_name,
    tables_of,
)
from segrobust.report.pictures import NOTE, Pictures, panels
from segrobust.report.summaries import difference_table, made_table, worst_table

WHITE_BOX_NOTE = f"{WHITE_BOX} white box: the target is the model that was attacked."


def html(results: Results, pictures: Pictures) -> str:
    """The page.

    Args:
        results: the content of results.json.
        pictures: where the photos are.
    """
    told = _told(results)
    loader = jinja2.FunctionLoader(_template)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template("report.html.j2").render(
        told,
        style=Markup(_template("style.css")),
        script=Markup(_template("sort.js")),
        charts=[(Markup(svg), caption) for svg, caption in told["charts"]],
        examples=[_example(example, pictures) for example in results["examples"]],
        examples_note=NOTE,
    ) + "\n"  # fmt: skip


def markdown(results: Results) -> str:
    """The same as Markdown, without curves and photos."""
    told = _told(results)

    def pairs(items: Sequence[tuple[str, str]]) -> str:
        return "\n".join(f"- {name}: {text}" for name, text in items)

    parts = [f"# {told['title']}", told["verdict"], "## Threat model", pairs(told["threat_model"])]
    parts += ["## The worst numbers", told["worst"].markdown()]
    for part in told["parts"]:
        parts += [f"## {part['title']}", part["note"], *(grid.markdown() for grid in part["tables"])]
    if told["differences"].rows:
        parts += ["## Paired differences", told["differences"].markdown()]
    found = []
    for group in told["findings"]:
        found.append(f"- {group['level']} `{group['id']}`. What to do: {group['advice']}.")
        found += [f"    - {finding['message']} ({finding['where']})" for finding in group["found"]]
    parts += ["## Checks", "\n".join(found) or f"{len(CHECKS)} checks looked, and none of them found anything."]
    parts += ["## Files and cost", told["made"].markdown()]
    parts += ["## How it was measured", pairs(told["measured"]), "## How to reproduce it"]
    parts += [f"    {told['command']}"] if told["command"] else []
    parts += [pairs(told["versions"])] if told["versions"] else []
    parts += ["## Licences", told["licences"].markdown(), "## Limits", "\n".join(f"- {one}" for one in told["limits"])]
    if told["failures"].rows:
        parts += ["## Failures", told["failures"].markdown()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _told(results: Results) -> dict[str, Any]:
    """What both forms say."""
    facts = results["facts"]
    parts = _parts(results)
    failures, differences = _failures(results), difference_table(results)
    contents = [("threat", "Threat model"), ("worst", "Worst numbers"), ("charts", "Curves"), ("examples", "Photos")]
    contents += [(part["id"], part["title"]) for part in parts]
    contents += [("differences", "Differences")] if differences.rows else []
    contents += [("checks", "Checks"), ("cost", "Cost"), ("measured", "How measured"), ("reproduce", "Reproduce")]
    contents += [("licences", "Licences"), ("limits", "Limits")]
    drawn = _charts(results)
    return {
        "title": f"segrobust: {facts['plan'] or 'report'}",
        "plan": facts["plan"],
        "verdict": story.verdict(results),
        "gravest": _gravest(results["checks"]),
        "contents": [entry for entry in contents if entry[0] != "charts" or drawn],
        "threat_model": story.threat_model(results),
        "worst": worst_table(results),
        "charts": drawn,
        "parts": parts,
        "differences": differences,
        "findings": story.grouped(results),
        "checks_run": len(CHECKS),
        "made": made_table(results),
        "measured": story.measured(results),
        "command": facts["command"],
        "versions": [(name, str(value)) for name, value in facts["versions"].items()],
        "licences": Grid("Terms", ["what", "name", "terms"], [
            [words(text) for text in line] for line in story.licences(results)
        ], left=3),
        "limits": story.limits(results),
        "failures": failures,
    }  # fmt: skip


def _parts(results: Results) -> list[dict[str, Any]]:
    found = []
    for number, (dataset, protocol, cells) in enumerate(groups(results)):
        tables = tables_of(results, protocol, cells)
        note = f"Protocol {protocol}: {PROTOCOLS[protocol]}. {WHITE_BOX_NOTE} ↑ ↓: what is good for the defender."
        title = f"{dataset}: {protocol}"
        found.append({"id": f"part-{number}", "title": title, "note": note, "tables": tables})
    return found


def _gravest(findings: Sequence[Mapping[str, Any]]) -> str:
    errors, warnings = (sum(finding["level"] == level for finding in findings) for level in ("error", "warning"))
    if errors:
        return f"Do not quote these numbers yet: the checks found {_several(errors, 'error')}."
    return f"Read with care: the checks gave {_several(warnings, 'warning')}." if warnings else ""


def _several(count: int, name: str) -> str:
    return f"{count} {name}" + ("s" if count > 1 else "")


def _failures(results: Results) -> Grid:
    names = ("dataset", "image", "attack", "surrogate", "target", "defence", "protocol", "error")
    rows = [[words(failure[name]) for name in names] for failure in results["failures"]]
    return Grid("Failures", ["made on" if name == "surrogate" else name for name in names], rows, left=len(names))


def _charts(results: Results) -> list[tuple[str, str]]:
    """IoU against epsilon, and the histogram of photos, for what the headline is about."""
    if results["headline"] is None:
        return []
    head = results["cells"][results["headline"]]
    same = [
        cell for cell in results["cells"]
        if all(cell[key] == head[key] for key in ("dataset", "protocol", "target"))
        and cell["defence"] == NO_DEFENCE and "per_image" in cell
    ]  # fmt: skip
    where = f"{head['dataset']}, protocol {head['protocol']}, shown to {head['target']}"
    name = score_name(head)
    drawn = []
    if lines := _curves(same):
        title = f"{name} against epsilon ({where})"
        caption = f"{title}. Bars: 95 % intervals over photos."
        drawn.append((charts.curve(lines, title, "largest change of a pixel value, of 255", name), caption))
    clean = [cell for cell in same if cell["recipe"] == "clean"]
    values = [
        (attack_name(cell), [score for score in cell["per_image"]["score"] if score is not None])
        for cell in [*clean, head]
    ]
    title = f"Photos by their {name} ({where})"
    drawn.append((charts.histogram(values, title, f"{name} of a photo"), f"{title}."))
    return drawn


def _curves(cells: Sequence[Cell]) -> list[charts.Line]:
    """A line for every attack that has a budget of single values, from the original photo on; attacks before noise."""
    clean = next((cell for cell in cells if cell["recipe"] == "clean"), None)
    sweeps: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        if cell["levels"] and cell["recipe"] != "clean":
            others = sorted((k, str(v)) for k, v in cell["parameters"].items() if k not in ("eps", "epsilon"))
            sweeps.setdefault((cell["recipe"], cell["surrogate"], tuple(others)), []).append(cell)
    ordered = sorted(sweeps.values(), key=lambda sweep: (sweep[0]["recipe"] in CONTROLS, -len(sweep)))
    lines = []
    for sweep in ordered:
        first = min(sweep, key=lambda cell: len(str(cell["attack"])))
        label = full_name(first).partition(" → ")[0] if len(ordered) > 1 else attack_name(first)
        points = [_point(cell) for cell in ([clean] if clean else []) + sorted(sweep, key=lambda c: c["levels"])]
        lines.append(charts.Line(label, [point for point in points if point is not None]))
    return [line for line in lines if line.points]


def _point(cell: Cell) -> tuple[float, float, float | None, float | None] | None:
    score = main_interval(cell)
    if score is None or score["value"] is None:
        return None
    return (cell["levels"], score["value"], score["low"], score["high"])


def _example(example: Mapping[str, Any], pictures: Pictures) -> dict[str, Any]:
    pair = pictures.pair(example)
    went = f"{example['score_before']:.3f} → " if example["score_before"] is not None else ""
    name = "matched mIoU" if example["protocol"] == "everything" else "mIoU"
    title = f"{example['role'].capitalize()}: {example['image']} ({name} {went}{example['score']:.3f})"
    if isinstance(pair, str):
        return {"title": title, "panels": [], "missing": pair}
    missing = "" if pair.attacked is not None else "The attacked photo is not in the run folder any more."
    return {"title": title, "panels": [asdict(panel) for panel in panels(pair, example)], "missing": missing}


def _template(name: str) -> str:
    return (resources.files("segrobust.report") / "templates" / name).read_text("utf-8").rstrip("\n")
