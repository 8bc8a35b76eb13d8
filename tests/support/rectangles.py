"""Masks that are rectangles, by hand and by hypothesis."""

import numpy as np
from hypothesis import strategies as st

from segrobust.types import Masks

Box = tuple[int, int, int, int]


def boxes(size: tuple[int, int], *xyxy: Box) -> Masks:
    """Masks that are rectangles, far edge exclusive."""
    dense = np.zeros((len(xyxy), *size), np.bool_)
    for mask, (x0, y0, x1, y1) in zip(dense, xyxy, strict=True):
        mask[y0:y1, x0:x1] = True
    return Masks.from_dense(dense)


@st.composite
def overlapping(draw: st.DrawFn, side: int = 40, most: int = 6) -> Masks:
    """Up to ``most`` rectangles on a photo of at most ``side`` x ``side``; some empty, some the same."""
    height, width = draw(st.tuples(st.integers(1, side), st.integers(1, side)))
    corner = st.tuples(st.integers(0, width), st.integers(0, height))
    pairs = draw(st.lists(st.tuples(corner, corner), max_size=most))
    return boxes((height, width), *((*map(min, a, b), *map(max, a, b)) for a, b in pairs))  # type: ignore[arg-type]
