"""BSDS500: regions that people drew, several people for each photo."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segrobust.io.datasets.base import Annotated, Report, Sample
from segrobust.io.datasets.labels import present, regions
from segrobust.io.datasets.lists import Listing, no_split
from segrobust.io.datasets.source import File
from segrobust.io.decoding import unreadable

PHOTOS, TRUTH = "images", "groundTruth"


def homes(root: Path) -> list[Path]:
    """The folder with ``images`` and ``groundTruth``: itself, or as the archive and the mirrors have it."""
    places = [root, root / "data", root / "BSDS500", root / "BSDS500" / "data", root / "BSR" / "BSDS500" / "data"]
    return [place for place in places if (place / PHOTOS).is_dir() and (place / TRUTH).is_dir()]


def find(home: Path, split: str | None) -> Listing:
    """Photos of one split (train, val, test) or of all."""
    splits = sorted({entry.name for top in (PHOTOS, TRUTH) for entry in (home / top).iterdir() if entry.is_dir()})
    if split is not None and split not in splits:
        raise no_split(split, home, splits)
    samples, problems = [], []
    for part in splits if split is None else [split]:
        photos = sorted((home / PHOTOS / part).glob("*.jpg"))
        for photo in photos:
            truth = home / TRUTH / part / f"{photo.stem}.mat"
            samples.append(Sample(photo.stem, str(photo), File(photo), (File(truth),), read))
        known = {photo.stem for photo in photos}
        for truth in sorted((home / TRUTH / part).glob("*.mat")):
            if truth.stem not in known:
                problems.append(f"{truth}: no photo of this name in {PHOTOS}/{part}")
    return Listing(home, samples, problems)


def read(sample: Sample, report: Report) -> Annotated:
    """The regions of the first of the people who drew this photo, by their number; label 0 is no region.

    One person's regions do not overlap. Those of another would ask for the same objects once more.
    """
    labels = _first_segmentation(sample.marks[0])
    return Annotated(regions(labels, present(labels)))


def _first_segmentation(file: File) -> NDArray[np.integer]:
    content = file.read()
    from scipy.io import loadmat

    try:
        # The stubs know only paths.
        drawn: Any = loadmat(BytesIO(content), variable_names=["groundTruth"])["groundTruth"]  # type: ignore[arg-type]
        labels = np.asarray(drawn.ravel()[0]["Segmentation"].ravel()[0])
        if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "ui":
            raise ValueError(f"Segmentation must be whole numbers (H, W), got {labels.dtype} {labels.shape}")
        if labels.max() > 10_000 or labels.min() < 0:
            raise ValueError(f"labels from {labels.min()} to {labels.max()} are no region numbers")
    except Exception as error:  # scipy's parser raises whatever it met, and the content may be anything
        reason = f"no {error.args[0]}" if isinstance(error, KeyError) and error.args else str(error)
        raise unreadable(file, f"not a BSDS500 ground truth: {reason or type(error).__name__}") from error
    return labels
