"""Rows travel as plain data and come back as they were."""

import json
from dataclasses import replace

import pytest

from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import Row
from segrobust.errors import UsageError

ROW = Row("photos", "a", "nano", "rga", "rga", "8/255", "nano-conv", "none", "clean", item={"empty": 0})


def test_a_row_survives_json():
    assert Row.from_dict(json.loads(json.dumps(ROW.to_dict()))) == ROW


def test_a_row_without_its_image_or_with_a_field_too_many_is_refused():
    values = ROW.to_dict()
    del values["image"]
    with pytest.raises(UsageError, match="unknown: sharpness, image"):
        Row.from_dict(values | {"sharpness": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "uad"}, "got 'uad'"),
        ({"state": "skipped"}, "got 'skipped'"),
        ({"state": "failed"}, "says why"),
        ({"error": "no masks"}, "says why"),
    ],
)
def test_what_no_table_could_place_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        replace(ROW, **change)


def test_keys_tell_rows_apart_and_sort_with_the_original():
    others = [
        replace(ROW, **{name: value})
        for name, value in [("dataset", "b"), ("image", "b"), ("surrogate", None), ("attack", "b"), ("target", "b"),
                            ("defence", "b"), ("protocol", "everything"), ("adaptive", True)]
    ]  # fmt: skip
    assert len({row.key() for row in [ROW, *others]}) == 9
    assert sorted(row.key() for row in others)
    assert ROW.cell == replace(ROW, image="b").cell


def test_white_box_is_the_model_that_was_looked_into():
    assert not ROW.white_box
    assert replace(ROW, target="nano").white_box
    assert not replace(ROW, surrogate=None).white_box


def test_facts_survive_json_and_refuse_what_they_do_not_know():
    facts = Facts(plan="p", attacks=("rga", "ask"), models={"nano": {"licence": "Apache-2.0"}}, notes=("six photos",))
    assert Facts.from_dict(json.loads(json.dumps(facts.to_dict()))) == facts
    with pytest.raises(UsageError, match="unknown: sed"):
        Facts.from_dict({"sed": 1})
