"""Text files that name the samples of a split, and the folder a data set begins in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segrobust.errors import UsageError
from segrobust.io.datasets.base import Sample


@dataclass(frozen=True)
class Listing:
    """What a reader found in a folder: samples whose ids are not final yet, and what belongs to none of them."""

    home: Path
    samples: Sequence[Sample]
    problems: Sequence[str] = ()


def lines_of(file: Path) -> list[tuple[str, str]]:
    """The lines of a list that are not blank, each with its place.

    Raises:
        UsageError: it cannot be read, or is no text.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise UsageError(f"{file}: the list cannot be read: {reason}") from error
    numbered = enumerate(text.splitlines(), 1)
    return [(line.strip(), f"{file}:{number}") for number, line in numbered if line.strip()]


def lists_in(folder: Path, split: str | None) -> list[Path]:
    """The lists of a split: the one of this name, or all.

    Raises:
        UsageError: there is no such split; the message names those there are.
    """
    there = sorted(folder.glob("*.txt"))
    if split is None:
        return there
    if not any(file.stem == split for file in there):
        raise no_split(split, folder, [file.stem for file in there])
    return [folder / f"{split}.txt"]


def no_split(split: str, folder: Path, there: Sequence[str]) -> UsageError:
    """The error for a split that does not exist."""
    found = f"there: {', '.join(there)}" if there else "there are no splits"
    return UsageError(f"{folder}: no split {split!r} ({found})")
