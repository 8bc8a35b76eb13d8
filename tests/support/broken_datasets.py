"""The small data sets of ``made_datasets``, each broken in one place, and what must be said of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from made_datasets import SIZE, TREE, edit_json, object_labels, put_labels, put_photo, put_truth

Break: TypeAlias = Callable[[Path], Any]
VOC = "VOCdevkit/VOC2007"
DRAWN = f"{VOC}/SegmentationObject"
VAL = f"{VOC}/ImageSets/Segmentation/val.txt"
COCO = "annotations/instances_val2017.json"
MAT = "groundTruth/test/2018.mat"
BEAR = "480p/bear/00001"
ADE = f"{TREE}/ADE_train_1"


def truncate(name: str) -> Break:
    def change(root: Path) -> None:
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: len(content) // 2])

    return change


def remove(name: str) -> Break:
    return lambda root: (root / name).unlink()


def write(name: str, content: bytes) -> Break:
    return lambda root: (root / name).write_bytes(content)


def photo(name: str, size: tuple[int, int] = (5, 6)) -> Break:
    return lambda root: put_photo(root / name, size=size)


def edit(name: str, change: Callable[[Any], Any]) -> Break:
    return lambda root: edit_json(root / name, change)


def setting(name: str, *path: Any, to: Any) -> Break:
    """Replace what lies at a path inside a JSON file."""

    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = to

    return edit(name, change)


def without(name: str, *path: Any) -> Break:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        del document[path[-1]]

    return edit(name, change)


def adding(name: str, key: str, value: Any) -> Break:
    return edit(name, lambda document: document[key].append(value))


def annotation(name: str, index: int, **values: Any) -> Break:
    return edit(name, lambda document: document["annotations"][index].update(values))


def runs(name: str, index: int, **values: Any) -> Break:
    return edit(name, lambda document: document["annotations"][index]["segmentation"].update(values))


def drawn(*people: Any) -> Break:
    return lambda root: put_truth(root / MAT, list(people))


def two_greys(root: Path) -> None:
    put_labels(root / "Annotations" / f"{BEAR}.png", object_labels(), palette=False)


def twice(root: Path) -> None:
    edit_json(root / COCO, lambda document: document["images"].append(document["images"][0]))


SA, NOTES = "sa_2.jpg", "sa_2.json"

BROKEN: dict[str, dict[str, tuple[Break, str]]] = {
    "sa1b": {
        "no JSON": (remove(NOTES), r"sa_2\.json: no such file"),
        "no photo": (remove(SA), r"sa_2\.json: no photo of this name"),
        "truncated photo": (truncate(SA), r"sa_2\.jpg: .*[Tt]runcated"),
        "empty photo": (write(SA, b""), r"sa_2\.jpg: the file is empty \(0 bytes\)"),
        "a page instead of a photo": (write(SA, b"<html>404</html>"), r"sa_2\.jpg: not a photo in a format"),
        "half a JSON": (truncate(NOTES), r"sa_2\.json: not JSON: \w+"),
        "a list": (edit(NOTES, lambda document: [document]), r"sa_2\.json: not an SA-1B file: a list"),
        "no list of masks": (without(NOTES, "annotations"), r"sa_2\.json: no list of annotations"),
        "no RLE": (runs(NOTES, 1, counts="\x01"), r"sa_2\.json: annotation 2: counts is no COCO"),
        "short RLE": (runs(NOTES, 0, counts="5"), r"sa_2\.json: annotation 1: runs cover 5 pixels"),
        "size of RLE": (runs(NOTES, 0, size=[3, 4]), r"sa_2\.json: annotation 1: mask of size \[3, 4\]"),
        "no number": (annotation(NOTES, 0, predicted_iou="x"), r"annotation 1: predicted_iou must be a number"),
        "size of photo": (photo(SA), r"sa_2\.json: masks are for a 12 x 16 photo, sa_2\.jpg is 5 x 6"),
        "swapped": (setting(NOTES, "image", "file_name", to="sa_7.jpg"), r"sa_2\.json: its masks are for 'sa_7\.jpg'"),
        "photo twice": (photo("sa_2.png", SIZE), r"sa_2\.png: there is also \S*sa_2\.jpg; this one is left out"),
    },
    "coco": {
        "no photo": (remove("val2017/000000000002.jpg"), r"000000000002\.jpg: no such file"),
        "size of photo": (photo("val2017/000000000003.jpg"), r"masks are for a 12 x 16 photo, 0+3\.jpg is 5 x 6"),
        "foreign image": (annotation(COCO, 1, image_id=77), r"_val2017\.json: annotation 11: image_id 77 is no"),
        "no image": (without(COCO, "annotations", 1, "image_id"), r"2017\.json: annotation 11: image_id None is no"),
        "id twice": (annotation(COCO, 1, id=10), r"_val2017\.json: annotation 10: its id occurs twice"),
        "image twice": (twice, r"_val2017\.json: image 1 \(0+1\.jpg\): listed twice"),
        "image without size": (without(COCO, "images", 2, "width"), r"2017\.json: image number 3: height and width"),
        "image without id": (without(COCO, "images", 2, "id"), r"2017\.json: image number 3: no whole-number id"),
        "climbing name": (setting(COCO, "images", 2, "file_name", to="../x.jpg"), r"image number 3: file_name must"),
        "short runs": (runs(COCO, 1, counts=[3]), r"val2017\.json: image 2: annotation 11: runs cover 3 pixels"),
        "no polygon": (annotation(COCO, 0, segmentation=[]), r"image 1: annotation 10: an empty list of polygons"),
        "two points": (annotation(COCO, 0, segmentation=[[1, 2, 3, 4]]), r"annotation 10: a polygon is a list"),
        "a box only": (without(COCO, "annotations", 0, "segmentation"), r"image 1: annotation 10: no segmentation"),
        "no annotation": (adding(COCO, "annotations", 7), r"annotation number 5 \(no whole-number id\): image_id None"),
        "crowd of five": (annotation(COCO, 0, iscrowd=5), r"annotation 10: iscrowd must be 0 or 1, got 5"),
    },
    "voc": {
        "no photo": (remove(f"{VOC}/JPEGImages/000032.jpg"), r"JPEGImages/000032\.jpg: no such file"),
        "no PNG": (remove(f"{DRAWN}/000032.png"), r"SegmentationObject/000032\.png: no such file"),
        "truncated PNG": (truncate(f"{DRAWN}/000032.png"), r"SegmentationObject/000032\.png: \w+"),
        "colours": (photo(f"{DRAWN}/000032.png", SIZE), r"000032\.png: labels are kept in PNG .* PNG of mode RGB"),
        "size of photo": (photo(f"{VOC}/JPEGImages/000032.jpg"), r"000032\.png: masks are for a 12 x 16 photo, 0+32"),
        "PNG only": (write(f"{DRAWN}/9.png", b""), r"SegmentationObject/9\.png: no photo of this name"),
        "listed twice": (write(VAL, b"000033\n\n000033\n"), r"val\.txt:3: '000033' is listed twice"),
        "a path in a list": (write(VAL, b"000033\na/b\n"), r"val\.txt:2: 'a/b' is not the name of a photo"),
    },
    "bsds500": {
        "no truth": (remove(MAT), r"test/2018\.mat: no such file"),
        "truncated truth": (truncate(MAT), r"test/2018\.mat: not a BSDS500 ground truth: \w+"),
        "no MAT": (write(MAT, b"x" * 200), r"test/2018\.mat: not a BSDS500 ground truth: \w+"),
        "nobody": (drawn(), r"test/2018\.mat: not a BSDS500 ground truth: \w+"),
        "real numbers": (drawn(np.full(SIZE, 0.5)), r"2018\.mat: not a .* whole numbers \(H, W\), got float64"),
        "size of photo": (drawn(np.ones((5, 6), np.uint16)), r"2018\.mat: masks are for a 5 x 6 photo, 2018\.jpg is"),
        "no photo": (remove("images/test/2018.jpg"), r"test/2018\.mat: no photo of this name in images/test"),
    },
    "davis": {
        "no PNG": (remove(f"Annotations/{BEAR}.png"), r"Annotations/480p/bear/00001\.png: no such file"),
        "no frame": (remove(f"JPEGImages/{BEAR}.jpg"), r"480p/bear/00001\.png: no frame of this name in JPEGImages"),
        "many greys": (two_greys, r"bear/00001\.png: a grey picture marks one object .* has \[1, 2, 255\]"),
    },
    "ade20k": {
        "no JSON": (remove(f"{ADE}.json"), r"ADE_train_1\.json: no such file"),
        "no size": (without(f"{ADE}.json", "annotation", "imsize"), r"ADE_train_1\.json: not an .*: no 'imsize'"),
        "no mask": (remove(f"{ADE}/instance_001_ADE_train_1.png"), r"instance_001_ADE_train_1\.png: no such file"),
        "size of mask": (photo(f"{ADE}/instance_001_ADE_train_1.png"), r"e_001_ADE_train_1\.png: labels are kept in"),
        "size of photo": (photo(f"{ADE}.jpg"), r"ADE_train_1\.json: masks are for a 12 x 16 photo, ADE_train_1\.jpg"),
        "no level": (without(f"{ADE}.json", "annotation", "object", 1, "parts"), r"\.json: object 1: no 'parts'"),
    },
    "images": {
        "truncated": (truncate("photo2.png"), r"photo2\.png: \w+"),
        "broken link": (lambda root: (root / "z.png").symlink_to("gone"), r"z\.png: no such file"),
    },
}
CASES = [(kind, name) for kind, cases in BROKEN.items() for name in cases]

CANNOT_BE_OPENED: list[tuple[str, Break, str, int]] = [
    ("coco", truncate(COCO), r"instances_val2017\.json: not JSON: \w+", 4),
    ("coco", edit(COCO, lambda document: [document]), r"not a COCO instances file: no list 'images'", 4),
    ("coco", without(COCO, "annotations"), r"not a COCO instances file: no list 'annotations'", 4),
    ("coco", edit(COCO, lambda _: {"images": [], "annotations": []}), r"data: no photos of coco", 2),
    ("coco", write("annotations/instances_x.json", b""), r"several instances files; name a split \(val2017, x\)", 2),
    ("voc", write(VAL, b"\xff\xfe\x00"), r"val\.txt: the list cannot be read: no UTF-8 text", 2),
    ("images", lambda root: [file.unlink() for file in root.iterdir()], r"no images data set; looked for photos", 2),
]
