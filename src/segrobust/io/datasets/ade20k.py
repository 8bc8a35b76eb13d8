"""ADE20K: a JSON file beside each photo, and a PNG for each object in it."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from segrobust.errors import PhotoError
from segrobust.io.datasets.base import Annotated, Report, Sample
from segrobust.io.datasets.labels import read_labels
from segrobust.io.datasets.lists import Listing, no_split
from segrobust.io.datasets.source import File
from segrobust.io.decoding import unreadable
from segrobust.types import RLE, Masks, encode_mask

VISIBLE = 255
"""The value of an object's visible pixels in its PNG; 128 is what something in front of it hides."""

TREE = "images/ADE"


def homes(root: Path) -> list[Path]:
    """The folder with ``images/ADE``, or one with photos and their ``_seg.png``."""
    places = [root, *sorted(root.glob("ADE20K*"))]
    full = [place for place in places if (place / TREE).is_dir()]
    return full or ([root] if any(root.glob("*_seg.png")) else [])


def find(home: Path, split: str | None) -> Listing:
    """Photos of one split (training, validation) or of all, wherever their scene's folder is."""
    top = home / TREE if (home / TREE).is_dir() else home
    splits = sorted(entry.name for entry in top.iterdir() if entry.is_dir()) if top != home else []
    if split is not None and split not in splits:
        raise no_split(split, home, splits)
    folder = top / split if split else top
    photos = sorted(folder.rglob("*.jpg"))
    samples = []
    for photo in photos:
        pictures = sorted(photo.with_suffix("").glob("*.png"))
        marks = tuple(map(File, [photo.with_suffix(".json"), *pictures]))
        samples.append(Sample(photo.stem, str(photo), File(photo), marks, read))
    problems = [
        f"{file}: no photo of this name"
        for file in sorted(folder.rglob("*.json"))
        if not file.with_suffix(".jpg").exists()
    ]
    return Listing(home, samples, problems)


def read(sample: Sample, report: Report) -> Annotated:
    """The visible pixels of whole objects, in the order of the file.

    Parts of objects (``part_level`` above 0) are left out, and objects of which nothing is visible.
    """
    file = sample.marks[0]
    size, objects = _document(file)
    rles: list[RLE] = []
    for index, entry in enumerate(objects):
        try:
            if entry["parts"]["part_level"] == 0:
                rle = _visible(file, entry, size)
                rles.extend([rle] if rle else [])
        except PhotoError as error:
            report(str(error))
        except (KeyError, TypeError, ValueError) as error:
            name = entry.get("id", index) if isinstance(entry, dict) else index
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            report(f"{file}: object {name}: {reason}")
    return Annotated(Masks.from_rles(size, rles))


def _visible(file: File, entry: dict[str, Any], size: tuple[int, int]) -> RLE | None:
    name = entry["instance_mask"]
    if not isinstance(name, str) or ".." in Path(name).parts or Path(name).is_absolute():
        raise ValueError(f"instance_mask must be a file below the photo's folder, got {name!r}")
    picture = File(file.path.parent / name)
    labels, _ = read_labels(picture)
    if labels.shape != size:
        found = f"{labels.shape[0]} x {labels.shape[1]}"
        raise unreadable(picture, f"the mask is {found}, its photo {size[0]} x {size[1]} (imsize in {file.name})")
    visible = labels == VISIBLE
    return encode_mask(np.asarray(visible)) if visible.any() else None


def _document(file: File) -> tuple[tuple[int, int], list[Any]]:
    try:
        annotation = json.loads(file.read())["annotation"]
        height, width = (int(side) for side in annotation["imsize"][:2])
        objects = annotation["object"]
        if min(height, width) < 1 or not isinstance(objects, list):
            raise ValueError("imsize or the list of objects is wrong")
    except PhotoError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise unreadable(file, f"not an ADE20K annotation: {reason}") from error
    return (height, width), objects
