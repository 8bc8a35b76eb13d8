"""Did the attack attack? Its gradient, its loss, what was saved, and whether noise would have done as well."""

import statistics
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

from segrobust.benchmark.cells import Table
from segrobust.benchmark.checks.base import place_of
from segrobust.benchmark.comparisons import minus
from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import NOISE, SIGN_NOISE, Cell, Row
from segrobust.models.ensemble_names import ALTERNATE, members_of, rule_of
from segrobust.types import Budget

Found = Iterator[tuple[str, str]]

L2_SLACK = 1e-6
"""Relative; the L2 distance of a file is a sum of many floats."""

NOT_FALLING = 0.5
"""Share of photos on which the loss must fall."""

GAP = 0.1
"""Relative change of the loss that rounding to 8 bits may make, in the median over photos."""


def made_once(table: Table) -> Iterator[tuple[str, list[Row]]]:
    """Attacks as they were made, whomever they were shown to: a name, and a row for each photo."""
    groups: dict[tuple[Any, ...], dict[str, Row]] = {}
    for _, rows in table.attacks():
        for row in rows:
            knows = row.defence if row.adaptive else None
            group = groups.setdefault((row.dataset, row.surrogate, row.attack, knows), {})
            group.setdefault(row.image, row)
    for (dataset, surrogate, attack, knows), photos in groups.items():
        aware = f", knowing {knows}" if knows else ""
        yield f"{dataset}, {attack} made on {surrogate}{aware}", list(photos.values())


def budget_on_disk(table: Table, facts: Facts) -> Found:
    """A saved photo is further from its original than the budget allows."""
    if facts.protocol.get("perturbation") == "paper":  # leaves the budget by design, which another check says
        return
    worst: dict[str, tuple[float, str]] = {}
    broken: dict[str, set[str]] = {}
    for rows in table.cells.values():
        for row in (row for row in rows if row.done and row.made):
            over, text = _over_budget(row)
            if over > 0 or row.made.get("inside") is False:
                name = f"{row.dataset}, {row.attack} made on {row.surrogate or 'no model'}"
                broken.setdefault(name, set()).add(row.image)
                worst[name] = max(worst.get(name, (0.0, "")), (over, f"{row.image} at {text}"))
    for name, images in broken.items():
        count = f"{len(images)} saved photo{'s' if len(images) > 1 else ''}"
        yield f"{count} outside the budget; the furthest: {worst[name][1]}", name


def _over_budget(row: Row) -> tuple[float, str]:
    """How far a row's file is outside, in the budget's own unit, as far as one number can say (see ``inside``)."""
    budget = Budget.parse(row.epsilon)
    if budget.norm == "l2":
        distance = row.made.get("l2") or 0.0
        return distance - budget.value * (1 + L2_SLACK), f"L2 {distance:.4g} of {budget.value:.4g}"
    distance = row.made.get("linf_255") or 0
    flat = ", less on flat areas" if budget.norm == "contrast" else ""
    return distance - budget.levels, f"{distance}/255 of {budget.levels}/255{flat}"


def paper_space(table: Table, facts: Facts) -> Found:
    """The perturbation lives at the model's resolution, so the saved photos leave the budget by design."""
    if facts.protocol.get("perturbation") == "paper":
        largest = [row.made["linf_255"] for _, rows in table.attacks() for row in rows if row.made.get("linf_255")]
        yield f"perturbed at the model's resolution; saved photos differ by up to {max(largest, default=0)}/255", "run"


def gradient(table: Table, facts: Facts) -> Found:
    """A gradient is zero (such an attack fails), or the loss is the same in every step: the attack followed nothing."""
    for name, rows in made_once(table):
        flat = [row.image for row in rows if len(losses := _losses(row)) > 2 and len(set(losses)) == 1]
        if flat:
            yield f"the loss never changed on {len(flat)} of {len(rows)} photos, e.g. {flat[0]}", name
    failed = {
        (row.dataset, row.surrogate, row.attack): row
        for rows in table.cells.values()
        for row in rows
        if row.error and "gradient is" in row.error
    }
    for row in failed.values():
        yield f"{row.image}: {row.error}", place_of(row)


def loss_falls(table: Table, facts: Facts) -> Found:
    """On half of the photos or more, the loss is no lower in the last step than in the first: it did not optimise."""
    for name, rows in made_once(table):
        ends = [losses for row in rows if len(losses := _of_one_model(row)) > 1]
        stuck = sum(losses[-1] >= losses[0] for losses in ends)
        if ends and stuck / len(ends) >= NOT_FALLING:
            yield f"the loss did not fall on {stuck} of {len(ends)} photos", name


def _of_one_model(row: Row) -> list[float]:
    """The losses of the steps; of models that are asked in turn, those of the first one: losses of two say nothing."""
    losses, name = _losses(row, steps=True), row.surrogate or ""
    return losses[:: len(members_of(name))] if rule_of(name) == ALTERNATE else losses


def _losses(row: Row, *, steps: bool = False) -> list[float]:
    """All that there are; or those of the steps alone: the last one is the plain image's, seen without views."""
    losses = list(row.made.get("loss") or ())
    return [loss for loss in (losses[:-1] if steps else losses) if loss is not None]


def better_than_noise(table: Table, facts: Facts) -> Found:
    """An attack is not clearly worse for the model than noise of the same size on the same photos."""
    for _, rows in table.attacks():
        compared = []
        for kind in (NOISE, SIGN_NOISE):
            noise = table.control(rows[0], kind)
            found = minus(rows, table.done(noise), facts.seed) if noise else None
            if found is not None and found.images:
                compared.append((found.high if found.images > 1 else found.value, kind, found))
        high, kind, found = max(compared, key=lambda entry: entry[0], default=(-1.0, "", None))
        if found is not None and high >= 0:
            interval = f" [{found.low:+.3f}, {found.high:+.3f}]" if found.images > 1 else ""
            yield f"score {found.value:+.3f}{interval} against {kind} on {found.images} photos", place_of(rows[0])


def float_to_8bit(table: Table, facts: Facts) -> Found:
    """Rounding to 8 bits gave back a good part of what the attack had reached."""
    for name, rows in made_once(table):
        gaps = [abs(row.made["float_to_8bit"]) for row in rows if row.made.get("float_to_8bit") is not None]
        if gaps and (middle := statistics.median(gaps)) > GAP:
            yield f"the loss of the saved photos differs by {middle:.0%} (median) from that before rounding", name


def epsilon_order(table: Table, facts: Facts) -> Found:
    """The same attack with a larger epsilon leaves the model better off, beyond the interval."""
    sweeps: dict[tuple[Any, ...], list[tuple[float, Cell]]] = {}
    for cell, rows in table.attacks():
        first = rows[0]
        budget = Budget.parse(first.epsilon)
        others = sorted((k, str(v)) for k, v in first.parameters.items() if k not in ("eps", "epsilon"))
        same = (cell[0], cell[1], first.recipe, *cell[3:], budget.norm, tuple(others))
        sweeps.setdefault(same, []).append((budget.value, cell))
    for sweep in sweeps.values():
        for (small, less), (large, more) in pairwise(sorted(sweep, key=lambda entry: entry[0])):
            found = minus(table.done(more), table.done(less), facts.seed)
            if large > small and found.low > 0:
                worse, better = table.cells[more][0], table.cells[less][0]
                yield (
                    f"score {found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}] at {worse.epsilon} "
                    f"against {better.epsilon}",
                    place_of(worse),
                )


def white_box_stronger(table: Table, facts: Facts) -> Found:
    """A photo attacked on another model harms the target more than one attacked on itself: its gradients mislead."""
    shown: dict[tuple[Any, ...], list[list[Row]]] = {}
    for cell, rows in table.attacks():
        shown.setdefault((cell[0], *cell[2:]), []).append(rows)
    for group in shown.values():
        for one, two in combinations(group, 2):
            for white, black in ((one, two), (two, one)):
                if not white[0].white_box or black[0].white_box:
                    continue
                found = minus(black, white, facts.seed)
                if found.high < 0:
                    interval = f"[{found.low:+.3f}, {found.high:+.3f}]"
                    yield f"score {found.value:+.3f} {interval} against the white box", place_of(black[0])
