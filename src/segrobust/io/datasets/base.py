"""What a data set is: a name, samples in a fixed order, and the terms its photos come under."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

from segrobust.errors import PhotoError
from segrobust.io.datasets.select import how_many, parse_limit, parse_shard
from segrobust.io.datasets.source import File
from segrobust.io.images import output_names
from segrobust.io.sa1b import stop_at
from segrobust.types import RLE, Image, Masks

Report: TypeAlias = Callable[[str], None]
"""Is told, in a line with a place, what is wrong with an annotation; it raises, or the rest is read."""


@dataclass(frozen=True, eq=False)
class Annotated:
    """The reference masks of one photo.

    Attributes:
        masks: in the data set's own order.
        void: pixels of which nobody says what they are; excluded from scoring. None: there are none.
    """

    masks: Masks
    void: RLE | None = None

    def __post_init__(self) -> None:
        if self.void is not None and tuple(self.void["size"]) != tuple(self.masks.size):
            raise ValueError(f"the void has size {self.void['size']}, the masks {list(self.masks.size)}")


@dataclass(frozen=True, eq=False)
class Sample:
    """One photo of a data set and how to get at it; nothing is read before it is asked for, and nothing is kept.

    Attributes:
        id: stable, unique in the data set, and fit to be a file name.
        path: where the photo is, for the record: a file, or ``archive.tar:member``.
        photo: the photo's file.
        marks: the files its annotation is read from.
        reader: reads the annotation; None: there is none.
        entry: the part of a larger annotation file that belongs to this photo, as plain JSON values.
    """

    id: str
    path: str
    photo: File
    marks: tuple[File, ...] = ()
    reader: "Callable[[Sample, Report], Annotated] | None" = None
    entry: Any = None

    def image(self) -> Image:
        """The photo, named after the sample.

        Raises:
            PhotoError: missing, truncated or no photo.
        """
        return self.photo.image(self.id)

    def annotation(self) -> Annotated | None:
        """The reference masks; None for a data set without annotations.

        Raises:
            PhotoError: the annotation is missing, damaged, or of a photo of another size; one line with a place.
        """
        if self.reader is None:
            return None
        found = self.reader(self, stop_at)
        require_size(self, found, self.photo.image_size(), stop_at)
        return found

    def sha256(self) -> str:
        """sha256 of the photo and of what its annotation is read from; a missing file counts as such."""
        digest = hashlib.sha256()
        for file in (self.photo, *self.marks):
            try:
                inner = hashlib.sha256(file.read()).hexdigest()
            except PhotoError:
                inner = "unreadable"
            digest.update(f"{file.name}\n{inner}\n".encode(errors="surrogatepass"))
        digest.update(json.dumps(self.entry, sort_keys=True).encode())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in an order that depends on their names alone.

    Attributes:
        name: what to call it in tables.
        kind: a name of ``KINDS``.
        root: the folder or archive as it was given.
        samples: by name, numbers in names as numbers.
        terms: licence or terms, in a line.
        problems: what was found wrong on opening that belongs to no sample, e.g. an annotation without a photo.
    """

    name: str
    kind: str
    root: Path
    samples: tuple[Sample, ...]
    terms: str
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def limit(self, limit: "str | int | float | Fraction") -> "Dataset":
        """The first samples: so many, or such a share, rounded up (see :func:`parse_limit`)."""
        return replace(self, samples=self.samples[: how_many(parse_limit(limit), len(self.samples))])

    def shard(self, index: int, count: int) -> "Dataset":
        """Part ``index`` (from 1) of ``count``: every ``count``-th sample, so that all parts are alike in size.

        The parts are disjoint, and together they are the data set; of few samples some parts are empty.
        """
        first, step = parse_shard((index, count))
        return replace(self, samples=self.samples[first - 1 :: step])

    def sha256(self) -> str:
        """sha256 over ids and files of these samples: the same from a folder and from an archive, wherever it lies."""
        digest = hashlib.sha256(self.kind.encode())
        for sample in self.samples:
            digest.update(f"\n{sample.id} {sample.sha256()}".encode())
        return digest.hexdigest()


def require_size(sample: Sample, found: Annotated, size: tuple[int, int], report: Report) -> None:
    """Report masks that are not of the photo's size ``(height, width)``."""
    masks = found.masks.size
    if tuple(masks) != tuple(size):
        where = sample.marks[0] if sample.marks else sample.photo
        report(f"{where}: masks are for a {masks[0]} x {masks[1]} photo, {sample.photo.name} is {size[0]} x {size[1]}")


def in_order(samples: Sequence[Sample], home: Path) -> tuple[Sample, ...]:
    """Samples by name, with ids that are unique and fit to be file names.

    An id is the name that the reader gave where it is the only one of its kind (compared as case-insensitive file
    systems do), and gets a piece of a hash of the photo's place below ``home`` where it is not. So it depends neither
    on where the data set lies nor on the part of it that is used.
    """
    keys = [Path(_below(sample.photo, home)) / f"{sample.id}.photo" for sample in samples]
    # output_names takes the name from the last part of a path, and the hash from all of it.
    names = output_names(keys)
    ordered = sorted(zip(keys, samples, strict=True), key=lambda pair: (natural(pair[1].id), pair[0].as_posix()))
    return tuple(replace(sample, id=names[key]) for key, sample in ordered)


def natural(text: str) -> tuple[str | tuple[int, str], ...]:
    """A key that sorts ``sa_2`` before ``sa_10``."""
    parts = re.split(r"([0-9]+)", text)  # every second one is digits
    digits = [part.lstrip("0") for part in parts[1::2]]
    parts[1::2] = digits
    return tuple((len(part), part) if place % 2 else part for place, part in enumerate(parts))


def _below(file: File, home: Path) -> Path:
    if file.member:
        return Path(file.path.name, file.member)
    return file.path.relative_to(home) if file.path.is_relative_to(home) else file.path
