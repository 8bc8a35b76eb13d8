"""Names of defences: what they mean, and what is said of wrong ones."""

import contextlib
import re

import pytest
from fakes import python
from hypothesis import given, settings
from hypothesis import strategies as st

from segrobust.defences.jpeg import Jpeg
from segrobust.defences.names import MAKERS, make_defence
from segrobust.defences.table import KINDS, NAMES
from segrobust.errors import UsageError


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_name_makes_the_defence_of_that_name(name):
    assert make_defence(name).name == name


def test_the_table_and_the_code_know_the_same_kinds():
    assert set(KINDS) == set(MAKERS)
    for kind, entry in KINDS.items():
        for name in entry.names:
            assert make_defence(name).random == entry.random
            assert re.fullmatch(re.sub(r"<[^>]+>", r"[0-9.]+", entry.form), name)
            assert name.startswith(kind)


@given(st.integers(1, 100))
@settings(database=None)
def test_every_quality_is_a_name(quality):
    assert make_defence(f"jpeg-q{quality}") == Jpeg(quality)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jpg-q75", "is unknown; did you mean 'jpeg-q75'?"),
        ("jpeg", "not of the form jpeg-q<quality>"),
        ("jpeg-75", "not of the form jpeg-q<quality>; did you mean 'jpeg-q75'?"),
        ("jpeg-q0", "quality must be 1 to 100, got 0; e.g. 'jpeg-q95'"),
        ("jpeg-q101", "quality must be 1 to 100, got 101"),
        ("jpeg-q075", "is written 'jpeg-q75'"),
        ("blur-s1.0", "is written 'blur-s1'"),
        ("blur-1", "did you mean 'blur-s1'?"),
        ("blur-s0", "sigma must be above 0"),
        ("blur-s-1", "not of the form blur-s<sigma>"),
        ("median-4", "must be odd, 3 to 15 pixels, got 4"),
        ("median-17", "got 17"),
        ("bits-8", "bits must be 1 to 7, got 8"),
        ("bits-0", "got 0"),
        ("downup-1", "above 0 and below 1, got 1"),
        ("noise-s13", "share of the pixel range, above 0 and at most 1, got 13"),
        ("smooth-s0.05", "not of the form smooth-s<sigma>-n<draws>; did you mean 'smooth-s0.05-n8'?"),
        ("smooth-s0.05-n1", "2 to 1000 draws, got 1"),
        ("tv-w2", "at most 1, got 2"),
        ("resize-pad-1.1", "did you mean 'resize-pad'?"),
        ("resizepad", "did you mean 'resize-pad'?"),
        ("", "is unknown"),
        ("something else", "is unknown (see 'segrobust ls defences')"),
        ("none+jpeg-q75", "'none' is no part of a chain"),
        ("jpeg-q75+", "is unknown"),
        ("jpeg-q75+bit-4", "did you mean 'bits-4'?"),
        (75, "named by a text such as 'jpeg-q75', got 75"),
    ],
)
def test_wrong_names_are_told_on_one_line(name, message):
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        make_defence(name)
    assert "\n" not in str(caught.value)
    assert repr(name) in str(caught.value) or "+" in str(name)


@given(st.text(max_size=30))
@settings(max_examples=200, database=None)
def test_any_text_is_a_defence_of_that_name_or_an_error(text):
    with contextlib.suppress(UsageError):
        assert make_defence(text).name == text


def test_listing_them_needs_no_torch():
    code = "import sys, segrobust.defences.table; print('torch' in sys.modules)"
    assert python(code).strip() == "False"
