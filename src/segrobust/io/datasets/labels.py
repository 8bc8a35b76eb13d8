"""Masks from pictures whose pixels say which object they belong to."""

from collections.abc import Iterable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from segrobust.io.datasets.source import File
from segrobust.io.decoding import decode_labels
from segrobust.types import RLE, Masks, Pixels, encode_mask

VOID = 255
"""The label of pixels of which nobody says what they are, in PASCAL VOC and DAVIS 2017."""


def read_labels(file: File) -> tuple[Pixels, bool]:
    """The labels ``(H, W)`` in a PNG, and whether they are indices of a palette.

    Raises:
        PhotoError: missing, truncated, or not such a PNG.
    """
    return decode_labels(BytesIO(file.read()), file)


def regions(labels: NDArray[np.integer], wanted: Iterable[int]) -> Masks:
    """One mask for each of the wanted labels, in that order."""
    size = (int(labels.shape[0]), int(labels.shape[1]))
    return Masks.from_rles(size, [encode_mask(labels == label) for label in wanted])


def void_of(labels: Pixels) -> RLE | None:
    """The pixels labelled ``VOID``; None if there are none."""
    void = labels == VOID
    return encode_mask(void) if void.any() else None


def present(labels: NDArray[np.integer], leave_out: Iterable[int] = (0,)) -> list[int]:
    """The labels that occur, ascending, without some."""
    return [int(label) for label in np.unique(labels) if int(label) not in set(leave_out)]
