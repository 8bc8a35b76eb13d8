"""The masks of a photo, as COCO run lengths."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from segrobust.types.arrays import Bools, Floats, Ints, frozen


class RLE(TypedDict):
    """A mask in COCO's compressed run-length encoding."""

    size: list[int]
    counts: str


def encode_mask(mask: Bools) -> RLE:
    """COCO RLE of one ``(H, W)`` boolean mask."""
    from pycocotools import mask as coco

    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return RLE(size=[int(s) for s in rle["size"]], counts=rle["counts"].decode("ascii"))


def decode_mask(rle: RLE) -> Bools:
    """The ``(H, W)`` boolean mask of a COCO RLE."""
    from pycocotools import mask as coco

    decoded: Bools = coco.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")}).astype(np.bool_)
    return decoded


@dataclass(frozen=True, eq=False)
class Masks:
    """n binary masks of one image, kept compressed; dense only when asked for.

    Attributes:
        size: ``(height, width)`` of the image.
        rles: n masks in COCO RLE.
        boxes: ``(n, 4)`` xyxy of each mask's pixels; the far edge is exclusive.
        areas: ``(n,)`` pixels.
        predicted_iou: ``(n,)`` the model's own estimate, NaN where there is none.
        stability: ``(n,)`` stability score in [0, 1], NaN where there is none.
        points: ``(n, 2)`` xy of the prompt that found the mask, NaN where there is none.
    """

    size: tuple[int, int]
    rles: tuple[RLE, ...]
    boxes: Floats
    areas: Ints
    predicted_iou: Floats
    stability: Floats
    points: Floats

    def __post_init__(self) -> None:
        n = len(self.rles)
        shapes = {
            "boxes": (n, 4), "areas": (n,), "predicted_iou": (n,), "stability": (n,), "points": (n, 2)
        }  # fmt: skip
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise ValueError(f"Masks.{name} must have shape {shape} for {n} masks, got {array.shape}")
            object.__setattr__(self, name, frozen(array))
        for rle in self.rles:
            if tuple(rle["size"]) != tuple(self.size):
                raise ValueError(f"a mask has size {rle['size']}, the image {list(self.size)}")

    @classmethod
    def from_rles(
        cls,
        size: tuple[int, int],
        rles: Sequence[RLE],
        predicted_iou: Sequence[float] | Floats | None = None,
        stability: Sequence[float] | Floats | None = None,
        points: Sequence[Sequence[float]] | Floats | None = None,
    ) -> "Masks":
        """Masks from RLEs; boxes and areas are computed."""
        from pycocotools import mask as coco

        n = len(rles)
        xywh, areas = np.zeros((n, 4)), np.zeros(n, np.int64)
        # One by one: a list would be held decoded as a whole, and pycocotools 2.0.11 has no areas for more than 255.
        for i, rle in enumerate(rles):
            raw = {"size": rle["size"], "counts": rle["counts"].encode("ascii")}
            xywh[i], areas[i] = coco.toBbox(raw), coco.area(raw)

        def column(values: Any, width: int = 0) -> Floats:
            shape = (n, width) if width else (n,)
            return np.full(shape, np.nan) if values is None else np.asarray(values, np.float64).reshape(shape)

        return cls(
            size=(int(size[0]), int(size[1])),
            rles=tuple(rles),
            boxes=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
            areas=areas,
            predicted_iou=column(predicted_iou),
            stability=column(stability),
            points=column(points, 2),
        )

    @classmethod
    def from_dense(cls, masks: Bools, **columns: Any) -> "Masks":
        """Masks from ``(n, H, W)`` booleans; ``columns`` as in :meth:`from_rles`."""
        if masks.dtype != np.bool_ or masks.ndim != 3:
            raise ValueError(f"dense masks must be bool (n, H, W), got {masks.dtype} {masks.shape}")
        return cls.from_rles((masks.shape[1], masks.shape[2]), [encode_mask(m) for m in masks], **columns)

    def __len__(self) -> int:
        return len(self.rles)

    def mask(self, index: int) -> Bools:
        """One mask as ``(H, W)`` bool."""
        return decode_mask(self.rles[index])

    def __iter__(self) -> Iterator[Bools]:
        return (decode_mask(rle) for rle in self.rles)

    def dense(self) -> Bools:
        """All masks as ``(n, H, W)`` bool: n x H x W bytes."""
        return np.stack(list(self)) if self.rles else np.zeros((0, *self.size), np.bool_)

    def select(self, indices: Sequence[int] | Ints) -> "Masks":
        """The masks at ``indices``, in that order."""
        chosen = np.asarray(indices, np.int64)
        return Masks(
            size=self.size,
            rles=tuple(self.rles[int(i)] for i in chosen),
            boxes=self.boxes[chosen],
            areas=self.areas[chosen],
            predicted_iou=self.predicted_iou[chosen],
            stability=self.stability[chosen],
            points=self.points[chosen],
        )
