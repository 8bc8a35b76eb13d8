"""Write the tables of docs/attacks.md: what the recipes are made of, what they cost, and what was measured.

    python -m benchmarks.write_attacks

Reads the table of recipes and their docstrings ("Source: ..."), counts encoder gradients by running each recipe on a
network of a few numbers, and takes what was measured from benchmarks/results: attacks.json of attack_table.py, the
files of recipe_cost.py. ``make docs`` calls it.
"""

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

from benchmarks.markers import fill
from benchmarks.stand_in import StandIn, masks, photo

from segrobust.attacks.goals import LeaveTheEmbedding
from segrobust.attacks.recipes import RECIPES, Recipe, attack, make_recipe
from segrobust.errors import CapabilityError
from segrobust.report.tables import markdown_table

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/attacks.md"
MEASURED = ROOT / "benchmarks/results/attacks.json"
COSTS = ("recipe_cost.json", "recipe_cost_sam_b.json")
"""Of all recipes on the embedded model, and of those whose price is the decoder's on a model of full size."""


def source(name: str) -> str:
    """The first sentence of what a recipe's docstring gives as its source."""
    make = RECIPES[name]
    text = inspect.cleandoc(getattr(make, "func", make).__doc__ or "")
    found = re.search(r"^Source: (.+?)\.(?:\n|\s+(?=[A-Z]))", text + "\n", re.S | re.M)
    if found is None:
        raise SystemExit(f"the docstring of {name} says no 'Source: ...'")
    return " ".join(found[1].split()).replace("``", "`")


def part(thing: Any) -> str:
    """The kind of a goal, view or update, and the names and numbers that are not its defaults."""
    kind = type(thing)
    changed = [
        f"{field.name}={_short(getattr(thing, field.name))}"
        for field in dataclasses.fields(thing)
        if getattr(thing, field.name) != _default(field) and field.name != "step"
    ]
    inner = f" ({', '.join(changed)})" if changed else ""
    return f"`{kind.__name__}`{inner}"


def _default(field: Any) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def _short(value: Any) -> str:
    if dataclasses.is_dataclass(value):
        return type(value).__name__
    if isinstance(value, tuple | list):
        return "+".join(map(_short, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def start(recipe: Recipe) -> str:
    """Where a recipe starts, and in which share of the budget around the photo that is."""
    if not recipe.reach:
        return "photo"
    drawn = recipe.start if isinstance(recipe.start, str) else type(recipe.start).__name__
    return drawn if recipe.reach == 1 else f"{drawn}, {recipe.reach:g}"


def gradients(recipe: Recipe) -> int:
    """Encoder gradients that a recipe takes for a photo, with its own numbers."""
    if not recipe.steps:
        return 0
    try:
        return attack(StandIn(), photo(), recipe, clean_masks=masks()).encoder_backward
    except CapabilityError:  # needs a prompt encoder of SAM's kind; no such goal asks for gradients of its own
        plain = dataclasses.replace(recipe, goal=LeaveTheEmbedding(), reach=1.0)
        return attack(StandIn(), photo(), plain).encoder_backward


def attacks_table() -> str:
    """A line for every recipe."""
    header = ["name", "source", "objective", "start", "views", "update", "steps", "needs", "gradients"]
    rows = []
    for name in RECIPES:
        recipe = make_recipe(name)
        views = [part(view) for view in (*recipe.pixel_views, *recipe.input_views)]
        needs = [*([] if recipe.blind else ["gradient"]), *(recipe.goal.needs if recipe.steps else ())]
        rows.append(
            [
                f"`{name}`",
                source(name),
                part(recipe.goal) if recipe.steps else "–",
                start(recipe),
                ", ".join(views) or "–",
                part(recipe.update) if recipe.steps else "–",
                str(recipe.steps),
                ", ".join(needs) or "–",
                str(gradients(recipe)),
            ]
        )
    return markdown_table(header, rows, left=len(header))


def measured_table() -> str:
    """What stored runs say: a table for each budget, best first."""
    if not MEASURED.exists():
        return "Not measured yet."
    return "\n\n".join(_measured(table) for table in json.loads(MEASURED.read_text("utf-8"))["tables"])


def _measured(table: dict[str, Any]) -> str:
    targets = table["targets"]
    header = ["attack", "changed", "gradients", *(f"{t} †" if t == table["made_on"] else t for t in targets)]
    rows = sorted(table["rows"], key=lambda row: [row["miou"][target][0] for target in targets])
    notes = {note: str(number) for number, note in enumerate(dict.fromkeys(r["note"] for r in rows if r["note"]), 1)}
    cells = [
        [
            f"`{row['attack']}`" + (f" ({notes[row['note']]})" if row["note"] else ""),
            ", ".join(f"{key}={_short(value)}" for key, value in row["changed"].items()) or "–",
            f"{row['gradients']:.0f}",
            *(_interval(*row["miou"][target]) for target in targets),
        ]
        for row in rows
    ]
    how = table["protocol"]
    about = (
        f"† white box. Protocol clean, 8/255, {table['photos']} photos ({'; '.join(table['data'])}), first "
        f"{how['masks']} masks, {how['points']} points and {how['boxes']} boxes each; {100 * table['level']:.0f} % "
        f"intervals over photos, seed {table['seed']}. "
        + " ".join(f"({number}) {note}." for note, number in notes.items())
        + " ".join(f" Left out: `{name}`, {reason}." for name, reason in table["left_out"].items())
    )
    title = f"**{table['budget'].capitalize()}, made on {table['made_on']}**"
    return "\n\n".join([title, markdown_table(header, cells, left=2), about.strip(), f"```\n{table['command']}\n```"])


def _interval(value: float, low: float | None, high: float | None) -> str:
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def cost_table() -> str:
    """What a gradient of each recipe costs, in bare ones, the dearest first: a table for each model."""
    stored = [json.loads(file.read_text("utf-8")) for name in COSTS if (file := MEASURED.parent / name).exists()]
    return "\n\n".join(map(_cost, stored)) or "Not measured yet."


def _cost(stored: dict[str, Any]) -> str:
    header = ["attack", "gradient", "of that with its loss alone", "beside it", f"above {stored['allowed']} because of"]
    rows = sorted(stored["rows"], key=lambda row: -row["whole"])
    cells = [
        [f"`{r['attack']}`", *(f"{v:.2f}" for v in (r["whole"], r["loss"], r["whole"] / r["loss"])), r["reason"] or "–"]
        for r in rows
    ]
    return f"{markdown_table(header, cells)}\n\n{stored['where']}\n\n```\n{stored['command']}\n```"


def render(page: str) -> str:
    """The page with everything between its markers made anew."""
    for name, text in {"attacks": attacks_table(), "measured": measured_table(), "cost": cost_table()}.items():
        page = fill(page, name, text, PAGE)
    return page


def main() -> None:
    PAGE.write_text(render(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
