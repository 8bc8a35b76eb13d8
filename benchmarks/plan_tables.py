"""Tables of a plan's run for the documents: mIoU by attack and target, and paired differences from the headline."""

import re
from pathlib import Path
from typing import Any

import yaml

from segrobust.benchmark.rows import NO_DEFENCE
from segrobust.evaluation.statistics import Estimate
from segrobust.report.layout import by_defence
from segrobust.report.story import findings_lines
from segrobust.report.tables import markdown_table

Cell = dict[str, Any]


ROOT = Path(__file__).resolve().parent.parent


def command_of(run: Path, name: str) -> str:
    """The command that makes a plan's run again, from the plan's first line and what part of the data the run took.

    Args:
        run: the run's folder.
        name: of the plan.

    Raises:
        SystemExit: the run is of parts of its data that no option says.
    """
    text = (ROOT / "plans" / f"{name}.yaml").read_text("utf-8")
    shipped, made = yaml.safe_load(text), yaml.safe_load((run / "plan.yaml").read_text("utf-8"))
    command = text.splitlines()[0].removeprefix("# ")
    for key in ("split", "limit"):
        before, now = ([str(entry.get(key)) for entry in plan["data"]] for plan in (shipped, made))
        command = re.sub(rf" --{key} \S+", "", command)  # an example's; what the run took is said below
        if before == now:
            continue
        if len(set(now)) > 1 or now[0] == "None":
            raise SystemExit(f"{run}: no --{key} says what it took of its data sets, {now}")
        command = command.replace(" -o ", f" --{key} {now[0]} -o ")
    return command


def plan_section(results: dict[str, Any], command: str) -> str:
    """What a plan found: for each data set and protocol one table, then the checks and the circumstances.

    Where there are defences, a table says what is left of each, with and without an attack that knows it.

    Args:
        results: ``results.json`` of a plan, without failures.
        command: that makes it again.
    """
    parts = [f"```\n{command}\n```", _about(results)]
    for dataset, protocol in dict.fromkeys((cell["dataset"], cell["protocol"]) for cell in results["cells"]):
        cells = [cell for cell in results["cells"] if (cell["dataset"], cell["protocol"]) == (dataset, protocol)]
        parts.append(f"{dataset}, protocol {protocol} ({max(cell['photos'] for cell in cells)} photos)")
        defended = any(cell["defence"] != NO_DEFENCE for cell in cells)
        parts.append(by_defence(cells).markdown() if defended else _table(results, cells))
    if lines := findings_lines(results):
        parts.append("What the checks say:")
        parts.append("\n".join(line if line.startswith("- ") else f"- {line}" for line in lines))
    return "\n\n".join(parts)


def _table(results: dict[str, Any], cells: list[Cell]) -> str:
    targets = list(dict.fromkeys(cell["target"] for cell in cells))
    prompts = "all" in cells[0]
    header = ["attack", "made on"]
    for target in targets:
        header += [f"{target}: {'mIoU' if prompts else 'matched mIoU'} ↑", f"minus {results['facts']['attacks'][0]}"]
        header += ["points / boxes", "ASR@50 ↓"] if prompts else []
    rows: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        name = cell["attack"] + (" (knows the defence)" if cell["adaptive"] else "")
        row = rows.setdefault((name, cell["surrogate"] or "–"), [name, cell["surrogate"] or "–"])
        row += _values(results, cell, prompts)
    return markdown_table(header, list(rows.values()))


def _values(results: dict[str, Any], cell: Cell, prompts: bool) -> list[str]:
    place = results["cells"].index(cell)
    score = cell["all"]["miou"] if prompts else cell["everything"]["matched_miou"]
    mark = " †" if cell["white_box"] else ""
    paired = [d["score"] for d in results["differences"] if d["cell"] == place and d["kind"] == "headline"]
    values = [interval(score) + mark, interval(paired[0], sign=True) if paired else "–"]
    if prompts:
        values.append(f"{number(cell['points']['miou']['value'])} / {number(cell['boxes']['miou']['value'])}")
        asr = cell["all"]["asr50"]["value"]
        values.append("–" if asr is None else f"{100 * asr:.1f} %")
    return values


def interval(found: Cell, digits: int = 3, *, sign: bool = False) -> str:
    """A value and its interval, as far as there are any."""
    form = f"{'+' if sign else ''}.{digits}f"
    if found.get("value") is None:
        return "–"
    value = f"{found['value']:{form}}"
    return value if found["low"] is None else f"{value} [{found['low']:{form}}, {found['high']:{form}}]"


def estimate_text(found: Estimate, digits: int = 3, *, sign: bool = False) -> str:
    """The same of an estimate."""
    return interval(vars(found), digits, sign=sign)


def number(value: float | None, digits: int = 3) -> str:
    """A number, if there is one."""
    return "–" if value is None else f"{value:.{digits}f}"


def _about(results: dict[str, Any]) -> str:
    facts = results["facts"]
    how = facts["protocol"]
    budget = next(cell["epsilon"] for cell in results["cells"] if cell["attack"] == facts["attacks"][0])
    weights = "; ".join(
        f"{name} {model['sha256'][:12]}" + (f" ({model['licence']})" if model["licence"] else "")
        for name, model in facts["models"].items()
    )
    data = "; ".join(f"{name}: {about['photos']} photos, {about['terms']}" for name, about in facts["datasets"].items())
    versions = ", ".join(f"{name} {value}" for name, value in facts["versions"].items() if value is not None)
    return (
        f"† white box. Budget in the attack's name, otherwise {budget}; perturbation {how['perturbation']}; first "
        f"{how['masks']} masks, {how['points']} points and {how['boxes']} boxes each, rule {how['multimask']}; prompts "
        f"of protocol clean from {how['prompts_from']}; seed {facts['seed']}. In brackets 95 % intervals over photos; "
        f"differences are paired.\n\nWeights: {weights}. Data: {data}. {versions}."
    )
