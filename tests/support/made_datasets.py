"""Small data sets in the layouts of the published ones, with masks that are known."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from scipy.io import savemat

from segrobust.io.sa1b import write_sa1b
from segrobust.types import Bools, Masks, Pixels

SIZE = (12, 16)
TREE = "images/ADE/training/urban/street"


def put_photo(path: Path, number: int = 0, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
    Pillow.fromarray(pixels).save(path)
    return path


def put_labels(path: Path, labels: Pixels, *, palette: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Pillow.fromarray(labels)
    if palette:
        picture = picture.convert("P")
        picture.putdata(labels.ravel().tolist())
        picture.putpalette([value for colour in range(256) for value in (colour, 255 - colour, 7)])
    picture.save(path)
    return path


def two_masks(size: tuple[int, int] = SIZE) -> Bools:
    dense = np.zeros((2, *size), np.bool_)
    dense[0, 1:5, 2:9] = True
    dense[1, 6:11, 10:15] = True
    return dense


def object_labels() -> Pixels:
    """Objects 1 and 2 as in ``two_masks``; a void rim left of the first."""
    labels = np.zeros(SIZE, np.uint8)
    for number, mask in enumerate(two_masks(), 1):
        labels[mask] = number
    labels[1:5, 1] = 255
    return labels


def make_sa1b(root: Path, numbers: tuple[int, ...] = (1, 2, 10)) -> Path:
    for number in numbers:
        photo = put_photo(root / f"sa_{number}.jpg", number)
        write_sa1b(photo.with_suffix(".json"), Masks.from_dense(two_masks()), photo.name, number)
    return root


def make_tar(folder: Path, archive: Path, *, prefix: str = "./") -> Path:
    """An archive as SA-1B's are: every file of the folder, uncompressed."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, prefix + file.name)
    return archive


def make_voc(root: Path, names: tuple[str, ...] = ("000032", "000033")) -> Path:
    home = root / "VOCdevkit/VOC2007"
    for number, name in enumerate(names):
        put_photo(home / f"JPEGImages/{name}.jpg", number)
        put_labels(home / f"SegmentationObject/{name}.png", object_labels())
    lists = home / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text(f"{names[0]}\n")
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in names[1:]))
    return root


def make_davis(root: Path, *, year: int = 2016) -> Path:
    """Two sequences of two frames: 2016 grey with one object, 2017 in a palette with several and void."""
    frames = [(sequence, frame) for sequence in ("bear", "camel") for frame in ("00000", "00001")]
    for number, (sequence, frame) in enumerate(frames):
        put_photo(root / f"JPEGImages/480p/{sequence}/{frame}.jpg", number)
        labels = object_labels() if year == 2017 else two_masks()[0].astype(np.uint8) * 255
        put_labels(root / f"Annotations/480p/{sequence}/{frame}.png", labels, palette=year == 2017)
    lists = root / "ImageSets" / ("2017" if year == 2017 else "480p")
    lists.mkdir(parents=True)
    line = "/JPEGImages/480p/camel/{0}.jpg /Annotations/480p/camel/{0}.png\n"
    listed = "camel\n" if year == 2017 else "".join(line.format(frame) for frame in ("00000", "00001"))
    (lists / "val.txt").write_text(listed)
    return root


def make_bsds(root: Path) -> Path:
    """Two people per photo: the first drew three regions that fill it, the second one."""
    for number, (split, name) in enumerate([("train", "2092"), ("test", "100007"), ("test", "2018")]):
        put_photo(root / f"images/{split}/{name}.jpg", number)
        put_truth(root / f"groundTruth/{split}/{name}.mat", [bsds_labels(), np.ones(SIZE, np.uint16)])
    return root


def bsds_labels() -> Any:
    labels = np.ones(SIZE, np.uint16)
    labels[two_masks()[0]], labels[two_masks()[1]] = 2, 3
    return labels


def put_truth(path: Path, drawn: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.empty((1, len(drawn)), object)
    for index, labels in enumerate(drawn):
        cells[0, index] = {"Segmentation": labels, "Boundaries": np.zeros(SIZE, np.uint8)}
    savemat(path, {"groundTruth": cells})
    return path


def make_ade(root: Path) -> Path:
    """One photo: two objects, the second partly hidden; a part; an object of which nothing is visible."""
    folder = root / TREE
    photo = put_photo(folder / "ADE_train_1.jpg")
    first, second = two_masks()
    hidden = second.astype(np.uint8) * 255
    hidden[6, 10:15] = 128
    pictures = [first.astype(np.uint8) * 255, hidden, first.astype(np.uint8) * 255, first.astype(np.uint8) * 128]
    objects = []
    for number, (picture, level) in enumerate(zip(pictures, (0, 0, 1, 0), strict=True)):
        name = f"{photo.stem}/instance_{number:03}_{photo.stem}.png"
        put_labels(folder / name, picture, palette=False)
        objects.append({"id": number, "instance_mask": name, "parts": {"part_level": level}})
    put_photo(folder / f"{photo.stem}_seg.png")
    annotation = {"filename": photo.name, "imsize": [*SIZE, 3], "object": objects}
    photo.with_suffix(".json").write_text(json.dumps({"annotation": annotation}))
    return root


def coco_document() -> dict[str, Any]:
    """Photo 1: a polygon, two polygons as one object, and a crowd; photo 2: run lengths; photo 3: nothing."""
    height, width = SIZE
    images = [{"id": n, "file_name": f"{n:012}.jpg", "height": height, "width": width} for n in (1, 2, 3)]
    crowd = [0] + [3 * height] + [height * (width - 3)]  # the three columns on the left
    segments: list[tuple[int, Any, int]] = [
        (1, [[2.5, 1.5, 9.2, 1.0, 8.0, 7.5]], 0),
        (2, {"size": [height, width], "counts": [20, 30, height * width - 50]}, 0),
        (1, [[0, 0, 4, 0, 4, 4, 0, 4], [10, 6, 15, 6, 15, 11, 10, 11]], 0),
        (1, {"size": [height, width], "counts": crowd}, 1),
    ]
    annotations = [
        {"id": 10 + n, "image_id": image, "segmentation": segmentation, "iscrowd": crowd, "category_id": 1}
        for n, (image, segmentation, crowd) in enumerate(segments)
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}


def make_coco(root: Path, split: str = "val2017") -> Path:
    for number in (1, 2, 3):
        put_photo(root / f"{split}/{number:012}.jpg", number)
    edit_json(root / f"annotations/instances_{split}.json", lambda _: coco_document())
    return root


def make_images(root: Path) -> Path:
    for number in (1, 2, 10):
        put_photo(root / f"photo{number}.png", number)
    return root


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file in place: the function returns another document, or alters the one it is given."""
    document = json.loads(path.read_text()) if path.exists() else None
    changed = change(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document if changed is None else changed))


def jpeg_bytes(number: int = 0) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(number).integers(0, 256, (*SIZE, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


MAKERS: dict[str, Callable[[Path], Path]] = {
    "sa1b": make_sa1b,
    "voc": make_voc,
    "davis": make_davis,
    "bsds500": make_bsds,
    "ade20k": make_ade,
    "coco": make_coco,
    "images": make_images,
}
