"""A budget that is spent where boundaries are: all of epsilon in a band around them, less or nothing elsewhere."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segrobust.errors import NoMasksError, UsageError
from segrobust.regions.outlines import near_edges
from segrobust.types import Bools, Budget, Masks

Share = NDArray[np.bool_ | np.float32]
"""How much of epsilon each pixel may be changed by, ``(H, W)``: bool (all or nothing), or numbers in [0, 1]."""


@dataclass(frozen=True)
class Band:
    """Which pixels have all of epsilon: those near an edge of a mask that the model finds on the photo (ours).

    Attributes:
        pixels: how many on each side of an edge, see ``regions.outlines.near_edges``; at least 1.
        outside: the share of epsilon elsewhere, in [0, 1); 0 = nothing is changed there.
        elsewhere: a control: the same band, moved by half the photo in both directions (what leaves it comes in again).
    """

    pixels: int
    outside: float = 0.0
    elsewhere: bool = False

    def __post_init__(self) -> None:
        if self.pixels < 1:
            raise UsageError(f"band is a number of pixels on each side of a boundary, at least 1, got {self.pixels}")
        if not 0 <= self.outside < 1:
            raise UsageError(f"outside is a share of epsilon, at least 0 and below 1, got {self.outside}")

    def share(self, masks: Masks) -> Share:
        """What share of epsilon each pixel has.

        Raises:
            NoMasksError: no mask has an edge, and nothing may be changed elsewhere.
        """
        near = near_edges(masks, self.pixels)
        if self.elsewhere:
            near = np.roll(near, (masks.size[0] // 2, masks.size[1] // 2), axis=(0, 1))
        if self.outside:
            return np.where(near, 1.0, self.outside).astype(np.float32)
        if not near.any():
            raise NoMasksError("the model finds no boundaries on the photo, so there is no band to change")
        return near


def confine(
    region: Bools | None, band: Band | None, masks: Callable[[], Masks], budget: Budget, notes: list[str]
) -> Share | None:
    """Where a perturbation may be, and how much of epsilon it has there; None: everywhere, all of it.

    Args:
        region: the only pixels that may be changed; None: all.
        band: where all of epsilon is spent; None: everywhere.
        masks: gives the masks of the photo; called if there is a band.
        budget: under L2 a band may have nothing outside of it, but no part of epsilon: that norm is of whole photos.
        notes: is told what may change.

    Raises:
        UsageError: a part of epsilon under L2, or region and band have no pixel in common.
        NoMasksError: see :meth:`Band.share`.
    """
    if region is not None:
        notes.append(f"only {int(region.sum())} of {region.size} pixels may change")
    if band is None:
        return region
    if band.outside and budget.norm == "l2":
        raise UsageError(
            f"outside={band.outside} is a share of what one value may change by, which {budget} does not say"
        )
    share = band.share(masks())
    if region is not None:
        share = share * region
    if not share.any():
        raise UsageError("the region holds no pixel of the band")
    full = int((share == 1).sum())
    notes.append(f"all of epsilon on {full} of {share.size} pixels, {band.outside:g} of it elsewhere")
    return share
