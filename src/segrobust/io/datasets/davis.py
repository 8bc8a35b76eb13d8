"""DAVIS: frames of videos, each with a PNG of its foreground objects."""

import re
from pathlib import Path

from segrobust.errors import UsageError
from segrobust.io.datasets.base import Annotated, Report, Sample
from segrobust.io.datasets.labels import VOID, present, read_labels, regions, void_of
from segrobust.io.datasets.lists import Listing, lines_of, lists_in
from segrobust.io.datasets.source import File

PHOTOS, OBJECTS, LISTS = "JPEGImages", "Annotations", "ImageSets"
_FRAME = re.compile(rf"/?{PHOTOS}/[^/]+/([^/\s]+)/([^/\s]+)\.jpg(\s.*)?")


def homes(root: Path) -> list[Path]:
    """The folder with frames and objects, each in a folder per resolution and one per sequence."""
    places = [root, *sorted(root.glob("DAVIS*"))]
    return [
        place
        for place in places
        if any(place.glob(f"{OBJECTS}/*/*/*.png")) and any(entry.is_dir() for entry in place.glob(f"{PHOTOS}/*/*"))
    ]


def find(home: Path, split: str | None) -> Listing:
    """The frames that the split's list names (2016: frames, 2017: sequences); without a split, all."""
    resolution = _resolution(home)
    photos, objects = home / PHOTOS / resolution, home / OBJECTS / resolution
    problems: list[str] = []
    if split is None:
        frames = [(file.parent.name, file.stem) for file in sorted(photos.glob("*/*.jpg"))]
    else:
        frames = _listed(home, photos, split, problems)
    samples = []
    for sequence, frame in dict.fromkeys(frames):
        photo, marks = photos / sequence / f"{frame}.jpg", objects / sequence / f"{frame}.png"
        samples.append(Sample(f"{sequence}-{frame}", str(photo), File(photo), (File(marks),), read))
    if split is None:
        for file in sorted(objects.glob("*/*.png")):
            if (file.parent.name, file.stem) not in set(frames):
                problems.append(f"{file}: no frame of this name in {PHOTOS}")
    return Listing(home, samples, problems)


def read(sample: Sample, report: Report) -> Annotated:
    """The objects of a frame by their number.

    DAVIS 2016 marks its one object in a grey PNG, with any value. DAVIS 2017 numbers several in a palette PNG, where
    255 is void.
    """
    file = sample.marks[0]
    labels, palette = read_labels(file)
    if palette:
        return Annotated(regions(labels, present(labels, (0, VOID))), void_of(labels))
    values = present(labels)
    if len(values) > 1:
        report(f"{file}: a grey picture marks one object with one value, this one has {values[:5]}")
    return Annotated(regions(labels, values))


def _resolution(home: Path) -> str:
    """480p, unless there is only another."""
    there = sorted(entry.name for entry in (home / OBJECTS).iterdir() if entry.is_dir() and not entry.is_symlink())
    both = [name for name in there if (home / PHOTOS / name).is_dir()]
    if "480p" in both:
        return "480p"
    if len(both) != 1:
        found = ", ".join(both) or "none"
        raise UsageError(f"{home}: looked for 480p in {PHOTOS} and {OBJECTS}, or one other resolution; found {found}")
    return both[0]


def _listed(home: Path, photos: Path, split: str, problems: list[str]) -> list[tuple[str, str]]:
    folder, _, name = split.rpartition("/")
    frames: list[tuple[str, str]] = []
    for file in lists_in(home / LISTS / folder if folder else _lists(home, photos.name, name), name):
        for line, place in lines_of(file):
            match = _FRAME.fullmatch(line)
            if match:
                frames.append((match[1], match[2]))
            elif (photos / line).is_dir() and "/" not in line:
                frames.extend((line, frame.stem) for frame in sorted((photos / line).glob("*.jpg")))
            else:
                problems.append(f"{place}: {line!r} is neither a frame nor a sequence of {PHOTOS}; it is left out")
    return frames


def _lists(home: Path, resolution: str, name: str) -> Path:
    """The folder of lists: that of the resolution, or else of the latest year, if it has this list."""
    folders = sorted((entry for entry in (home / LISTS).glob("*") if entry.is_dir()), reverse=True)
    folders.sort(key=lambda entry: entry.name != resolution)
    having = [entry for entry in folders if (entry / f"{name}.txt").exists()]
    return [*having, *folders, home / LISTS][0]
