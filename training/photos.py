"""Read the annotated training photos into one compact archive: pixels and region maps at no more than 416 px.

Regions are label maps: 0 is "not annotated", 1.. are regions. A photo may have several maps (BSDS500 has one
per annotator). Evaluation photos (sa1b, BSDS500 test) are never read here.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from scipy.io import loadmat
from scipy.ndimage import label as connected_components

LONG_SIDE = 416


@dataclass
class Annotated:
    """A photo ``(H, W, 3)`` uint8 and its region maps ``(H, W)`` uint8."""

    image: np.ndarray
    maps: list[np.ndarray]


def _shrink(image: np.ndarray, maps: list[np.ndarray], long_side: int = LONG_SIDE) -> Annotated:
    scale = min(1.0, long_side / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    small = [cv2.resize(m.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) for m in maps]
    return Annotated(cv2.resize(image, size, interpolation=cv2.INTER_AREA), small)


def _read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def bsds(root: Path, splits: tuple[str, ...], long_side: int = LONG_SIDE) -> Iterator[tuple[str, Annotated]]:
    """BSDS500 photos with every annotator's segmentation."""
    for split in splits:
        for path in sorted((root / "images" / split).glob("*.jpg")):
            truth = loadmat(root / "groundTruth" / split / f"{path.stem}.mat")["groundTruth"]
            maps = [truth[0, k]["Segmentation"][0, 0] for k in range(truth.shape[1])]
            yield f"bsds500/{path.stem}", _shrink(_read(path), [m for m in maps if m.max() < 255], long_side)


def coco(root: Path) -> Iterator[tuple[str, Annotated]]:
    """COCO instances, large ones painted first; crowds are left out."""
    truth = json.loads((root / "annotations" / "instances.json").read_text())
    by_image: dict[int, list[dict]] = {}
    for annotation in truth["annotations"]:
        if not annotation["iscrowd"]:
            by_image.setdefault(annotation["image_id"], []).append(annotation)
    for entry in sorted(truth["images"], key=lambda e: e["id"]):
        annotations = sorted(by_image.get(entry["id"], []), key=lambda a: -a["area"])[:250]
        if not annotations:
            continue
        regions = np.zeros((entry["height"], entry["width"]), np.uint8)
        for number, annotation in enumerate(annotations, start=1):
            rle = coco_mask.merge(coco_mask.frPyObjects(annotation["segmentation"], *regions.shape))
            regions[coco_mask.decode(rle) > 0] = number
        yield f"coco/{entry['id']}", _shrink(_read(root / "images" / entry["file_name"]), [regions])


def voc(root: Path) -> Iterator[tuple[str, Annotated]]:
    """VOC 2007 objects; the void rim (255) counts as not annotated."""
    from PIL import Image

    for path in sorted((root / "SegmentationObject").glob("*.png")):
        regions = np.array(Image.open(path))
        regions[regions == 255] = 0
        yield f"voc/{path.stem}", _shrink(_read(root / "JPEGImages" / f"{path.stem}.jpg"), [regions])


def davis(root: Path) -> Iterator[tuple[str, Annotated]]:
    """DAVIS 2016 frames with their one foreground object."""
    for path in sorted((root / "Annotations" / "480p").glob("*/*.png")):
        regions = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 127).astype(np.uint8)
        photo = root / "JPEGImages" / "480p" / path.parent.name / f"{path.stem}.jpg"
        yield f"davis/{path.parent.name}-{path.stem}", _shrink(_read(photo), [regions])


def camvid(root: Path) -> Iterator[tuple[str, Annotated]]:
    """CamVid frames; each connected piece of a class (11 = void) larger than 0.1 % of the frame is a region."""
    for path in sorted((root / "trainannot").glob("*.png")):
        classes = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        regions = np.zeros_like(classes)
        count = 0
        for value in range(11):
            pieces, found = connected_components(classes == value)
            for piece in range(1, found + 1):
                where = pieces == piece
                if where.sum() > 0.001 * where.size and count < 254:
                    count += 1
                    regions[where] = count
        yield f"camvid/{path.stem}", _shrink(_read(root / "train" / path.name), [regions])


def training_photos(root: Path) -> dict[str, Annotated]:
    """Every training photo below ``root`` (the layout of the project's data folder), by name."""
    photos = dict(bsds(root / "bsds500", ("train", "val")))
    photos.update(coco(root / "coco"))
    photos.update(voc(root / "voc" / "VOCdevkit" / "VOC2007"))
    photos.update(davis(root / "davis"))
    photos.update(camvid(root / "camvid"))
    return photos
