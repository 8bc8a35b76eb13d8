"""Parameters of recipes that are more than one number: text from a command line or a plan, sequences from Python."""

from collections.abc import Sequence

from segrobust.errors import UsageError

Numbers = str | Sequence[float]
"""Written ``120,80``, or as numbers."""


def numbers(text: Numbers, what: str, counts: tuple[int, ...]) -> tuple[float, ...]:
    """Numbers written ``1,2,3``; none of an empty text. A single one takes a comma too where text is read as a number.

    Args:
        text: what was given.
        what: what it is, for the error.
        counts: how many there may be, beside none; empty = any number.

    Raises:
        UsageError: something else.
    """
    parts = [part for part in text.replace(" ", "").split(",") if part] if isinstance(text, str) else text
    try:
        values = tuple(float(part) for part in parts)
    except ValueError:
        raise UsageError(f"{what} is numbers with commas between them, e.g. 120,80; got {text!r}") from None
    if values and counts and len(values) not in counts:
        raise UsageError(f"{what} is {' or '.join(map(str, counts))} numbers, got {len(values)} in {text!r}")
    return values


def whole_numbers(text: Numbers, what: str) -> tuple[int, ...]:
    """Whole numbers written ``4,5,6,7``; none of an empty text.

    Raises:
        UsageError: something else.
    """
    values = numbers(text, what, ())
    if any(value != int(value) for value in values):
        raise UsageError(f"{what} is whole numbers with commas between them, e.g. 4,5,6,7; got {text!r}")
    return tuple(int(value) for value in values)


def a_point(text: Numbers, what: str) -> tuple[float, float] | None:
    """``x,y`` in pixels of the photo; None of an empty text.

    Raises:
        UsageError: something else.
    """
    values = numbers(text, what, (2,))
    return (values[0], values[1]) if values else None


def a_box(text: Numbers, what: str) -> tuple[float, float, float, float] | None:
    """``x1,y1,x2,y2`` in pixels of the photo; None of an empty text.

    Raises:
        UsageError: something else.
    """
    values = numbers(text, what, (4,))
    if not values:
        return None
    x1, y1, x2, y2 = values
    if x2 < x1 or y2 < y1:
        raise UsageError(f"{what} is x1,y1,x2,y2 with x1 <= x2 and y1 <= y2, got {text!r}")
    return x1, y1, x2, y2
