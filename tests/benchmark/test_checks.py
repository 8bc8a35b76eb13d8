"""Every check fires where an evaluation lies, and is silent where it does not."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from scored import FACTS, made, prompts, row, run_of

from segrobust.benchmark.checks import CHECKS, attacks, failing, references, run_checks
from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import Row

IMAGES = tuple(f"p{i:02d}" for i in range(20))
GOOD, BAD = [0.9, 0.95, 0.9, 0.85], [0.1, 0.2, 0.3, 0.15]


def found(rows: list[Row], facts: Facts = FACTS) -> set[str]:
    return {finding.id for finding in run_checks(rows, facts)}


def on_all(attack: str, ious: list[float], images: tuple[str, ...] = IMAGES, **changed) -> list[Row]:
    """The same scores on every photo, a little apart so that intervals have a width."""
    return [
        row(attack, [round(iou - 0.001 * n, 4) for iou in ious], image, **changed) for n, image in enumerate(images)
    ]


def healthy() -> list[Row]:
    return [
        *on_all("clean", GOOD), *on_all("noise", [0.88] * 4), *on_all("sign-noise", [0.87] * 4),
        *on_all("rga", BAD), *on_all("ask", [0.3] * 4),
    ]  # fmt: skip


def changed(rows: list[Row], attack: str, **values) -> list[Row]:
    return [replace(r, **values) if r.attack == attack else r for r in rows]


def remade(rows: list[Row], attack: str, **values) -> list[Row]:
    return changed(rows, attack, made=made(**values))


def transferred(strength: list[float]) -> list[Row]:
    return [*healthy(), *on_all("rga", strength, surrogate="nano-vit")]


def sweep(smaller: list[float]) -> list[Row]:
    less = {"epsilon": "4/255", "made": made(linf_255=4)}
    return [*healthy(), *on_all("rga[eps=4/255]", smaller, **less), *on_all("noise[eps=4/255]", [0.89] * 4, **less)]


def defended(*, adaptive: bool) -> list[Row]:
    behind = {"defence": "jpeg-q75"}
    rows = [*healthy(), *on_all("clean", GOOD, **behind), *on_all("rga", [0.6] * 4, **behind)]
    return rows + (on_all("rga", BAD, **behind, adaptive=True) if adaptive else [])


def own(ious: list[float]) -> list[Row]:
    """The protocol of the model's own answers; the original against itself scores 1."""
    return [row("clean", ious if image == "p03" else [1.0] * 4, image, protocol="clean") for image in IMAGES]


def everything(score: float) -> list[Row]:
    item = {"masks_clean": 5, "masks_found": 5, "matched_miou": score, "map": 1.0}
    return [row("clean", [], image, protocol="everything", item=item) for image in IMAGES]


SAME = prompts([1.0] * 4)
PAPER = replace(FACTS, protocol={"perturbation": "paper"})
OTHER_AREAS = prompts(BAD, areas=(500, 5_000, 50_000, 501))

FIRES: list[tuple[str, str, Callable[[], list[Row]]]] = [
    ("budget-on-disk", "a level too much", lambda: remade(healthy(), "rga", linf_255=9)),
    ("budget-on-disk", "noise too", lambda: remade(healthy(), "noise", linf_255=9)),
    ("budget-on-disk", "L2", lambda: changed(healthy(), "rga", epsilon="l2:9.4")),
    ("budget-on-disk", "flat areas", lambda: remade(healthy(), "rga", inside=False)),
    ("gradient-zero", "constant", lambda: remade(healthy(), "rga", loss=[0.5, 0.5, 0.5])),
    ("gradient-zero", "refused", lambda: [*healthy(), failed("the gradient is zero everywhere")]),
    ("loss-not-falling", "rising", lambda: remade(healthy(), "rga", loss=[0.3, 0.5, 0.6])),
    ("loss-not-falling", "but the plain image's", lambda: remade(healthy(), "rga", loss=[0.3, 0.4, 0.1])),
    ("no-better-than-noise", "as good as noise", lambda: [*healthy(), *on_all("fgsm", [0.88, 0.9, 0.86, 0.88])]),
    ("no-better-than-noise", "only than uniform", lambda: [*healthy(), *on_all("fgsm", [0.875] * 4)]),
    ("clean-score-low", "a poor model", lambda: [*on_all("clean", [0.4] * 4), *on_all("rga", BAD)]),
    ("larger-epsilon-helps", "half is stronger", lambda: sweep([0.05, 0.1, 0.2, 0.1])),
    ("black-box-stronger", "from another model", lambda: transferred([0.05, 0.1, 0.1, 0.1])),
    ("clean-passes-differ", "one prompt", lambda: own([1.0, 1.0, 0.99, 1.0])),
    ("clean-passes-differ", "segment everything", lambda: everything(0.98)),
    ("float-to-8bit", "a fifth is lost", lambda: remade(healthy(), "rga", float_to_8bit=0.2)),
    ("no-adaptive-attack", "transferred only", lambda: defended(adaptive=False)),
    ("reference-mixed-up", "other masks", lambda: changed(healthy(), "rga", item=OTHER_AREAS)),
    ("reference-mixed-up", "itself", lambda: changed(healthy(), "rga", item=SAME)),
    ("reference-mixed-up", "the annotation itself", lambda: changed(healthy(), "clean", item=SAME)),
    ("rows-failed", "one photo", lambda: [*healthy(), failed("no masks")]),
    ("few-photos", "three", lambda: [r for r in healthy() if r.image < "p03"]),
]  # fmt: skip

SILENT: list[tuple[str, str, Callable[[], list[Row]]]] = [
    ("budget-on-disk", "exactly the budget", lambda: remade(healthy(), "rga", linf_255=8)),
    ("budget-on-disk", "L2", lambda: changed(healthy(), "rga", epsilon="l2:9.5")),
    ("budget-on-disk", "measured", lambda: remade(healthy(), "rga", inside=True)),
    ("gradient-zero", "two equal steps", lambda: remade(healthy(), "rga", loss=[0.5, 0.5, 0.3])),
    ("gradient-zero", "another failure", lambda: [*healthy(), failed("no masks")]),
    ("loss-not-falling", "on one photo", lambda: [stuck(r) for r in healthy()]),
    ("loss-not-falling", "but the plain image's", lambda: remade(healthy(), "rga", loss=[0.3, 0.2, 0.4])),
    ("loss-not-falling", "one step", lambda: remade(healthy(), "rga", loss=[0.3, 0.4])),
    ("loss-not-falling", "noise has none", lambda: remade(healthy(), "noise", loss=[])),
    ("no-better-than-noise", "clearly better", lambda: [*healthy(), *on_all("fgsm", [0.8] * 4)]),
    ("clean-score-low", "the model's own answers", lambda: own([0.1] * 4)),
    ("larger-epsilon-helps", "half is weaker", lambda: sweep([0.3, 0.4, 0.5, 0.35])),
    ("black-box-stronger", "weaker", lambda: transferred([0.5] * 4)),
    ("clean-passes-differ", "the annotation", healthy),
    ("clean-passes-differ", "equal", lambda: own([1.0] * 4) + everything(1.0)),
    ("float-to-8bit", "unknown", lambda: remade(healthy(), "rga", float_to_8bit=None)),
    ("float-to-8bit", "small", lambda: remade(healthy(), "rga", float_to_8bit=0.05)),
    ("no-adaptive-attack", "tried", lambda: defended(adaptive=True)),
    ("reference-mixed-up", "unchanged photos", lambda: changed(healthy(), "noise", item=SAME, made=made(linf_255=0))),
    ("reference-mixed-up", "the model's own answers", lambda: own([1.0] * 4)),
    ("rows-failed", "none", healthy),
    ("few-photos", "twenty", healthy),
    ("paper-space", "original pixels", healthy),
]  # fmt: skip


def stuck(one: Row) -> Row:
    return replace(one, made=made(loss=[0.1, 0.2, 0.2])) if one.image == "p00" else one


def failed(error: str) -> Row:
    return replace(row("rga", BAD, "p99"), state="failed", error=error, item={}, made={})


def test_a_healthy_run_has_no_findings():
    assert found(healthy()) == set()
    assert found([]) == set()


def test_a_healthy_run_of_everything_has_only_few_photos():
    assert found(run_of(12)) == {"few-photos"}


@pytest.mark.parametrize(("check", "how", "make"), FIRES, ids=lambda value: value if isinstance(value, str) else "")
def test_fires(check, how, make):
    hits = [finding for finding in run_checks(make(), FACTS) if finding.id == check]
    assert hits
    assert all(finding.message and finding.where for finding in hits)


@pytest.mark.parametrize(("check", "how", "make"), SILENT, ids=lambda value: value if isinstance(value, str) else "")
def test_is_silent(check, how, make):
    assert check not in found(make())


def test_the_papers_space_is_said_once_and_not_called_a_broken_budget():
    rows = remade(healthy(), "rga", linf_255=13)
    messages = [f.message for f in run_checks(rows, PAPER) if f.id == "paper-space"]
    assert len(messages) == 1
    assert "13/255" in messages[0]
    assert "budget-on-disk" not in found(rows, PAPER)


def test_every_check_has_a_case_in_which_it_fires_and_one_in_which_it_does_not():
    ids = {check.id for check in CHECKS}
    assert {case[0] for case in FIRES} | {"paper-space"} == ids == {case[0] for case in SILENT}


def test_findings_say_how_many_where_and_what_to_do():
    rows = remade(healthy(), "rga", linf_255=9)
    (finding,) = run_checks(rows, FACTS)
    assert finding.message == "20 saved photos outside the budget; the furthest: p19 at 9/255 of 8/255"
    assert finding.where == "photos, rga made on nano"
    assert "before saving" in finding.advice


def test_errors_come_first_and_a_gate_takes_its_level_and_the_graver():
    rows = remade(remade(healthy(), "rga", float_to_8bit=0.2), "ask", linf_255=9)[:-1]
    findings = run_checks([*rows, *on_all("clean", [1.0] * 4, ("z",))], FACTS)
    assert [finding.level for finding in findings] == ["error", "warning"]
    assert [f.id for f in failing(findings, "error")] == ["budget-on-disk"]
    assert len(failing(findings, "warning")) == 2


def test_the_page_of_checks_is_the_table(root):
    page = (root / "docs" / "checks.md").read_text("utf-8")
    rows = [f"| `{c.id}` | {c.level} | {c.fires_when} | {c.advice} |" for c in CHECKS]
    table = page.partition("|---|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == rows
    numbers = (f"{attacks.GAP:.0%}".replace("%", " %"), f"mIoU {references.MEANINGFUL}", f"{references.FEW} photos")
    assert all(number in page for number in numbers)
