"""Which photos a plan shows, what they are called, and which of them are the same attack."""

from typing import Any

import pytest
import yaml

from segrobust.benchmark.plans.estimate import Calls, Seconds, count_calls
from segrobust.benchmark.plans.gates import parse_gate, under
from segrobust.benchmark.plans.keys import attack_key
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.plans.reading import parse_plan
from segrobust.benchmark.plans.variants import Shot, shots, variants
from segrobust.errors import UsageError

FACTS = {"a": {"sha256": "1", "everything": {}}, "b": {"sha256": "2", "everything": {}}}


def plan_of(**changed: Any) -> Plan:
    values = {"surrogates": ["a"], "targets": ["a", "b"], "data": [{"kind": "images", "path": "x"}]} | changed
    return parse_plan(yaml.safe_dump(values), "plan")[0]


def test_labels_say_what_differs_and_the_first_budget_is_not_named() -> None:
    attacks: list[Any] = [
        "rga",
        {"attack": "rga", "step_size": "1/255"},
        {"attack": "rga", "label": "T", "beta": 0, "sweep": {"steps": [1, 2]}},
        {"attack": "rga", "label": "wide", "epsilons": ["16/255", "8/255"]},
    ]
    found = variants(plan_of(attacks=attacks, epsilons=["8/255", "4px"]))
    assert [variant.label for variant in found] == [
        "noise", "sign-noise", "noise[eps=4/255]", "sign-noise[eps=4/255]",
        "noise[eps=16/255]", "sign-noise[eps=16/255]",
        "rga", "rga[eps=4/255]", "rga[step_size=0.003922]", "rga[step_size=0.003922, eps=4/255]",
        "T[steps=1]", "T[steps=1, eps=4/255]", "T[steps=2]", "T[steps=2, eps=4/255]", "wide[eps=16/255]", "wide",
    ]  # fmt: skip
    assert found[10].parameters == {"beta": 0, "steps": 1}


def test_shots_are_the_original_the_controls_and_each_attack_on_each_surrogate_as_it_is_and_adapted() -> None:
    plan = plan_of(surrogates=["a", "b"], defences=["blur-s1", {"defence": "bits-4", "adaptive": True}])
    assert [shot.name for shot in shots(plan)] == [
        ("clean", "", "none"), ("noise", "", "none"), ("sign-noise", "", "none"),
        ("rga", "a", "none"), ("rga", "a", "bits-4"), ("rga", "b", "none"), ("rga", "b", "bits-4"),
    ]  # fmt: skip
    oblivious, adaptive = shots(plan)[3:5]
    assert [entry.defence for entry in plan.defences] == ["none", "blur-s1", "bits-4"]
    assert [oblivious.faces(d) for d in ("none", "blur-s1", "bits-4")] == [True, True, True]
    assert [adaptive.faces(d) for d in ("none", "blur-s1", "bits-4")] == [False, False, True]


def test_an_attack_may_have_surrogates_of_its_own() -> None:
    attacks: list[Any] = [
        "rga",
        {"attack": "rga", "surrogates": ["c", "b", "c"]},
        {"attack": "mi", "surrogates": ["b"]},
    ]
    plan = plan_of(attacks=attacks)
    assert plan.models == ("a", "c", "b")
    assert [shot.name[:2] for shot in shots(plan)[3:]] == [("rga", "a"), ("rga", "c"), ("rga", "b"), ("mi", "b")]
    for second, said in (
        ({"surrogates": ["b", "a"]}, "'rga' is made on 'a' twice; leave one out, or give one a 'label'"),
        ({"surrogates": ["b"], "label": "rga", "steps": 3}, "two attacks are called 'rga'; give one a 'label'"),
    ):
        with pytest.raises(UsageError, match=said):
            plan_of(attacks=["rga", {"attack": "rga", **second}])
    with pytest.raises(UsageError, match="surrogates"):
        plan_of(attacks=[{"attack": "rga", "surrogates": []}])


def key(shot: Shot, photo: str = "p", **changed: Any) -> str:
    return attack_key(plan_of(**changed), shot, photo, FACTS)


def test_everything_that_decides_the_pixels_is_in_the_key_and_nothing_else() -> None:
    noise, rga = shots(plan_of())[1], shots(plan_of())[3]
    same = [
        key(rga, targets=["b"]),
        key(rga, defences=["bits-4"], protocols=["everything"]),
        key(rga, max_memory="6GiB", prompts_from="a"),
    ]
    assert set(same) == {key(rga)}
    other = plan_of(attacks=[{"attack": "rga", "label": "x", "steps": 40}, {"attack": "rga", "steps": 39}])
    relabelled, shorter = shots(other)[3:5]
    assert key(relabelled) == key(rga)
    different = [
        key(rga), key(noise), key(shorter), key(rga, "q"), key(rga, seed=1), key(rga, space="paper"),
        key(rga, dtype="bfloat16"), key(Shot(rga.variant, "b"), surrogates=["a", "b"]),
        key(Shot(rga.variant, "a", "bits-4")), key(shots(plan_of(epsilons=["4/255"]))[3]),
    ]  # fmt: skip
    assert len(set(different)) == len(different)


def test_noise_looks_into_no_model_unless_it_lives_in_its_geometry() -> None:
    noise = shots(plan_of())[1]
    assert key(noise) == key(noise, surrogates=["b"])
    assert key(noise, space="paper") != key(noise, surrogates=["b"], space="paper")


def test_calls_are_counted() -> None:
    attacks: list[Any] = ["rga", {"attack": "rga-untargeted", "steps": 10, "copies": 2}]
    defences: list[Any] = [{"defence": "bits-4", "adaptive": True}, {"defence": "resize-pad", "adaptive": True}]
    plan = plan_of(attacks=attacks, defences=defences, protocols=["annotation"])
    estimate = count_calls(plan, {"x": [0, 0]})  # type: ignore[dict-item]
    once = 40 * 3 + 10 * 2
    assert estimate.calls["a"].gradients == 2 * (once + once + 10 * once)
    assert estimate.attacks == 2 * (2 + 2 * 3)
    assert estimate.scores == 2 * 2 * (5 + 7 + 7)
    assert estimate.calls["b"] == Calls(0, 2 * (6 + 8 + 8), 0)
    assert estimate.calls["a"].everything == 2  # the guide map's masks
    estimate.seconds = {"a": Seconds(0.5, 1.0, 6.0)}
    assert estimate.minutes == pytest.approx((estimate.calls["a"].gradients * 0.5 + 44 + 12) / 60)


def test_calls_are_counted_for_surrogates_of_single_attacks_too() -> None:
    attacks: list[Any] = ["rga", {"attack": "mi", "steps": 7, "surrogates": ["b"]}]
    calls = count_calls(plan_of(attacks=attacks, protocols=["annotation"]), {"x": [0]}).calls  # type: ignore[dict-item]
    assert (calls["a"].gradients, calls["b"].gradients) == (40 * 3, 7)
    assert (calls["a"].everything, calls["b"].everything) == (1, 0)  # no map on b


@pytest.mark.parametrize("text", ["miou", "miou=", "miou=2", "miou=x", "iou=0.5", "=0.5", "miou=nan"])
def test_gates_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not of the form miou=0\.5"):
        parse_gate(text)


def test_a_gate_looks_at_attacks_alone() -> None:
    def cell(recipe: str, value: float | None) -> dict[str, Any]:
        names = {"dataset": "d", "surrogate": "a", "attack": recipe, "target": "b", "defence": "none"}
        return names | {"protocol": "clean", "adaptive": True, "recipe": recipe, "all": {"miou": {"value": value}}}

    results = {"cells": [cell("noise", 0.1), cell("rga", 0.4), cell("mi", 0.5), cell("pgd", None), cell("clean", 0.0)]}
    assert under(results, *parse_gate("miou=0.5")) == [
        "miou 0.400 is under 0.5: rga (adaptive) on a → b (d, clean, defence none)"
    ]
    assert under(results, *parse_gate("matched_miou=0.5")) == []
