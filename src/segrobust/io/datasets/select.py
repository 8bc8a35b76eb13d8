"""Part of a data set: the first few, a share, or one of several equal parts."""

import math
import re
from fractions import Fraction
from typing import TypeAlias

from segrobust.errors import UsageError

Limit: TypeAlias = int | Fraction
"""A number of samples, or a share of them in (0, 1]."""


def parse_limit(text: "str | int | float | Fraction") -> Limit:
    """Read how much of a data set is wanted.

    Args:
        text: a whole number is a number of samples (``10``); what is written with a point, as a percentage or as a
            fraction is a share of them (``0.1``, ``10%``, ``1/3``; ``1.0`` is all).

    Returns:
        An ``int`` >= 1, or an exact ``Fraction`` in (0, 1].

    Raises:
        UsageError: none of these.
    """
    plain = str(text).strip()
    whole = isinstance(text, int) or re.fullmatch(r"[+-]?\d+", plain)
    if isinstance(text, bool) or not re.fullmatch(r"[+-]?[\d./]+(e-?\d+)?\s*%?", plain):
        raise _bad_limit(plain, "is no number")
    try:
        if whole and not isinstance(text, Fraction):
            number: Limit = int(plain)
        else:
            # Through the decimal digits: 0.1 means a tenth, not the binary number next to it.
            number = Fraction(plain.rstrip("% ")) / (100 if plain.endswith("%") else 1)
    except (ValueError, ZeroDivisionError):
        raise _bad_limit(plain, "is no number") from None
    if number <= 0:
        raise _bad_limit(plain, "leaves nothing")
    if isinstance(number, Fraction) and number > 1:
        raise _bad_limit(plain, "is a share above 1")
    return number


def parse_shard(text: "str | tuple[int, int]") -> tuple[int, int]:
    """Read which part of how many, e.g. ``2/4``: the second of four.

    Args:
        text: ``i/n``, or the two numbers.

    Returns:
        ``(i, n)`` with ``1 <= i <= n``.

    Raises:
        UsageError: not of this form, or out of range; parts count from 1.
    """
    plain = text if isinstance(text, str) else "/".join(map(str, text))
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", plain)
    if not match:
        raise UsageError(f"shard {plain!r} is not of the form i/n; write 1/4 for the first of four parts")
    index, count = int(match[1]), int(match[2])
    if not 1 <= index <= count:
        raise UsageError(f"shard {plain!r} does not exist: of n parts the first is 1/n and the last n/n")
    return index, count


def how_many(limit: Limit, total: int) -> int:
    """The number of samples that ``limit`` leaves of ``total``; a share is rounded up."""
    return min(total, math.ceil(limit * total) if isinstance(limit, Fraction) else limit)


def _bad_limit(text: str, reason: str) -> UsageError:
    return UsageError(f"limit {text!r} {reason}; write a number of samples (10) or a share of them (0.1 or 10%)")
