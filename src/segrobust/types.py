"""The shapes that travel between the rooms: frozen, and checked when they are made.

Units, everywhere: pixels are those of the original photo; points are ``(x, y)`` with ``(0, 0)`` the centre of the
top-left pixel; boxes are ``xyxy``; IoU is in [0, 1]; epsilon is a share of the pixel range, written ``8/255``.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypedDict, cast, get_args

import numpy as np
from numpy.typing import NDArray

from segrobust.errors import BudgetError

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

Norm = Literal["linf", "l2", "contrast"]


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False)
class Image:
    """A photo at its original resolution.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB.
        name: what to call it in tables and file names.
        path: where it was read from, if it was.
    """

    pixels: Pixels
    name: str = "image"
    path: Path | None = None

    def __post_init__(self) -> None:
        p = self.pixels
        if not isinstance(p, np.ndarray) or p.dtype != np.uint8 or p.ndim != 3 or p.shape[2] != 3:
            got = f"{getattr(p, 'dtype', type(p).__name__)} {getattr(p, 'shape', '')}"
            raise ValueError(f"an Image holds uint8 (H, W, 3) RGB pixels, got {got}")
        if min(p.shape[:2]) < 1:
            raise ValueError(f"an Image holds at least one pixel, got shape {p.shape}")
        object.__setattr__(self, "pixels", _frozen(np.ascontiguousarray(p)))

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of size and pixels: the photo's identity, whatever its file is called or how it was compressed."""
        head = f"{self.height}x{self.width}:".encode()
        return hashlib.sha256(head + self.pixels.tobytes()).hexdigest()


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
            object.__setattr__(self, name, _frozen(array))
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


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts for one image; each asks for one mask.

    Attributes:
        points: ``(p, 2)`` xy, one positive click each.
        point_masks: ``(p,)`` index of the mask each point asks for.
        boxes: ``(b, 4)`` xyxy.
        box_masks: ``(b,)`` index of the mask each box asks for.
    """

    points: Floats
    point_masks: Ints
    boxes: Floats
    box_masks: Ints

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[1] != 2 or self.point_masks.shape != self.points.shape[:1]:
            raise ValueError(
                f"points must be (p, 2) with p mask ids, got {self.points.shape}, {self.point_masks.shape}"
            )
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or self.box_masks.shape != self.boxes.shape[:1]:
            raise ValueError(f"boxes must be (b, 4) with b mask ids, got {self.boxes.shape}, {self.box_masks.shape}")
        if not (np.isfinite(self.points).all() and np.isfinite(self.boxes).all()):
            raise ValueError("points and boxes must be finite")
        if np.any(self.boxes[:, 2:] < self.boxes[:, :2]):
            bad = self.boxes[np.any(self.boxes[:, 2:] < self.boxes[:, :2], axis=1)][0]
            raise ValueError(f"boxes are xyxy: x1 <= x2 and y1 <= y2, got {bad.tolist()}")
        for name in ("points", "point_masks", "boxes", "box_masks"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))

    @classmethod
    def of(
        cls,
        points: Sequence[Sequence[float]] | Floats = (),
        boxes: Sequence[Sequence[float]] | Floats = (),
        point_masks: Sequence[int] | Ints | None = None,
        box_masks: Sequence[int] | Ints | None = None,
    ) -> "Prompts":
        """Prompts from plain sequences; without mask ids they are numbered 0, 1, 2 ..."""
        p = np.asarray(points, np.float64) if len(points) else np.zeros((0, 2))
        b = np.asarray(boxes, np.float64) if len(boxes) else np.zeros((0, 4))
        p_ids = np.arange(len(p)) if point_masks is None else np.asarray(point_masks, np.int64)
        b_ids = np.arange(len(b)) if box_masks is None else np.asarray(box_masks, np.int64)
        return cls(p, p_ids.astype(np.int64), b, b_ids.astype(np.int64))

    def __len__(self) -> int:
        return len(self.points) + len(self.boxes)


@dataclass(frozen=True)
class Budget:
    """How far a perturbation may go, on the original pixels.

    Attributes:
        epsilon: in units of the pixel range, as an exact fraction (``Fraction(8, 255)``).
        norm: ``linf``: no value changes by more. ``l2``: the root of the sum of all squared changes is no more; it is
            of the whole photo, so the same number is less on a larger one. ``contrast``: as ``linf``, but on flat areas
            only a part of epsilon is allowed (``segrobust.attacks.budget.contrast_share``).
    """

    epsilon: Fraction
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        if not isinstance(self.epsilon, Fraction):
            raise BudgetError(f"epsilon must be a Fraction, got {self.epsilon!r}; use Budget.parse('8/255')")
        if self.norm not in get_args(Norm):
            raise BudgetError(f"norm {self.norm!r} is not one of {', '.join(get_args(Norm))}")
        if self.epsilon < 0 or (self.norm != "l2" and self.epsilon > 1):
            raise BudgetError(_out_of_range(str(self.epsilon)))

    @classmethod
    def parse(cls, text: "str | float | Fraction | Budget") -> "Budget":
        """Read ``8/255``, ``0.0314`` or ``8px`` (8 levels of 255); ``l2:3.0`` or ``contrast:8/255`` for other norms.

        Raises:
            BudgetError: not a number, negative, or larger than the pixel range; a bare ``8`` is told ``8/255``.
        """
        if isinstance(text, Budget):
            return text
        norm, colon, plain = str(text).strip().lower().rpartition(":")
        if colon and norm not in get_args(Norm):
            raise BudgetError(f"norm {norm!r} of epsilon {str(text)!r} is not one of {', '.join(get_args(Norm))}")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:px|/\s*255)", plain)
        try:
            value = Fraction(match[1]) / 255 if match else Fraction(plain)
        except (ValueError, ZeroDivisionError):
            raise BudgetError(f"epsilon {str(text)!r} is not a number; write it like 8/255, 0.0314 or 8px") from None
        if value < 0 or (value > 1 and norm != "l2"):
            raise BudgetError(_out_of_range(plain))
        return cls(value, cast("Norm", norm or "linf"))

    @property
    def value(self) -> float:
        """Epsilon as a float."""
        return float(self.epsilon)

    @property
    def levels(self) -> int:
        """The largest change of an 8-bit pixel value that can be inside the budget."""
        # A decimal like 0.0314 (8/255 = 0.031372...) must not lose a level to its last digit.
        return min(255, int(self.epsilon * 255 + Fraction(1, 1000)))

    def __str__(self) -> str:
        if self.norm == "l2":
            number = f"{self.value:.12g}"
            return f"l2:{number if Fraction(number) == self.epsilon else self.epsilon}"
        levels = f"{float(self.epsilon * 255):.12g}"
        exact = "e" not in levels and Fraction(levels) / 255 == self.epsilon
        plain = f"{levels}/255" if exact else str(self.epsilon)
        return plain if self.norm == "linf" else f"{self.norm}:{plain}"


def _out_of_range(text: str) -> str:
    advice = f"; did you mean {text}/255?" if re.fullmatch(r"\d+(\.\d+)?", text) and float(text) <= 255 else ""
    return f"epsilon {text} is outside the pixel range (images are in [0, 1]){advice}"


@dataclass(frozen=True, eq=False)
class AttackResult:
    """What an attack returns; the scores are made by someone else, from the saved file.

    Attributes:
        image: the adversarial photo, 8 bits, original resolution.
        attack: the recipe's name.
        protocol: where the perturbation lived: ``strict`` or ``paper``.
        budget: the budget it was given.
        seed: the seed its streams were derived from.
        loss: the objective before each step, and after the last one.
        encoder_forward: images that went through the encoder.
        encoder_backward: images whose gradient came back.
        seconds: wall time of the attack.
        guide: the guide picture it used, if any.
        notes: conditions worth a line in the record.
        settings: everything the recipe was made of, as plain values.
        queries: how often the target was asked, by attacks that only ask.
        float_to_8bit: the share of what the steps gained, from the photo's own loss to the last image's, that saving
            in 8 bits gave back; None where there is no gain to speak of.
    """

    image: Image
    attack: str
    protocol: Literal["strict", "paper"]
    budget: Budget
    seed: int
    loss: tuple[float, ...]
    encoder_forward: int
    encoder_backward: int
    seconds: float
    guide: Pixels | None = None
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    queries: int = 0
    float_to_8bit: float | None = None
