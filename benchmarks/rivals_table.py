"""falsify, RGA and its rivals at equal budget: white box, and the mean over the models that were not looked into."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from benchmarks.plan_tables import estimate_text, interval, plan_section

from segrobust.evaluation.statistics import Sums, difference, estimate, quotient
from segrobust.models.ensemble_names import members_of
from segrobust.report.tables import markdown_table

Cell = dict[str, Any]
Made = tuple[str, str]
"""An attack, and the model it was made on."""
BASE, OURS = "rga", "falsify"
HEADER = (
    "attack", "gradients", "white box: mIoU ↑", "of RGA's", "boxes: ASR@50, % ↓", "other models: loss of mIoU ↓",
    "of RGA's",
)  # fmt: skip


def rivals_text(results: dict[str, Any], surrogates: Sequence[str]) -> str:
    """A table of plans/falsify.yaml or plans/ensembles.yaml, and what it is of.

    Args:
        results: its ``results.json``, without failures: of protocol clean, the first surrogate a target too.
        surrogates: of which of the run's surrogates; the other models are those in none of these.
    """
    seed, others, cells = results["facts"]["seed"], strangers(results, surrogates), by_attack(results)
    white_box = surrogates[0]
    base = scores([cells[BASE, white_box, white_box]]), losses(cells, (BASE, white_box), others)
    rows = []
    order = ["", *surrogates]
    made = dict.fromkeys((attack, on) for attack, on, _ in cells if attack != "clean" and on in order)
    for attack, made_on in sorted(made, key=lambda pair: order.index(pair[1])):
        cell = cells[attack, made_on, white_box]
        white, lost = scores([cell]), losses(cells, (attack, made_on), others)
        itself = (attack, made_on) == (BASE, white_box)
        rows.append([
            attack,
            *([made_on or "–"] if len(surrogates) > 1 else []),
            f"{cell['cost']['encoder_backward'] / cell['photos']:.0f}" if made_on else "0",
            estimate_text(estimate(white, seed=seed)),
            "1" if itself else estimate_text(quotient(white, base[0], seed=seed), 2),
            interval({key: _percent(share) for key, share in cell["boxes"]["asr50"].items()}, 1),
            estimate_text(estimate(lost, seed=seed)),
            "1" if itself else estimate_text(quotient(lost, base[1], seed=seed), 2),
        ])  # fmt: skip
    first = cells[BASE, white_box, white_box]
    header = list(HEADER)
    if len(surrogates) > 1:
        header[1:3] = ["made on", "gradients", f"{white_box}: mIoU ↑"]
    origin = "Made" if len(surrogates) == 1 else "RGA's is that made"
    about = (
        f"{first['photos']} photos, {first['epsilon']} held by the saved file, reference: each model's own answers on "
        f"the original. {origin} on {white_box}; other models: {', '.join(others)}, the mean of what they lose. In "
        "brackets 95 % intervals over photos, of quotients paired by photo."
    )
    return f"{markdown_table(header, rows)}\n\n{about}"


def against_text(results: dict[str, Any]) -> str:
    """``OURS`` against every other attack made on the same model: what it leaves there, and what others lose."""
    first, cells = results["facts"]["surrogates"][0], by_attack(results)
    made = dict.fromkeys(attack for attack, on, _ in cells if on == first and attack != OURS)
    pairs = {f"{OURS} − {attack}": ((OURS, first), (attack, first)) for attack in made}
    return _paired(results, pairs, "white box: mIoU", strangers(results, [first]))


def surrogates_text(results: dict[str, Any]) -> str:
    """What an attack loses on the first surrogate, and gains on the models in none, by being made on another one."""
    (first, *more), cells = results["facts"]["surrogates"], by_attack(results)
    made = dict.fromkeys((attack, on) for attack, on, _ in cells if on in more and (attack, first, first) in cells)
    pairs = {f"{attack}: {on} − {first}": ((attack, on), (attack, first)) for attack, on in made}
    return _paired(results, pairs, f"{first}: mIoU", strangers(results, [first, *more]))


def falsify_section(results: dict[str, Any], command: str) -> str:
    """Of plans/falsify.yaml: one surrogate, then what more of them give, then what all plans show."""
    surrogates = results["facts"]["surrogates"]
    tables = [rivals_text(results, surrogates[:1]), against_text(results)]
    if surrogates[1:]:
        tables += ["With a second surrogate, on the models that are in neither:", rivals_text(results, surrogates)]
        tables.append(surrogates_text(results))
    return "\n\n".join([*tables, _model_by_model(results, command)])


def ensembles_section(results: dict[str, Any], command: str) -> str:
    """Of plans/ensembles.yaml: all surrogates, then what all plans show."""
    return f"{rivals_text(results, results['facts']['surrogates'])}\n\n{_model_by_model(results, command)}"


def headline(results: dict[str, Any], _command: str) -> str:
    """The README's table: attacks made on the plan's first surrogate."""
    return rivals_text(results, results["facts"]["surrogates"][:1])


def strangers(results: dict[str, Any], surrogates: Sequence[str]) -> list[str]:
    """The targets of a run that no attack made on some surrogates looked into."""
    looked_into = {name for made_on in surrogates for name in (made_on, *members_of(made_on))}
    return [target for target in results["facts"]["targets"] if target not in looked_into]


def by_attack(results: dict[str, Any]) -> dict[tuple[str, str, str], Cell]:
    """The cells of a run by attack, the model it was made on (empty: none) and target."""
    return {(cell["attack"], cell["surrogate"] or "", cell["target"]): cell for cell in results["cells"]}


def scores(cells: Sequence[Cell]) -> Sums:
    """The mean mIoU of some cells, prompt by prompt; they are of the same prompts."""
    images, counts = cells[0]["per_image"]["image"], np.array(cells[0]["per_image"]["n"], np.float64)
    for cell in cells:
        if (cell["per_image"]["image"], cell["per_image"]["n"]) != (images, counts.tolist()):
            raise SystemExit(f"{cell['attack']} on {cell['target']} is scored on other photos or prompts")
    means = np.mean([cell["per_image"]["score"] for cell in cells], axis=0)
    return Sums(tuple(images), means * counts, counts)


def losses(cells: dict[tuple[str, str, str], Cell], attack: Made, targets: Sequence[str]) -> Sums:
    """What targets lose on the way from the original to an attack made on a model, the mean over the targets."""
    before = scores([cells["clean", "", target] for target in targets])
    after = scores([cells[*attack, target] for target in targets])
    return Sums(before.images, before.sums - after.sums, before.counts)


def _paired(results: dict[str, Any], pairs: Mapping[str, tuple[Made, Made]], left: str, others: Sequence[str]) -> str:
    """Two attacks a row, the one minus the other: what is left of the first surrogate, and what other models lose."""
    first, seed, cells = results["facts"]["surrogates"][0], results["facts"]["seed"], by_attack(results)
    rows = []
    for what, pair in pairs.items():
        white, lost = [scores([cells[*one, first]]) for one in pair], [losses(cells, one, others) for one in pair]
        found = (difference(*white, seed=seed), difference(*lost, seed=seed))
        rows.append([what, *(estimate_text(one, sign=True) for one in found)])
    return markdown_table(["paired differences", left, "other models: loss of mIoU"], rows)


def _model_by_model(results: dict[str, Any], command: str) -> str:
    return f"The same run, model by model:\n\n{plan_section(results, command)}"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
