from pathlib import Path
from typing import Any

import pytest

from segrobust.benchmark.config import RunConfig, dump_config, parse_config, read_config, read_settings
from segrobust.benchmark.parameters import check_kind, plain_value
from segrobust.benchmark.settings import differing_keys
from segrobust.errors import UsageError

PHOTOS = {"photos": ["a.png"]}


def test_the_defaults() -> None:
    config = parse_config(PHOTOS)
    assert (config.model, config.protocol, config.eps, config.seed) == ("nano", "strict", "8/255", 0)
    assert config.rows() == ("clean", "noise", "rga")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sead": 1}, "here: unknown key 'sead'; did you mean 'seed'?"),
        ({"prompts": {"point": 1}}, "here: unknown key 'prompts.point'; did you mean 'points'?"),
        ({"prompts": {"points": 0, "boxes": 0}}, "prompts: points and boxes are both 0"),
        ({"eps": 8}, "eps: epsilon 8 is outside the pixel range (images are in [0, 1]); did you mean 8/255?"),
        ({"eps": "much"}, "eps: epsilon 'much' is not a number"),
        ({"eps": None}, "eps: epsilon 'None' is not a number"),
        ({"attacks": ["rag"]}, "attacks: unknown attack 'rag'; did you mean 'rga'?"),
        ({"attacks": "rga"}, "attacks: Input should be a valid tuple, got 'rga'"),
        ({"protocol": "lax"}, "protocol: Input should be 'strict' or 'paper', got 'lax'"),
        ({"seed": "one"}, "seed: Input should be a valid integer, unable to parse string as an integer, got 'one'"),
        ({"points_per_side": 0}, "points_per_side: Input should be greater than or equal to 1, got '0'"),
        ({"photos": []}, "photos: "),
        ({"parameters": {"step": 1}}, "attack 'rga' has no parameter 'step'; did you mean 'steps'?"),
        ({"parameters": {"steps": "many"}}, "steps is a whole number, e.g. 40; got 'many'"),
        ({"parameters": {"steps": 1.5}}, "steps is a whole number, e.g. 40; got 1.5"),
        ({"parameters": {"steps": -1}}, "steps must not be negative, got -1"),
        ({"parameters": {"weight": "x"}}, "weight is a number, e.g. 1.0; got 'x'"),
        ({"parameters": {"weight": float("nan")}}, "weight is a finite number, e.g. 1.0; got nan"),
        ({"parameters": {"guide": 3}}, "guide is a name, e.g. regions; got 3"),
        ({"parameters": {"guide": "cells"}}, "guide 'cells' is not one of regions, random-cells"),
        ({"parameters": {"copies": 0}}, "rga: copies must be at least 1, got 0"),
        ({"parameters": {"name": "mine"}}, "attack 'rga' has its own name, which cannot be changed"),
        ({"parameters": {"steps": 3}, "attacks": ["noise"]}, "attack 'noise' has no parameter 'steps'"),
        (
            {"parameters": {"weight": 0.5}, "attacks": ["rga-untargeted"]},
            "attack 'rga-untargeted' has its own weight, which cannot be changed",
        ),
        ({1: 2}, "Keys should be strings"),
    ],
)
def test_a_wrong_setting_is_named_on_one_line(settings: dict[Any, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_config(PHOTOS | settings, "here")
    assert said in str(raised.value)
    assert str(raised.value).startswith("here: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "default", "said"),
    [
        (float("nan"), 1.0, "p is a finite number, e.g. 1.0; got nan"),
        (float("-inf"), 1.0, "p is a finite number, e.g. 1.0; got -inf"),
        (float("inf"), None, "p is a finite number; got inf"),
        (float("nan"), 3, "p is a whole number, e.g. 3; got nan"),
        (True, 3, "p is a whole number, e.g. 3; got True"),
        (1, False, "p is true or false, e.g. False; got 1"),
        (1, (), r"p is a tuple, e.g. \(\); got 1"),
    ],
)
def test_a_parameter_is_finite_and_of_the_kind_of_its_default(value: object, default: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_kind("p", value, default)
    for fine in (2, 2.5):
        check_kind("p", fine, 1.0)
        check_kind("p", fine, None)


def test_parameters_reach_the_attacks_but_leave_the_controls_what_they_are() -> None:
    settings = {"attacks": ["rga", "rga-untargeted", "rga-random-cells"], "parameters": {"weight": 0.5, "steps": 3}}
    config = parse_config(PHOTOS | settings)
    recipes = {name: config.recipe(name) for name in config.rows()[1:]}
    assert {name: r.goal.weight for name, r in recipes.items()} == {
        "noise": 0.0, "rga": 0.5, "rga-untargeted": 0.0, "rga-random-cells": 0.5
    }  # fmt: skip
    assert [r.steps for r in recipes.values()] == [0, 3, 3, 3]
    same = parse_config(PHOTOS | settings | {"parameters": {"guide": "regions", "weight": 2}})
    assert same.recipe("rga-random-cells").goal.guide == "random-cells"


def test_noise_is_always_there_once() -> None:
    assert parse_config(PHOTOS | {"attacks": ["noise", "rga", "rga"]}).rows() == ("clean", "noise", "rga")
    assert parse_config(PHOTOS | {"attacks": ["noise"]}).rows() == ("clean", "noise")
    assert parse_config(PHOTOS | {"attacks": []}).rows() == ("clean", "noise")


def test_numbers_in_yaml_may_be_fractions_and_epsilon_a_number() -> None:
    config = parse_config(PHOTOS | {"eps": 0.5, "parameters": {"step_size": "2/255"}})
    assert config.eps == "127.5/255"
    assert config.recipe("rga").update.step == 2 / 255
    assert [plain_value(text) for text in ("3", "1/4", "0.5", "regions", "1/0", "nan")] == [
        3, 0.25, 0.5, "regions", "1/0", "nan"
    ]  # fmt: skip


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    config = parse_config({
        "photos": ["ünï/a b.png", "#c: d.png"], "eps": "4px", "seed": -3, "points_per_side": 7,
        "attacks": ["rga-untargeted"], "parameters": {"steps": 3, "momentum": 0.1},
        "prompts": {"masks": 4, "points": 0, "boxes": 1},
    })  # fmt: skip
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert read_config(tmp_path / "config.yaml") == config
    assert dump_config(read_config(tmp_path / "config.yaml")) == dump_config(config)


def test_differing_keys() -> None:
    one = parse_config(PHOTOS)
    other = parse_config({"photos": ["b.png"], "seed": 1, "prompts": {"masks": 3}})
    assert differing_keys(one, one) == []
    assert differing_keys(one, other) == ["photos", "seed", "prompts"]


def test_a_file_may_lack_the_photos_for_those_of_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("seed: 4\nprompts: {masks: 2}\n")
    assert read_settings(file) == {"seed": 4, "prompts": {"masks": 2}}
    with pytest.raises(UsageError, match="photos: Field required"):
        read_config(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"- a\n", "must hold a mapping of settings, got list"),
        (b"", "must hold a mapping of settings, got NoneType"),
        (b"a: [1\n", "while parsing a flow sequence"),
        (b"\xff\xfe\x00", "cannot read"),
        (b"sed: 1\n", "unknown key 'sed'; did you mean 'seed'?"),
        (b"date: 2020-99-99\n", "cannot read"),
    ],
)
def test_a_bad_file_is_named_on_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        read_settings(file)
    assert said in str(raised.value)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_settings(tmp_path / "nowhere.yaml")


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig(photos=("a",)).seed = 1  # type: ignore[misc]
