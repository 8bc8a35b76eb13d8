"""What a report says in sentences: the verdict, who the attacker is, how it was measured, and where it ends."""

from collections.abc import Mapping
from typing import Any

from segrobust.benchmark.rows import CLEAN, CONTROLS, NO_DEFENCE, NOISE, SIGN_NOISE
from segrobust.report.grids import Cell
from segrobust.report.layout import PROTOCOLS, Results, attack_name, main_interval, score_name

BREAKS, HURTS = 0.5, 0.2
"""Share of the prompts that worked before and fail under the attack, from which it breaks the model, or hurts it."""


def verdict(results: Results) -> str:
    """The run in one sentence, or the reason why there is none."""
    if results["headline"] is None:
        return "No attack has a score, so there is no verdict."
    cell = results["cells"][results["headline"]]
    score, asr = main_interval(cell), _failing(cell)
    if score is None or score["value"] is None:
        return "The headline attack has no score, so there is no verdict."
    before = _original(results, cell)
    change = f"from {before:.2f} to {score['value']:.2f}" if before is not None else f"to {score['value']:.2f}"
    ends = f" (95 %: {score['low']:.2f} to {score['high']:.2f})" if score["low"] is not None else ""
    failing = f"; of the prompts that worked before, {100 * asr:.0f} % fail" if asr is not None else ""
    made = f", made on {cell['surrogate']}," if cell["surrogate"] and not cell["white_box"] else ""
    return (
        f"{attack_name(cell)} within {cell['epsilon']}{made} {_verb(results, cell)} {cell['target']}: on "
        f"{_photos(cell['photos'])} of {cell['dataset']} the {score_name(cell)} goes {change}{ends}{failing}."
    )


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"


def _failing(cell: Cell) -> float | None:
    """Share of the prompts that worked before and fail now."""
    found: float | None = cell["conditional"]["asr50"]["value"] if "conditional" in cell else None
    return found


def _verb(results: Results, cell: Cell) -> str:
    against = [d["score"] for d in results["differences"] if d["cell"] == results["headline"] and d["kind"] in
               (NOISE, SIGN_NOISE)]  # fmt: skip
    if any((d["high"] if d["high"] is not None else d["value"]) >= 0 for d in against):
        return "cannot be told from noise on"
    share = _failing(cell)
    if share is None:
        return "changes what is found by"
    return "breaks" if share >= BREAKS else "hurts" if share >= HURTS else "dents"


def _original(results: Results, cell: Cell) -> float | None:
    same = ("dataset", "target", "defence", "protocol")
    for other in results["cells"]:
        if (
            other["recipe"] == CLEAN
            and all(other[key] == cell[key] for key in same)
            and (found := main_interval(other))
        ):
            value: float | None = found["value"]
            return value
    return None


def threat_model(results: Results) -> list[tuple[str, str]]:
    """Who the attacker is, as pairs of a question and its answer."""
    facts, cells = results["facts"], results["cells"]
    attacked = [cell for cell in cells if cell["recipe"] not in CONTROLS]
    budgets = sorted({(cell["levels"] or 0, cell["epsilon"]) for cell in attacked})
    white = [c["target"] for c in attacked if c["white_box"]]
    black = [c["target"] for c in attacked if c["surrogate"] and not c["white_box"]]
    space = facts["protocol"].get("perturbation", "strict")
    largest = [c["files"]["linf_255"] for c in attacked if "files" in c and c["files"]["linf_255"] is not None]
    knows = sorted({c["defence"] for c in attacked if c["adaptive"]})
    unknown = sorted({c["defence"] for c in attacked if c["defence"] != NO_DEFENCE} - set(knows))
    answers = [
        ("Goal", "wrong masks, of whatever kind (untargeted); the attacker does not know which prompts will be asked"),
        ("Changes", f"every pixel of the photo, by at most {' or '.join(text for _, text in budgets) or 'nothing'}"),
        ("Where the budget holds", {
            "strict": "between the saved 8-bit file and the original photo, pixel by pixel",
            "paper": "at the model's resolution; the saved files differ by more",
        }.get(space, space) + (f"; measured on the files: at most {max(largest)}/255" if largest else "")),
        ("White box", f"gradients of {_names(white)}" if white else "none: every target is another model"),
        ("Transfer", f"photos are also shown to models the attacker never saw: {_names(black)}" if black else "none"),
        ("Defences", "; ".join(
            ([f"the attacker knows {', '.join(knows)}"] if knows else [])
            + ([f"does not know {', '.join(unknown)}"] if unknown else [])
        ) or "none"),
    ]  # fmt: skip
    return answers


def _names(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def measured(results: Results) -> list[tuple[str, str]]:
    """How it was measured, as pairs."""
    facts = results["facts"]
    protocol = facts["protocol"]
    kinds = dict.fromkeys(cell["protocol"] for cell in results["cells"])
    pairs = [("Data", "; ".join(f"{name} ({_said(about)})" for name, about in facts["datasets"].items()))]
    pairs += [("Photos", str(results["photos"])), ("Seed", str(facts["seed"]))]
    pairs += [("Protocols", "; ".join(f"{kind}: {PROTOCOLS[kind]}" for kind in kinds))]
    singular = {"masks": "mask", "points": "point", "boxes": "box"}
    asked = [
        f"{protocol[name]} {one if protocol[name] == 1 else name}" for name, one in singular.items() if name in protocol
    ]
    if asked:
        pairs.append(("Prompts", f"per photo: the first {asked[0]}" + (
            f", each asked for by {' and '.join(asked[1:])}" if asked[1:] else "") +
            "; drawn once and shared by all attacks and targets"))  # fmt: skip
    if "multimask" in protocol:
        pairs.append(("Of several masks that a model offers", str(protocol["multimask"])))
    if protocol.get("prompts_from"):
        pairs.append(("Prompts of protocol clean from the masks of", str(protocol["prompts_from"])))
    intervals = results["intervals"]
    pairs.append(("Intervals", f"{intervals['level']:.0%} bootstrap over photos, {intervals['resamples']} draws; "
                  "differences are paired on the same photos".replace("%", " %")))  # fmt: skip
    return [(name, text) for name, text in pairs if text]


def _said(about: Mapping[str, Any]) -> str:
    parts = [str(about["kind"])] if about.get("kind") else []
    parts += [f"{about['photos']} photos"] if about.get("photos") is not None else []
    parts += [f"sha256 {str(about['sha256'])[:12]}"] if about.get("sha256") else []
    return ", ".join(parts) or "nothing recorded"


def licences(results: Results) -> list[tuple[str, str, str]]:
    """What may be done with the models and data: what, its name, its terms."""
    facts = results["facts"]
    models = [("weights", name, str(about.get("licence") or "not known")) for name, about in facts["models"].items()]
    return models + [
        ("data", name, str(about.get("terms") or "not known")) for name, about in facts["datasets"].items()
    ]


def limits(results: Results) -> list[str]:
    """What the numbers do not say."""
    said = [str(note) for note in results["facts"]["notes"]]
    said.append(
        f"{_photos(results['photos'])}. The intervals say how the numbers would move with other photos like these, and "
        "nothing about photos unlike them."
    )
    said.append(
        "An attack that failed does not make a model safe: these attacks, with these budgets and steps, are a lower "
        "bound of what is possible."
    )
    if any(cell["protocol"] == "clean" for cell in results["cells"]):
        said.append("Protocol clean measures change, not quality: a model that was wrong before can score 1.")
    if any(cell["protocol"] == "annotation" for cell in results["cells"]):
        said.append(
            "Protocol annotation is as good as its annotations; masks of SA-1B were themselves made by a model."
        )
    if results["failures"]:
        said.append(f"Items failed: {len(results['failures'])}; their rows stand on fewer photos than the others.")
    if any(name.startswith("nano") for name in (*results["facts"]["targets"], *results["facts"]["surrogates"])):
        said.append("Models named nano are small stand-ins with weights of this project; their numbers are not SAM's.")
    return said


def grouped(results: Results) -> list[dict[str, Any]]:
    """What the checks found, a group for each check: its ``id``, ``level``, ``advice``, and what was ``found``."""
    groups: dict[str, dict[str, Any]] = {}
    for finding in results["checks"]:
        empty = {**{key: finding[key] for key in ("id", "level", "advice")}, "found": []}
        groups.setdefault(finding["id"], empty)["found"].append(finding)
    return list(groups.values())


def findings_lines(results: Results) -> list[str]:
    """A line for each check that found something, for a terminal."""
    lines = []
    for group in grouped(results):
        first, more = group["found"][0], len(group["found"]) - 1
        rest = f", and {more} more" if more else ""
        lines.append(f"{group['level']}: {group['id']}: {first['message']} ({first['where']}){rest}")
    return lines
