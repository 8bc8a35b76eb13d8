"""SA-1B: a JSON file of masks beside each photo, in folders or in the archives as they are published."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from segrobust.errors import PhotoError
from segrobust.io.datasets.base import Annotated, Report, Sample
from segrobust.io.datasets.lists import Listing, no_split
from segrobust.io.datasets.source import File, members
from segrobust.io.images import PHOTO_SUFFIXES
from segrobust.io.sa1b import parse_sa1b


def homes(root: Path) -> list[Path]:
    """The archive itself, or a folder with archives or with photos that have a JSON file beside them."""
    if root.suffix == ".tar" and root.is_file():
        return [root]
    if not root.is_dir():
        return []
    candidates = chain(root.glob("*.json"), root.glob("*/*.json"))
    return [root] if any(root.glob("*.tar")) or any(map(_is_pair, candidates)) else []


def find(home: Path, split: str | None) -> Listing:
    """Photos and masks of an archive; of all archives in a folder; or of a folder, or else the folders inside it."""
    if split is not None:
        raise no_split(split, home, [])
    problems: list[str] = []
    by_stem: dict[str, dict[str, File]] = defaultdict(dict)
    for file in _files(home, problems):
        name = file.member or file.path.relative_to(home).as_posix()
        stem, dot, suffix = name.rpartition(".")
        # Archives are one data set, however it was divided among them.
        known = by_stem[stem]
        kind = "json" if suffix.lower() == "json" else "photo" if f"{dot}{suffix}".lower() in PHOTO_SUFFIXES else ""
        if kind and kind in known:
            problems.append(f"{file}: there is also {known[kind]}; this one is left out")
        elif kind:
            known[kind] = file
    samples = []
    for stem, pair in by_stem.items():
        if "photo" not in pair:
            problems.extend(f"{file}: no photo of this name" for file in pair.values())
            continue
        photo = pair["photo"]
        marks = (pair.get("json") or _missing(photo),)
        samples.append(Sample(stem.rpartition("/")[2], str(photo), photo, marks, read))
    return Listing(home, samples, problems)


def read(sample: Sample, report: Report) -> Annotated:
    """The masks of one photo, in the order of the file."""
    file = sample.marks[0]
    return Annotated(parse_sa1b(file.read(), str(file), photo=sample.photo.name, report=report))


def _is_pair(file: Path) -> bool:
    return not file.name.startswith(".") and any(file.with_suffix(suffix).exists() for suffix in PHOTO_SUFFIXES)


def _files(home: Path, problems: list[str]) -> Iterator[File]:
    if home.is_file():
        yield from _visible(members(home, problems))
        return
    archives = sorted(home.glob("*.tar"))
    for archive in archives:
        try:
            yield from _visible(members(archive, problems))
        except PhotoError as error:
            problems.append(str(error))
    if not archives:
        pattern = "*" if any(map(_is_pair, home.glob("*.json"))) else "*/*"
        yield from _visible(File(entry) for entry in sorted(home.glob(pattern)) if not entry.is_dir())


def _visible(files: Iterable[File]) -> Iterator[File]:
    return (file for file in files if not file.name.startswith("."))


def _missing(photo: File) -> File:
    """Where the masks should be."""
    if photo.member:
        return File(photo.path, photo.member.rpartition(".")[0] + ".json")
    return File(photo.path.with_suffix(".json"))
