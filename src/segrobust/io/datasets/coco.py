"""COCO instances: one JSON file for all photos of a split."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segrobust.errors import PhotoError, UsageError
from segrobust.io.datasets.base import Annotated, Report, Sample
from segrobust.io.datasets.lists import Listing, no_split
from segrobust.io.datasets.source import File
from segrobust.io.decoding import MAX_PIXELS
from segrobust.io.rle import segmentation_to_rle
from segrobust.io.sa1b import reason_of
from segrobust.types import RLE, Bools, Masks, decode_mask, encode_mask

PREFIX = "instances"


def homes(root: Path) -> list[Path]:
    """The folder, if it has ``annotations/instances*.json``."""
    return [root] if any(root.glob(f"annotations/{PREFIX}*.json")) else []


def find(home: Path, split: str | None) -> Listing:
    """The photos that an instances file lists, each with its annotations in the order of the file."""
    file = _instances(home, split)
    document = _document(file)
    problems: list[str] = []
    folder = _photo_folder(home, file.stem.removeprefix(PREFIX).lstrip("_"))
    samples: dict[int, Sample] = {}
    annotations: dict[int, list[Any]] = defaultdict(list)
    seen = set()
    for index, image in enumerate(document["images"]):
        try:
            number, name = _image(image)
        except (TypeError, ValueError) as error:
            problems.append(f"{file}: image number {index + 1}: {error}")
            continue
        place = folder / name
        if number in samples or place in seen:
            problems.append(f"{file}: image {number} ({name}): listed twice; the second is left out")
            continue
        seen.add(place)
        # The list is filled below.
        entry = {"place": file.name, "image": image, "annotations": annotations[number]}
        samples[number] = Sample(Path(name).stem, str(place), File(place), (), read, entry)
    for owner, annotation in _owned(file, document["annotations"], set(samples), problems):
        annotations[owner].append(annotation)
    return Listing(home, list(samples.values()), problems)


def read(sample: Sample, report: Report) -> Annotated:
    """One photo's objects as masks, and its crowds as void.

    A crowd (``iscrowd`` 1) is a region of many objects that nobody told apart, so no prompt can ask for it: it is no
    mask, and its pixels count neither for nor against an answer, except where an object was marked in it.
    """
    image, place = sample.entry["image"], f"{sample.entry['place']}: image {sample.entry['image']['id']}"
    size = (image["height"], image["width"])
    rles: list[RLE] = []
    crowds: list[RLE] = []
    for index, annotation in enumerate(sample.entry["annotations"]):
        try:
            rle = segmentation_to_rle(annotation["segmentation"], size)
            crowd = annotation.get("iscrowd", 0)
            if crowd not in (0, 1):
                raise ValueError(f"iscrowd must be 0 or 1, got {crowd!r}")
        except Exception as error:  # the content is anybody's
            name = annotation.get("id", f"number {index + 1} (no id)")
            report(f"{place}: annotation {name}: {reason_of(error)}")
            continue
        (crowds if crowd else rles).append(rle)
    return Annotated(Masks.from_rles(size, rles), _void(crowds, rles))


def _void(crowds: list[RLE], objects: list[RLE]) -> RLE | None:
    if not crowds:
        return None
    void = _union(crowds)
    if objects:
        void &= ~_union(objects)
    return encode_mask(void) if void.any() else None


def _union(rles: list[RLE]) -> Bools:
    union = decode_mask(rles[0])
    for rle in rles[1:]:
        union |= decode_mask(rle)
    return np.asarray(union)


def _instances(home: Path, split: str | None) -> Path:
    files = sorted((home / "annotations").glob(f"{PREFIX}*.json"))
    if split is not None:
        wanted = home / "annotations" / f"{PREFIX}_{split}.json"
        if wanted not in files:
            raise no_split(split, home, [file.stem.removeprefix(f"{PREFIX}_") for file in files])
        return wanted
    if len(files) > 1:
        names = ", ".join(file.stem.removeprefix(f"{PREFIX}_") for file in files)
        raise UsageError(f"{home}: several instances files; name a split ({names})")
    return files[0]


def _document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise PhotoError(f"{file}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PhotoError(f"{file}: not JSON: {error}") from error
    for name in ("images", "annotations"):
        if not isinstance(document, dict) or not isinstance(document.get(name), list):
            raise PhotoError(f"{file}: not a COCO instances file: no list {name!r}")
    return dict(document)


def _owned(file: Path, entries: list[Any], images: set[int], problems: list[str]) -> Iterator[tuple[int, Any]]:
    """Annotations with the image they belong to; one that belongs to none is a problem, and so is an id used twice."""
    seen = set()
    for index, entry in enumerate(entries):
        number = entry.get("id") if isinstance(entry, dict) else None
        name = f"annotation {number}" if type(number) is int else f"annotation number {index + 1} (no whole-number id)"
        owner = entry.get("image_id") if isinstance(entry, dict) else None
        if type(owner) is not int or owner not in images:
            problems.append(f"{file}: {name}: image_id {owner!r} is no image of this file")
            continue
        if type(number) is int and number in seen:
            problems.append(f"{file}: {name}: its id occurs twice")
        if type(number) is int:
            seen.add(number)
        yield owner, entry


def _image(image: Any) -> tuple[int, str]:
    """Id and file name of an image entry whose size is in order."""
    if not isinstance(image, dict) or type(image.get("id")) is not int:
        raise ValueError("no whole-number id")
    name, height, width = image.get("file_name"), image.get("height"), image.get("width")
    if not isinstance(name, str) or not Path(name).stem or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"file_name must be a photo below the folder of photos, got {name!r}")
    if type(height) is not int or type(width) is not int or min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(
            f"height and width must be positive and at most {MAX_PIXELS} pixels, got {height!r}, {width!r}"
        )
    return image["id"], name


def _photo_folder(home: Path, split: str) -> Path:
    """Where the photos of a split lie: ``val2017/``, ``images/val2017/``, ``images/`` or the folder itself."""
    names = [home / split, home / "images" / split] if split else []
    return next((folder for folder in [*names, home / "images"] if folder.is_dir()), home)
