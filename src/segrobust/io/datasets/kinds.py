"""The table of kinds of data sets, and the door through which they are opened."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from segrobust.errors import PhotoError, UsageError
from segrobust.io.datasets import ade20k, bsds, coco, davis, plain, sa1b, voc
from segrobust.io.datasets.base import Dataset, in_order
from segrobust.io.datasets.lists import Listing
from segrobust.io.datasets.select import parse_limit, parse_shard
from segrobust.io.images import safe_name

AUTO = "auto"


@dataclass(frozen=True)
class Kind:
    """What there is to know about a kind of data set before one is opened.

    Attributes:
        title: what it is, in a line.
        masks: where the reference masks come from, in a line.
        layout: what a folder of it must have, in words that follow "looked for".
        splits: their usual names; "" = it has none.
        terms: licence or terms of the published photos, in a line; they hold for copies too.
        homes: the folders below a path in which one begins.
        find: the samples in such a folder.
    """

    title: str
    masks: str
    layout: str
    splits: str
    terms: str
    homes: Callable[[Path], list[Path]]
    find: Callable[[Path, str | None], Listing]


KINDS: dict[str, Kind] = {
    "voc": Kind(
        "PASCAL VOC",
        "objects of SegmentationObject by number; 255 is void",
        "JPEGImages/ and SegmentationObject/ in it, in VOC*/ or in VOCdevkit/VOC*/",
        "train, val, trainval",
        "photos from Flickr under Flickr's terms of use; research",
        voc.homes,
        voc.find,
    ),
    "davis": Kind(
        "DAVIS 2016 and 2017, frames of videos",
        "objects by number; 255 of a palette picture is void",
        "JPEGImages/480p/SEQUENCE/ and Annotations/480p/SEQUENCE/*.png in it or in DAVIS*/",
        "train, val (with a year before it: 2017/val)",
        "CC BY 4.0 where not stated otherwise; some sequences have other sources",
        davis.homes,
        davis.find,
    ),
    "bsds500": Kind(
        "BSDS500",
        "regions drawn by the first of several people",
        "images/ and groundTruth/ in it, in data/, in BSDS500/data/ or in BSR/BSDS500/data/",
        "train, val, test",
        "Berkeley: non-commercial research and education; cite Arbelaez et al. 2011",
        bsds.homes,
        bsds.find,
    ),
    "ade20k": Kind(
        "ADE20K, the full release of 2021",
        "visible pixels of whole objects, in the order of the JSON file",
        "images/ADE/ in it or in ADE20K*/, or photos with *_seg.png directly inside",
        "training, validation",
        "non-commercial research and education",
        ade20k.homes,
        ade20k.find,
    ),
    "coco": Kind(
        "COCO instances",
        "polygons and run lengths, in the order of the file; crowds are void",
        "annotations/instances*.json in it, photos in images/, SPLIT/ or images/SPLIT/",
        "train2017, val2017, ...: instances_SPLIT.json",
        "annotations CC BY 4.0; each photo has a Flickr licence, see 'license' in the JSON file",
        coco.homes,
        coco.find,
    ),
    "sa1b": Kind(
        "SA-1B, folders or tar archives",
        "run lengths beside each photo, in the order of the file; made by a model",
        "*.tar, or photos with a .json of the same name, in it or in the folders directly inside",
        "",
        "SA-1B Dataset Research License: research only",
        sa1b.homes,
        sa1b.find,
    ),
    "images": Kind(
        "photos without annotations",
        "none: the reference is what the model finds on the original",
        "photos (.jpg, .png, ...) directly inside",
        "",
        "not known: whoever names the folder knows",
        plain.homes,
        plain.find,
    ),
}
"""By name, in the order in which ``auto`` tries them: the first whose layout is there."""


def open_dataset(
    kind: str,
    path: Path | str,
    *,
    limit: "str | int | float | Fraction | None" = None,
    shard: "str | tuple[int, int] | None" = None,
    split: str | None = None,
    name: str | None = None,
) -> Dataset:
    """Find the samples of a data set; photos and masks are read later, one by one.

    A sample whose photo or annotation is missing or damaged is a sample all the same: reading it raises, and becomes
    a recorded failure instead of a missing row. ``segrobust datasets check`` finds them beforehand.

    Args:
        kind: a name of ``KINDS``, or ``auto``: what the folder looks like.
        path: the folder, or for SA-1B a tar archive.
        limit: how many samples, or which share of them, from the first on; see :func:`parse_limit`.
        shard: which part of what ``limit`` left, ``i/n``; see :func:`parse_shard`.
        split: one of the data set's own lists or folders; None = all there is.
        name: what to call it in tables; None = the kind and the split, or for ``images`` the folder.

    Returns:
        The data set.

    Raises:
        UsageError: an unknown kind or split, a limit or a shard that cannot be meant, no such folder, or a folder
            without what the kind needs; the message names what was looked for.
        PhotoError: the file that describes the samples is damaged.
    """
    root = Path(path)
    limit = None if limit is None else parse_limit(limit)
    shard = None if shard is None else parse_shard(shard)
    if kind not in (*KINDS, AUTO):
        raise UsageError(f"unknown kind of data set {kind!r}; choose {', '.join(KINDS)} or {AUTO}")
    try:
        chosen, listing = _listing(kind, root, split)
    except OSError as error:
        raise PhotoError(f"{error.filename or root}: cannot be listed: {error.strerror or error}") from error
    samples = in_order(listing.samples, listing.home)
    called = name or (root.resolve().name if chosen == "images" else f"{chosen}-{split}" if split else chosen)
    found = Dataset(safe_name(called), chosen, root, samples, KINDS[chosen].terms, tuple(listing.problems))
    found = found if limit is None else found.limit(limit)
    return found if shard is None else found.shard(*shard)


def _listing(kind: str, root: Path, split: str | None) -> tuple[str, Listing]:
    if not root.exists():
        raise UsageError(f"{root}: no such folder")
    chosen, homes = _recognise(root) if kind == AUTO else (kind, KINDS[kind].homes(root))
    if not homes:
        raise UsageError(f"{root}: no {chosen} data set; looked for {KINDS[chosen].layout}")
    if len(homes) > 1:
        raise UsageError(f"{root}: several {chosen} data sets; name one: {', '.join(map(str, homes))}")
    listing = KINDS[chosen].find(homes[0], split)
    if not listing.samples:
        wanted = f" in split {split!r}" if split else ""
        raise UsageError("; ".join([f"{homes[0]}: no photos of {chosen}{wanted}", *listing.problems[:1]]))
    return chosen, listing


def _recognise(root: Path) -> tuple[str, list[Path]]:
    for kind, about in KINDS.items():
        homes = about.homes(root)
        if homes:
            return kind, homes
    looked = "; ".join(f"{kind}: {about.layout}" for kind, about in KINDS.items())
    raise UsageError(f"{root}: looks like no data set; looked for {looked}")
