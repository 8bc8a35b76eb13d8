"""Mask logits back to the photo's resolution, only where the mask is.

A mask usually fills a small part of the photo. Restoring is bilinear, so a restored logit is a weighted mean of
low-resolution ones: wherever those are all below a level, so is it. The window outside which that holds is found in
low resolution, and only the window is computed. Nothing is approximated: it equals ``Geometry.restore``, up to the
rounding of float32.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from segrobust.io.rle import encode_part
from segrobust.models.geometry import Geometry
from segrobust.types import RLE, Ints

_DENSE_SHARE = 0.25
"""Above this share of the photo one full restore is faster than the two matrix products of a window."""


@dataclass(frozen=True, eq=False)
class Window:
    """Logits of a part of a photo.

    Attributes:
        logits: ``(h, w)`` float32, at the photo's resolution.
        x0: its left column in the photo.
        y0: its top row in the photo.
    """

    logits: NDArray[np.float32]
    x0: int
    y0: int

    def box(self) -> tuple[int, int, int, int] | None:
        """The xyxy of the pixels above 0, far edge inclusive; None if there are none."""
        mask = self.logits > 0
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return None
        x0, x1, y0, y1 = columns[0], columns[-1], rows[0], rows[-1]
        return self.x0 + int(x0), self.y0 + int(y0), self.x0 + int(x1), self.y0 + int(y1)

    def stability(self, offset: float) -> float:
        """IoU of the masks at logit ``offset`` and ``-offset``; 0 when both are empty.

        Every pixel above ``-offset`` must lie in the window.
        """
        outer = np.count_nonzero(self.logits > -offset)
        return np.count_nonzero(self.logits > offset) / outer if outer else 0.0

    def encode(self, size: tuple[int, int], shift: tuple[int, int] = (0, 0)) -> RLE:
        """The mask (logits above 0) in a photo of ``size``, after a shift by ``(x, y)`` pixels, as COCO RLE."""
        return encode_part(self.logits > 0, size, (self.y0 + shift[1], self.x0 + shift[0]))


@dataclass(frozen=True, eq=False)
class _Axis:
    """Restoring along one axis: ``(out, low)`` weights, and the first and last low index that reach each output."""

    weights: Tensor
    first: Ints
    last: Ints

    def reach(self, low: Ints) -> tuple[slice, slice]:
        """The output positions that ``low`` (ascending) reaches, and all low positions that those depend on."""
        start = int(np.searchsorted(self.last, low[0], side="left"))
        stop = int(np.searchsorted(self.first, low[-1], side="right"))
        if start >= stop:
            return slice(0, 0), slice(0, 0)
        return slice(start, stop), slice(int(self.first[start]), int(self.last[stop - 1]) + 1)


def _axis(low: int, geometry: Geometry, dimension: int, device: torch.device) -> _Axis:
    """``Geometry.restore`` in one dimension (0 = rows, 1 = columns), as a matrix."""
    unit = torch.eye(low)[None]
    if geometry.enlarge:
        unit = F.interpolate(unit, geometry.side, mode="linear", align_corners=False)
        unit = unit[..., : geometry.resized[dimension]]
    weights = F.interpolate(unit, geometry.original[dimension], mode="linear", align_corners=False)[0].T
    used = weights.numpy() != 0
    first = used.argmax(axis=1)
    last = low - 1 - used[:, ::-1].argmax(axis=1)
    return _Axis(weights.contiguous().to(device), first.astype(np.int64), last.astype(np.int64))


class Restorer:
    """Restores windows of low-resolution logits.

    Args:
        geometry: of the photo in the model. A subclass with a ``restore`` of its own is restored whole, every time.
        low: ``(h, w)`` of the logits.
        device: where the logits are.
    """

    def __init__(self, geometry: Geometry, low: tuple[int, int], device: torch.device) -> None:
        self._geometry = geometry
        self._axes: tuple[_Axis, _Axis] | None = None
        if type(geometry).restore is Geometry.restore:
            self._axes = _axis(low[0], geometry, 0, device), _axis(low[1], geometry, 1, device)

    def window(self, logits: Tensor, above: float) -> Window | None:
        """The smallest window, to within a low-resolution pixel, that holds every restored logit over ``above``.

        Args:
            logits: ``(h, w)`` low resolution.
            above: the level; what is outside the window is at most this.

        Returns:
            None if no pixel of the photo can be above the level.
        """
        if self._axes is None:
            return Window(self._whole(logits).cpu().numpy(), 0, 0)
        high = (logits > above).cpu().numpy()
        if not high.any():
            return None
        y, rows = self._axes[0].reach(np.flatnonzero(high.any(axis=1)))
        x, columns = self._axes[1].reach(np.flatnonzero(high.any(axis=0)))
        area = (y.stop - y.start) * (x.stop - x.start)
        if not area:  # only in the padding
            return None
        if area > _DENSE_SHARE * self._geometry.original[0] * self._geometry.original[1]:
            part = self._whole(logits)[y, x]
        else:
            left, right = self._axes[0].weights[y, rows], self._axes[1].weights[x, columns]
            part = left @ logits[rows, columns].float() @ right.T
        return Window(part.cpu().numpy(), x.start, y.start)

    def encode(self, logits: Tensor) -> RLE:
        """The mask (restored logits above 0) of ``(h, w)`` low-resolution logits, at the photo's resolution."""
        window = self.window(logits, above=0)
        return (window or Window(np.zeros((0, 0), np.float32), 0, 0)).encode(self._geometry.original)

    def _whole(self, logits: Tensor) -> Tensor:
        return self._geometry.restore(logits[None, None].float())[0, 0]
