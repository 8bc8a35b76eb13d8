"""Plans that are wrong: each is one line with a place, and says what to type."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segrobust.benchmark.plans.reading import differing_keys, dump_plan, parse_plan, read_plan
from segrobust.errors import UsageError

GOOD = """\
surrogates: [nano]
targets: [nano, nano-vit]
attacks:
  - rga
  - {attack: rga, label: plain, beta: 0}
epsilons: [8/255]
data:
  - {kind: images, path: photos}
protocols: [clean]
defences: [none]
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


ATTACK = "  - {attack: rga, label: plain, beta: 0}"
DATA = "  - {kind: images, path: photos}"
WRONG = [
    ("", "plan.yaml: a plan is a mapping of settings, got NoneType"),
    ("- a\n- b\n", "plan.yaml: a plan is a mapping of settings, got list"),
    ("surrogates: [nano\n", "plan.yaml:2: not YAML: expected ',' or ']', but got '<stream end>'"),
    ("a: b: c\n", "plan.yaml:1: not YAML: mapping values are not allowed here"),
    ("\tseed: 1\n", "plan.yaml:1: not YAML: found character '\\t' that cannot start any token"),
    (GOOD + "seed: 1\nseed: 2\n", "plan.yaml:12: 'seed' is there twice (first in line 11)"),
    (GOOD + "sead: 1\n", "plan.yaml:11: unknown key 'sead'; did you mean 'seed'?"),
    (GOOD + "model: nano\n", "plan.yaml:11: unknown key 'model'"),
    (changed("surrogates: [nano]\n", ""), "plan.yaml:1: surrogates: is missing"),
    (changed("surrogates: [nano]", "surrogates: []"), "plan.yaml:1: surrogates: Tuple should have at least 1 item"),
    (
        changed("surrogates: [nano]", "surrogates: nano"),
        "plan.yaml:1: surrogates: Input should be a valid tuple, got 'nano'",
    ),
    (changed("[nano, nano-vit]", "[nano, 3]"), "plan.yaml:2: targets.1: Input should be a valid string, got '3'"),
    (GOOD + "seed: one\n", "plan.yaml:11: seed: Input should be a valid integer"),
    (GOOD + "space: loose\n", "plan.yaml:11: space: Input should be 'strict' or 'paper', got 'loose'"),
    (
        GOOD + "dtype: float64\n",
        "plan.yaml:11: dtype: Input should be 'float32', 'bfloat16' or 'float16', got 'float64'",
    ),
    (GOOD + "points_per_side: 0\n", "plan.yaml:11: points_per_side: Input should be greater than or equal to 1"),
    (GOOD + "max_memory: lots\n", "plan.yaml:11: max_memory: memory 'lots' is not a size"),
    (
        changed("[none]", "[{defence: jpeg-q75, adaptive: true}]") + "space: paper\n",
        "plan.yaml:11: space: space 'paper' begins behind 'jpeg-q75', which is to be adapted to; use 'strict'",
    ),
    (
        GOOD + "prompts_from: nano-hiera\n",
        "plan.yaml:11: prompts_from: prompts_from must be one of the surrogates and targets (nano, nano-vit)",
    ),
    (GOOD + "load:\n  sam: {}\n", "plan.yaml:12: load.sam: load names 'sam', which is not a surrogate or target"),
    (GOOD + "load:\n  nano:\n    dtyp: float16\n", "plan.yaml:13: unknown key 'load.nano.dtyp'; did you mean 'dtype'?"),
    (
        changed("[8/255]", "[8]"),
        "plan.yaml:6: epsilons: epsilon 8 is outside the pixel range (images are in [0, 1]); did you mean 8/255?",
    ),
    (
        changed("[8/255]", "[0.5/255]"),
        "plan.yaml:6: epsilons: epsilon 0.5/255 is less than one level of an 8-bit pixel",
    ),
    (changed("[8/255]", "[]"), "plan.yaml:6: epsilons: Tuple should have at least 1 item"),
    (changed("  - rga", "  - rgaa"), "plan.yaml:4: attacks.0.attack: unknown attack 'rgaa'; did you mean 'rga'?"),
    (
        changed("  - rga", "  - noise"),
        "plan.yaml:4: attacks.0.attack: 'noise' is in every table already and need not be named",
    ),
    (
        changed("  - rga", "  - 3"),
        "plan.yaml:4: attacks.0: Input should be a valid dictionary or instance of AttackEntry, got '3'",
    ),
    (changed(ATTACK, "  - {label: a}"), "plan.yaml:5: attacks.1.attack: is missing"),
    (
        changed(ATTACK, "  - {attack: rga,\n     bta: 0}"),
        "plan.yaml:6: attacks.1.bta: attack 'rga' has no parameter 'bta'; did you mean 'beta'?",
    ),
    (
        changed(ATTACK, "  - {attack: rga, steps: many}"),
        "plan.yaml:5: attacks.1.steps: steps is a whole number, e.g. 40; got 'many'",
    ),
    (
        changed(ATTACK, "  - {attack: rga, weight: .nan}"),
        "plan.yaml:5: attacks.1.weight: weight is a finite number, e.g. 1.0; got nan",
    ),
    (
        changed(ATTACK, "  - {attack: rga, sweep: {weight: [1, -.inf]}}"),
        "plan.yaml:5: attacks.1.sweep.weight.1: weight is a finite number, e.g. 1.0; got -inf",
    ),
    (changed(ATTACK, "  - {attack: rga, steps: -1}"), "plan.yaml:5: attacks.1: steps must not be negative, got -1"),
    (
        changed(ATTACK, "  - {attack: rga, guide: stars}"),
        "plan.yaml:5: attacks.1: guide 'stars' is not one of regions, random-cells",
    ),
    (
        changed(ATTACK, "  - {attack: rga-untargeted, weight: 1}"),
        "plan.yaml:5: attacks.1.weight: attack 'rga-untargeted' has its own weight",
    ),
    (
        changed(ATTACK, "  - {attack: rga, sweep: {step: [1, 2]}}"),
        "plan.yaml:5: attacks.1.sweep.step: attack 'rga' has no parameter 'step'; did you mean 'steps'?",
    ),
    (
        changed(ATTACK, "  - attack: rga\n    sweep:\n      steps: [1, x]"),
        "plan.yaml:7: attacks.1.sweep.steps.1: steps is a whole number",
    ),
    (
        changed(ATTACK, "  - {attack: rga, sweep: {steps: []}}"),
        "plan.yaml:5: attacks.1.sweep.steps: sweep of 'steps' holds no values",
    ),
    (
        changed(ATTACK, "  - {attack: rga, steps: 1, sweep: {steps: [2]}}"),
        "plan.yaml:5: attacks.1.sweep.steps: 'steps' is both set and swept",
    ),
    (
        changed(ATTACK, "  - rga"),
        "plan.yaml:5: attacks.1: 'rga' is made on 'nano' twice; leave one out, or give one a 'label'",
    ),
    (changed("label: plain", "label: clean"), "plan.yaml:4: attacks: an attack may not be called 'clean'"),
    (
        changed(ATTACK, "  - {attack: rga, epsilons: [9]}"),
        "plan.yaml:5: attacks.1.epsilons: epsilon 9 is outside the pixel range",
    ),
    (
        changed(DATA, "  - {kind: image, path: photos}"),
        "plan.yaml:8: data.0.kind: unknown kind of data 'image'; did you mean 'images'?",
    ),
    (changed(DATA, "  - {kind: images}"), "plan.yaml:8: data.0.path: is missing"),
    (
        changed(DATA, "  - {kind: images, path: photos, limit: 0}"),
        "plan.yaml:8: data.0.limit: limit '0' leaves nothing",
    ),
    (
        changed(DATA, "  - {kind: images, path: photos, shard: 5/4}"),
        "plan.yaml:8: data.0.shard: shard '5/4' does not exist",
    ),
    (
        changed(DATA, "  - {kind: images, path: photos, splits: val}"),
        "plan.yaml:8: unknown key 'data.0.splits'; did you mean 'split'?",
    ),
    (
        changed(DATA, '  - {kind: images, path: "${PHOTOS_OF_NOBODY}/a"}'),
        "plan.yaml: ${PHOTOS_OF_NOBODY}/a is no path yet; give it with --data PATH",
    ),
    (
        changed("[clean]", "[cleen]"),
        "plan.yaml:9: protocols.0.protocol: Input should be 'annotation', 'clean' or 'everything', got 'cleen'",
    ),
    (changed("[clean]", "[clean, clean]"), "plan.yaml:9: protocols.1: 2 protocols are called 'clean'; leave one out"),
    (
        changed("[clean]", "[{protocol: clean, rule: top}]"),
        "plan.yaml:9: protocols.0.rule: Input should be 'single', 'best' or 'oracle', got 'top'",
    ),
    (
        changed("[clean]", "[{protocol: everything, rule: best}]"),
        "plan.yaml:9: protocols.0: protocol 'everything' asks no prompts",
    ),
    (
        changed("[clean]", "[{protocol: clean, prompts: {mask: 1}}]"),
        "plan.yaml:9: unknown key 'protocols.0.prompts.mask'; did you mean 'masks'?",
    ),
    (
        changed("[clean]", "[{protocol: clean, prompts: {points: 0, boxes: 0}}]"),
        "plan.yaml:9: protocols.0.prompts: points and boxes are both 0",
    ),
    (changed("[none]", "[jpg-q75]"), "plan.yaml:10: defences.0.defence: "),
    (changed("[none]", "[bits-4, bits-4]"), "plan.yaml:10: defences.1: 2 defences are called 'bits-4'; leave one out"),
    (
        changed("[none]", "[{defence: none, adaptive: true}]"),
        "plan.yaml:10: defences.0.adaptive: no defence is nothing to adapt to",
    ),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_wrong_is_one_line_with_a_place(
    tmp_path: Path, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(text)
    with pytest.raises(UsageError) as raised:
        read_plan(Path("plan.yaml"))
    assert str(raised.value).startswith(said)
    assert "\n" not in str(raised.value)


def test_there_are_at_least_forty_malformed_plans() -> None:
    assert len({text for text, _ in WRONG}) >= 40


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_plan(tmp_path / "plan.yaml")
    (tmp_path / "plan.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no UTF-8 text"):
        read_plan(tmp_path / "plan.yaml")


TWO = changed(DATA, '  - {kind: coco, path: "${DATA}/coco"}\n  - {kind: voc, path: "${DATA}/voc", split: val}')
PLAIN = changed("path: photos", 'path: "${DATA}"')


@pytest.mark.parametrize(
    ("text", "data", "found"),
    [
        (GOOD, [], [("images", "photos")]),
        (GOOD, ["other"], [("images", "other")]),
        (PLAIN, ["some/where"], [("images", "some/where")]),
        (PLAIN, ["DATA=x"], [("images", "x")]),
        (PLAIN, ["sa1b:x"], [("sa1b", "x")]),
        (PLAIN, ["./a=b"], [("images", "./a=b")]),
        (PLAIN, ["C:/x"], [("images", "C:/x")]),
        (TWO, ["DATA=x"], [("coco", "x/coco"), ("voc", "x/voc")]),
        (TWO, ["DATA=x", "voc:y"], [("coco", "x/coco"), ("voc", "y")]),
        (TWO, ["coco:y", "voc:z"], [("coco", "y"), ("voc", "z")]),
    ],
)
def test_data_is_replaced(tmp_path: Path, text: str, data: list[str], found: list[tuple[str, str]]) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    plan = read_plan(tmp_path / "plan.yaml", data)
    assert [(source.kind, source.path) for source in plan.data] == found


@pytest.mark.parametrize(
    ("text", "data", "said"),
    [
        (TWO, [], "is no path yet; give it with --data DATA=PATH"),
        (TWO, ["x"], "has several data sets; write KIND:PATH (coco, voc)"),
        (TWO, ["davis:x"], "has 0 data sets of this kind (coco, voc)"),
        (TWO, ["coco:"], "--data coco: is followed by a path"),
        (GOOD, ["DATA=x"], "no path in "),
    ],
)
def test_data_that_cannot_be_meant(tmp_path: Path, text: str, data: list[str], said: str) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(UsageError) as raised:
        read_plan(tmp_path / "plan.yaml", data)
    assert said in str(raised.value)


def test_the_environment_gives_paths_and_the_command_line_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA", "there")
    (tmp_path / "plan.yaml").write_text(TWO)
    plan = read_plan(tmp_path / "plan.yaml", limit="10%", split="val")
    assert [(source.path, source.limit) for source in plan.data] == [("there/coco", "10%"), ("there/voc", "10%")]
    assert [source.split for source in plan.data] == ["val", "val"]


def test_what_is_written_is_read_back() -> None:
    text = changed(ATTACK, "  - {attack: rga, step_size: 1/255, sweep: {weight: [0, 0.5], steps: [1, 2]}}")
    text = text.replace("[clean]", "[everything, {protocol: clean, rule: best}]") + "load: {nano: {autocast: null}}\n"
    plan, _ = parse_plan(text, "plan.yaml")
    again, _ = parse_plan(dump_plan(plan), "again.yaml")
    assert (again, dump_plan(again), differing_keys(plan, again)) == (plan, dump_plan(plan), [])
    assert again.loading("nano")["autocast"] is None
    assert differing_keys(plan, parse_plan(text + "seed: 4\n", "other")[0]) == ["seed"]


KEYS = ["surrogates", "attacks", "data", "protocols", "defences", "epsilons", "load", "seed", "x"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_paper_space_goes_with_a_defence_that_nothing_adapts_to() -> None:
    plan, _ = parse_plan(changed("[none]", "[jpeg-q75]") + "space: paper\n", "plan.yaml")
    assert (plan.space, plan.adaptive_defences) == ("paper", ())


@given(ANYTHING, st.sampled_from(KEYS))
def test_anything_at_all_is_a_plan_or_one_line(value: object, key: str) -> None:
    text = yaml.safe_dump(yaml.safe_load(GOOD) | {key: value})
    said = "plan.yaml:"
    try:
        parse_plan(text, "plan.yaml")
    except UsageError as error:
        said = str(error)
    assert said.startswith("plan.yaml:")
    assert "\n" not in said
