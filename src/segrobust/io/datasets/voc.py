"""PASCAL VOC: SegmentationObject, a palette PNG of objects and void for each photo."""

from pathlib import Path

from segrobust.io.datasets.base import Annotated, Report, Sample
from segrobust.io.datasets.labels import VOID, present, read_labels, regions, void_of
from segrobust.io.datasets.lists import Listing, lines_of, lists_in
from segrobust.io.datasets.source import File

PHOTOS, OBJECTS, LISTS = "JPEGImages", "SegmentationObject", "ImageSets/Segmentation"


def homes(root: Path) -> list[Path]:
    """Folders of one year: the folder itself, or those in it or in its ``VOCdevkit``."""
    places = [root, *sorted(root.glob("VOC*")), *sorted(root.glob("VOCdevkit/VOC*"))]
    return [place for place in places if (place / PHOTOS).is_dir() and (place / OBJECTS).is_dir()]


def find(home: Path, split: str | None) -> Listing:
    """The photos that the split's list names; of all lists, without a split; those with objects, without lists."""
    problems: list[str] = []
    named: dict[str, str] = {}
    for file in lists_in(home / LISTS, split):
        here: set[str] = set()
        for name, place in lines_of(file):
            if name in here:
                problems.append(f"{place}: {name!r} is listed twice")
            if "/" in name:
                problems.append(f"{place}: {name!r} is not the name of a photo; it is left out")
                continue
            here.add(name)
            named.setdefault(name, place)
    if not named and split is None:
        named = {file.stem: str(file) for file in sorted((home / OBJECTS).glob("*.png"))}
    for file in sorted((home / OBJECTS).glob("*.png")):
        if not (home / PHOTOS / f"{file.stem}.jpg").exists() and file.stem not in named:
            problems.append(f"{file}: no photo of this name in {PHOTOS}")
    return Listing(home, [_sample(home, name) for name in named], problems)


def read(sample: Sample, report: Report) -> Annotated:
    """The objects by their number, and the void around them."""
    labels, _ = read_labels(sample.marks[0])
    return Annotated(regions(labels, present(labels, (0, VOID))), void_of(labels))


def _sample(home: Path, name: str) -> Sample:
    photo = home / PHOTOS / f"{name}.jpg"
    return Sample(name, str(photo), File(photo), (File(home / OBJECTS / f"{name}.png"),), read)
