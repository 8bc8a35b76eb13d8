"""The parameters of an attack as people change them: how a value is written, and of what kind it must be."""

import math
from fractions import Fraction

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}


def plain_value(text: str) -> float | int | str:
    """A parameter's value as it is written: a whole number, a number, a fraction such as ``2/255``, or a word."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        return text


def check_kind(key: str, value: object, default: object) -> None:
    """Refuse a parameter's value that is not of the kind of its default, or no finite number.

    Args:
        key: the parameter's name, for the message.
        value: what it is to be.
        default: of the recipe; None allows any kind.

    Raises:
        ValueError: with what it should be.
    """
    kind = KINDS.get(type(default), f"a {type(default).__name__}")
    wanted: tuple[type, ...] = (int, float) if isinstance(default, float) else (type(default),)
    if default is not None and type(value) not in wanted:
        raise ValueError(f"{key} is {kind}, e.g. {default}; got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        example = "" if default is None else f", e.g. {default}"
        raise ValueError(f"{key} is a finite number{example}; got {value!r}")
