"""``--limit`` and ``--shard``: what they mean, and what is refused."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segrobust.errors import UsageError
from segrobust.io.datasets.select import how_many, parse_limit, parse_shard


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("10", 10),
        (" 1 ", 1),
        (7, 7),
        ("1.0", Fraction(1)),
        ("0.1", Fraction(1, 10)),
        (0.1, Fraction(1, 10)),
        ("10%", Fraction(1, 10)),
        ("2.5 %", Fraction(1, 40)),
        ("1/3", Fraction(1, 3)),
        (Fraction(2, 3), Fraction(2, 3)),
        (Fraction(1), Fraction(1)),
        (1e-05, Fraction(1, 100_000)),
    ],
)
def test_what_a_limit_means(text: Any, meaning: int | Fraction) -> None:
    found = parse_limit(text)
    assert found == meaning
    assert type(found) is type(meaning)  # 1 is one sample, 1.0 is all of them


@pytest.mark.parametrize(
    "text", ["", "0", "-3", "0.0", "-0.1", "1.5", "101%", "1/0", "ten", "nan", "inf", "1e5", "1_0", "%", "1..2", True]
)
def test_what_is_no_limit(text: Any) -> None:
    with pytest.raises(UsageError, match=r"^limit '.*' (is|leaves) .*; write a number of samples \(10\)") as caught:
        parse_limit(text)
    assert repr(str(text)) in str(caught.value)


@pytest.mark.parametrize(
    ("limit", "total", "left"),
    [(3, 10, 3), (30, 10, 10), (Fraction(1, 10), 30, 3), (Fraction(1, 100), 30, 1), (Fraction(1, 3), 10, 4)],
)
def test_how_many_are_left(limit: int | Fraction, total: int, left: int) -> None:
    assert how_many(limit, total) == left


def test_a_share_is_that_of_its_decimal_digits() -> None:
    assert 0.07 * 100 > 7  # what binary fractions make of it
    assert how_many(parse_limit("0.07"), 100) == how_many(parse_limit(0.07), 100) == 7


@given(st.integers(1, 10_000), st.fractions(0, 1).filter(bool))
def test_a_share_leaves_something_and_never_more_than_there_is(total: int, share: Fraction) -> None:
    assert 1 <= how_many(parse_limit(share), total) <= total


def test_what_a_shard_means() -> None:
    assert parse_shard("2/4") == parse_shard(" 2 / 4 ") == parse_shard((2, 4)) == (2, 4)
    assert parse_shard("1/1") == (1, 1)


@pytest.mark.parametrize("text", ["", "2", "a/b", "1/2/3", "-1/2", "1.5/2"])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(UsageError, match="write 1/4 for the first of four parts"):
        parse_shard(text)


@pytest.mark.parametrize("text", ["0/4", "5/4", "0/0"])
def test_shards_count_from_one(text: str) -> None:
    with pytest.raises(UsageError, match=f"shard '{text}' does not exist: of n parts the first is 1/n"):
        parse_shard(text)
