"""Choose the photos of a data set on which masks overlap most, and write a folder with them.

    python -m benchmarks.write_overlapping_photos DATA [--split test] [--masks nano] [--count 20] --out FOLDER

A photo's number is the share of its pixels that are in more than one mask: of those that a model finds on it
(``--masks MODEL``, segment everything) or of its annotation (``--masks annotation``). It does not depend on any attack.
FOLDER has the layout of DATA, photos and annotations, so plans take it as ``auto``; and ``overlap.csv``, the shares of
all photos of DATA, the chosen ones first. The photos keep their terms.
"""

import argparse
import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from segrobust.errors import UsageError
from segrobust.io.datasets import Dataset, Sample, open_dataset
from segrobust.models.registry import load
from segrobust.regions.atoms import find_atoms
from segrobust.regions.everything import segment_everything
from segrobust.types import Masks

ANNOTATION = "annotation"


def overlap(masks: Masks) -> float:
    """The share of pixels that are in more than one mask."""
    found = find_atoms(masks)
    return float(found.areas[found.members.sum(axis=0) > 1].sum() / found.areas.sum())


def annotated(sample: Sample) -> Masks:
    """The reference masks of a photo."""
    found = sample.annotation()
    if found is None:
        raise UsageError(f"{sample.path}: no annotation; count a model's masks, e.g. --masks nano")
    return found.masks


def mask_finder(name: str) -> Callable[[Sample], Masks]:
    """Where masks come from: the annotation, or the model of this name."""
    if name == ANNOTATION:
        return annotated
    model = load(name)
    return lambda sample: segment_everything(model, sample.image())


def ranked(data: Dataset, masks: Callable[[Sample], Masks]) -> list[tuple[float, Sample]]:
    """All photos, most overlap first; of equal ones in the order of the data set."""
    return sorted(((overlap(masks(sample)), sample) for sample in data), key=lambda pair: -pair[0])


def write(data: Dataset, out: Path) -> None:
    """Copy the photos of a data set and what their annotations are read from, each to its place below ``out``.

    Raises:
        UsageError: what was written does not read as the same photos.
    """
    for sample in data:
        for file in (sample.photo, *sample.marks):
            place = out / (file.member or file.path.relative_to(data.root))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read())
    if data.kind == "coco":  # one file for all photos
        entries = [sample.entry for sample in data]
        marks = [mark for entry in entries for mark in entry["annotations"]]
        document = {"images": [entry["image"] for entry in entries], "annotations": marks}
        (out / "annotations").mkdir(parents=True, exist_ok=True)
        (out / "annotations" / entries[0]["place"]).write_text(json.dumps(document), "utf-8")
    again = open_dataset(data.kind, out)
    if sorted(sample.sha256() for sample in again) != sorted(sample.sha256() for sample in data):
        raise UsageError(f"{out}: does not read as the chosen photos; is there something else in it?")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--kind", default="auto")
    parser.add_argument("--split")
    parser.add_argument("--limit")
    parser.add_argument("--masks", default="nano")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    data = open_dataset(args.kind, args.data, split=args.split, limit=args.limit)
    order = ranked(data, mask_finder(args.masks))
    chosen = order[: args.count]
    write(replace(data, samples=tuple(sample for _, sample in chosen)), args.out)
    with (args.out / "overlap.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["photo", f"share in more than one mask ({args.masks})", "chosen"])
        rows.writerows([sample.id, f"{share:.4f}", place < args.count] for place, (share, sample) in enumerate(order))
    print(f"{args.out}: {len(chosen)} of {len(order)} photos, {chosen[0][0]:.3f} to {chosen[-1][0]:.3f} of the pixels")


if __name__ == "__main__":
    main()
