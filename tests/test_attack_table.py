"""The measured tables of docs/attacks.md: what is run for them, and how they are made of the runs."""

import copy
import inspect
import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from segrobust.attacks.recipes import RECIPES, make_recipe
from segrobust.benchmark.plans.reading import parse_plan
from segrobust.benchmark.plans.variants import Variant, variants

STEPS, GRADIENTS = BUDGETS = ("40 steps", "120 gradients")
PLANS = ("attacks-40-steps", "attacks-120-gradients", "robust")


@pytest.fixture
def maker(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``benchmarks/attack_table.py``, which is no part of the package."""
    monkeypatch.syspath_prepend(str(root))
    return import_module("benchmarks.attack_table")


@pytest.fixture
def rules(maker: ModuleType) -> ModuleType:
    return import_module("benchmarks.attack_variants")


@pytest.fixture
def cost(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root))
    return import_module("benchmarks.recipe_cost")


def kind_of(maker: ModuleType, plan: str) -> Any:
    """The table of a plan."""
    (found,) = (kind for kind in maker.KINDS if kind.plan == plan)
    return found


def shipped(maker: ModuleType, name: str) -> dict[str, Variant]:
    """The attacks of a plan that ships, by recipe, without what is in no table."""
    plan, _ = parse_plan(kind_of(maker, name).file.read_text("utf-8"), name)
    return {variant.recipe: variant for variant in variants(plan) if not variant.control and ", " in variant.label}


@pytest.mark.parametrize("plan", PLANS)
def test_the_plans_name_every_recipe_but_those_with_a_reason(maker: ModuleType, rules: ModuleType, plan: str) -> None:
    found, budget = shipped(maker, plan), kind_of(maker, plan).budget
    assert set(found) | set(rules.LEFT_OUT[budget]) == set(rules.attacks()), "python -m benchmarks.attack_table plans"
    assert set(rules.attacks()) == set(RECIPES) - {"noise", "sign-noise"}
    for name, variant in found.items():
        assert rules.split(variant.label) == (name, budget)
        assert variant.epsilon == "8/255"


def test_exceptions_are_of_recipes_that_there_are(rules: ModuleType) -> None:
    named = {
        *rules.CHANGED,
        *rules.CHEAPER,
        *rules.QUESTIONS,
        *(name for budget in BUDGETS for name in rules.LEFT_OUT[budget]),
    }
    assert named <= set(RECIPES)


def test_forty_steps_are_forty_with_the_authors_numbers(maker: ModuleType, rules: ModuleType) -> None:
    for name, variant in shipped(maker, "attacks-40-steps").items():
        takes = "steps" in inspect.signature(RECIPES[name]).parameters
        assert variant.parameters == {**({"steps": 40} if takes else {}), **rules.CHEAPER.get(name, {})}
        assert variant.make().steps == (40 if takes else 1)  # FGSM


FEW = ("rga", "pgd", "vmi", "pgn", "emi", "t-ra", "fgsm")
ALL = [name for name in RECIPES if name not in ("noise", "sign-noise", "universal", "absence")]


@pytest.mark.parametrize("name", [name if name in FEW else pytest.param(name, marks=pytest.mark.slow) for name in ALL])
def test_no_more_than_120_gradients_are_spent_and_no_fewer_than_can_be(
    maker: ModuleType, rules: ModuleType, name: str
) -> None:
    variant = shipped(maker, "attacks-120-gradients")[name]
    spent = rules.gradients(variant.make())
    assert spent <= 120
    if name == "rga":
        assert spent == 120
    if "steps" in variant.parameters and name not in rules.CHANGED and spent < 120:
        assert (
            rules.gradients(make_recipe(name, **{**variant.parameters, "steps": variant.parameters["steps"] + 1})) > 120
        )


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
def test_the_plans_are_what_would_be_written_now(maker: ModuleType, plan: str) -> None:
    text = kind_of(maker, plan).file.read_text("utf-8")
    assert text == maker.plan_text(kind_of(maker, plan)), "stale: python -m benchmarks.attack_table plans"


def test_the_plan_on_a_robust_model_asks_the_same_prompts_as_the_others(maker: ModuleType) -> None:
    plan, _ = parse_plan(kind_of(maker, "robust").file.read_text("utf-8"), "robust")
    other, _ = parse_plan(kind_of(maker, "attacks-120-gradients").file.read_text("utf-8"), "attacks-120-gradients")
    assert (plan.surrogates, plan.targets) == (("nano-robust",), ("nano-robust", "nano"))
    assert (plan.prompt_source, plan.protocols, plan.seed) == (other.prompt_source, other.protocols, other.seed)
    assert shipped(maker, "robust").keys() == shipped(maker, "attacks-120-gradients").keys()
    half = [variant.label for variant in variants(plan) if variant.epsilon == "4/255" and not variant.control]
    assert half == ["rga[eps=4/255]"]


def test_few_steps_can_still_reach_the_border(rules: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "gradients", lambda recipe: 40 * recipe.steps)
    assert rules.parameters("pgn", GRADIENTS) == {"steps": 3, "step_size": "8/765"}
    monkeypatch.setattr(rules, "gradients", lambda recipe: 21 * recipe.steps)
    assert rules.parameters("vmi", GRADIENTS) == {"steps": 5}
    monkeypatch.setattr(rules, "gradients", lambda recipe: recipe.steps + 8 * max(0, recipe.steps - 5))
    assert rules.parameters("rap", GRADIENTS) == {"steps": 17}


def test_a_step_that_costs_more_than_the_budget_must_be_made_cheaper(
    rules: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "gradients", lambda recipe: 121 * recipe.steps)
    with pytest.raises(SystemExit, match="vmi takes more than 120 gradients in one step; lower its copies"):
        rules.parameters("vmi", GRADIENTS)


def results(
    maker: ModuleType, rules: ModuleType, names: list[str], budget: str, made_on: str = "nano"
) -> dict[str, Any]:
    """What ``results.json`` of a run of the plan would hold, of two photos."""

    def cell(attack: str, recipe: str, target: str, spent: int, score: float) -> dict[str, Any]:
        surrogate = None if recipe in ("clean", "noise", "sign-noise") else made_on
        made = {} if recipe == "clean" else {"cost": {"encoder_forward": 2 * spent, "encoder_backward": 2 * spent}}
        interval = {"value": score, "low": score - 0.1, "high": score + 0.1}
        shared = {
            "attack": attack,
            "recipe": recipe,
            "target": target,
            "photos": 2,
            "parameters": {"steps": 40},
            "surrogate": surrogate,
        }
        return {**shared, **made, "all": {"miou": interval}}

    cells = []
    for target in maker.EMBEDDED:
        cells += [cell(name, name, target, 0, 0.9) for name in ("clean", "noise", "sign-noise")]
        cells += [cell(rules.label(name, budget), name, target, 40, 0.5 + 0.001 * i) for i, name in enumerate(names)]
        cells += [cell(f"{name}[eps=4/255]", name, target, 40, 0.8) for name in ("noise", "rga")]  # in no table
    facts = {
        "command": "run it", "seed": 0, "surrogates": [made_on], "targets": list(maker.EMBEDDED), "models": {},
        "datasets": {"photos": {"terms": "free"}}, "versions": {},
        "protocol": {"masks": 10, "points": 5, "boxes": 3},
    }  # fmt: skip
    return {"facts": facts, "photos": 2, "cells": cells, "failures": [], "intervals": {"level": 0.95}}


def names_of(rules: ModuleType, budget: str) -> list[str]:
    return [name for name in rules.attacks() if name not in rules.LEFT_OUT[budget]]


def test_a_table_has_a_row_of_every_recipe_and_of_the_controls(maker: ModuleType, rules: ModuleType) -> None:
    runs = [results(maker, rules, names_of(rules, budget), budget) for budget in BUDGETS]
    robust = results(maker, rules, names_of(rules, GRADIENTS), GRADIENTS, "nano-robust")
    first, second, third = maker.tables([*runs, robust])
    assert (first["budget"], second["budget"]) == BUDGETS
    assert (third["budget"], third["made_on"]) == (GRADIENTS, "nano-robust")
    assert [row["attack"] for row in second["rows"]] == [*names_of(rules, GRADIENTS), "clean", "noise", "sign-noise"]
    row = first["rows"][0]
    assert row["gradients"] == 40
    assert row["changed"] == {"steps": 40}
    assert row["miou"]["nano-hiera"] == pytest.approx([0.5, 0.4, 0.6])
    assert first["left_out"] == rules.LEFT_OUT[STEPS]
    assert first["made_on"] == "nano"


def test_a_recipe_without_a_row_is_refused(
    maker: ModuleType, rules: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = results(maker, rules, names_of(rules, STEPS), STEPS)
    monkeypatch.setattr(maker, "attacks", lambda: ("mine", *rules.attacks()))
    with pytest.raises(SystemExit, match="40 steps, made on nano: no row of mine"):
        maker.tables([run])


def test_a_recipe_may_come_from_a_run_of_its_own_on_the_same_photos(maker: ModuleType, rules: ModuleType) -> None:
    *most, last = names_of(rules, STEPS)
    runs = [results(maker, rules, most, STEPS), results(maker, rules, [last], STEPS)]
    (table,) = maker.tables(runs)
    assert last in [row["attack"] for row in table["rows"]]
    other = copy.deepcopy(runs[1])
    other["facts"]["datasets"]["photos"]["terms"] = "others"
    with pytest.raises(SystemExit, match="another datasets"):
        maker.tables([runs[0], other])
    with pytest.raises(SystemExit, match="is in several runs"):
        maker.tables([*runs, runs[1]])


def test_failures_and_runs_of_something_else_are_refused(maker: ModuleType, rules: ModuleType) -> None:
    run = results(maker, rules, names_of(rules, STEPS), STEPS)
    with pytest.raises(SystemExit, match="has failures"):
        maker.tables([{**run, "failures": [{}]}])
    with pytest.raises(SystemExit, match="at one of the budgets"):
        maker.tables([{**run, "cells": [{"attack": "rga", "surrogate": "nano"}]}])


def test_what_is_stored_has_every_recipe(maker: ModuleType, rules: ModuleType) -> None:
    """A recipe that is added is measured, or has a reason in ``LEFT_OUT``."""
    for table in json.loads(maker.RESULTS.read_text("utf-8"))["tables"]:
        named = {row["attack"] for row in table["rows"]} | set(table["left_out"]) | {"clean"}
        assert named == set(RECIPES) | {"clean"}, f"{table['budget']}: measure it, see benchmarks/attack_table.py"


def test_the_tables_are_written_from_the_command_line(
    maker: ModuleType, rules: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    run = results(maker, rules, names_of(rules, STEPS), STEPS)
    (tmp_path / "run/results.json").write_text(json.dumps(run))
    (tmp_path / "run/plan.yaml").write_text("data: [{kind: bsds500, path: x, split: test, limit: '3'}]\n")
    monkeypatch.setattr(maker, "ROOT", tmp_path)
    monkeypatch.setattr(maker, "RESULTS", tmp_path / "attacks.json")
    maker.main(["table", str(tmp_path / "run")])
    writer = import_module("benchmarks.write_attacks")
    monkeypatch.setattr(writer, "MEASURED", tmp_path / "attacks.json")
    lines = writer.measured_table().splitlines()
    assert lines[0] == "**40 steps, made on nano**"
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "attack", "changed", "gradients", "nano †", "nano-hiera", "nano-vit", "nano-conv", "nano-robust"
    ]  # fmt: skip
    assert lines[4].startswith("| `rga` ")
    assert "0.500 [0.400, 0.600]" in lines[4]
    assert "Left out: `universal`" in lines[-5]
    assert lines[-2] == (
        "segrobust run plans/attacks-40-steps.yaml --data FOLDER --split test --limit 3 -o runs/attacks-40-steps"
    )


class TestCost:
    def test_a_gradient_is_timed_between_bare_passes(self, cost: ModuleType) -> None:
        stand_in = import_module("benchmarks.stand_in")
        for name in ("rga-untargeted", "vmi", "s-ra", "tap"):
            recipe = make_recipe(name)
            found, bare = cost.measure(stand_in.StandIn(), stand_in.photo(), stand_in.masks(), recipe, 4)
            assert found.attack == name
            assert found.decodes == (name == "s-ra")
            assert min(found.whole, found.loss, bare) > 0

    def test_calls_of_a_step_are_counted(self, cost: ModuleType) -> None:
        state = import_module("segrobust.attacks.updates.base").State
        box = import_module("segrobust.attacks.budget").Box
        torch = import_module("torch")
        image = torch.full((1, 3, 4, 4), 0.5)
        ticks = iter(range(0, 1000, 10))
        clock = cost.Timed(
            lambda image, probe, state: sum(probe(image)[0] for _ in range(5)), int, int, lambda: next(ticks)
        )
        budget = import_module("segrobust.types").Budget.parse("8/255")
        clock(image, lambda at: (1.0, at), state(box.around(image, budget), 1, generator=torch.Generator()))
        assert clock.whole == [2.0]  # ten ticks, five gradients
        assert clock.plain == clock.lossy == [10]

    def test_what_is_above_is_marked_with_its_reason(self, cost: ModuleType) -> None:
        assert cost.Cost("a", 1.2, 1.0, False).reason == ""
        assert cost.Cost("a", 1.3, 1.0, False).reason == "the loop"
        assert cost.Cost("a", 1.9, 1.8, True).reason == "the decoder"
        assert cost.Cost("a", 1.3, 1.25, False).reason == "the loss"
        assert str(cost.Cost("a", 1.9, 1.8, True)).endswith("ABOVE 1.2: the decoder")

    def test_the_page_shows_the_dearest_first(
        self, cost: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writer = import_module("benchmarks.write_attacks")
        monkeypatch.setattr(writer, "MEASURED", tmp_path / "attacks.json")
        assert writer.cost_table() == "Not measured yet."
        rows = [
            {"attack": "pgd", "whole": 1.05, "loss": 1.0, "reason": ""},
            {"attack": "s-ra", "whole": 3.0, "loss": 2.0, "reason": "the decoder"},
        ]
        stored = {"command": "measure", "where": "here", "allowed": 1.2, "rows": rows}
        (tmp_path / "recipe_cost.json").write_text(json.dumps(stored))
        (tmp_path / "recipe_cost_sam_b.json").write_text(json.dumps({**stored, "where": "a larger one"}))
        lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in writer.cost_table().splitlines()]
        assert lines[2] == ["`s-ra`", "3.00", "2.00", "1.50", "the decoder"]
        assert lines[3] == ["`pgd`", "1.05", "1.00", "1.05", "–"]
        assert writer.cost_table().index("here") < writer.cost_table().index("a larger one")

    def test_every_recipe_that_takes_gradients_is_measured(self, cost: ModuleType) -> None:
        left = set(RECIPES) - set(cost.measured(list(RECIPES)))
        assert left == {"noise", "sign-noise", "universal", "square", "square-prior"}
