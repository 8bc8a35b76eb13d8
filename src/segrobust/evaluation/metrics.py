"""The numbers: overlap of masks, attack success, and how visible a perturbation is. Pure functions on numpy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment

from segrobust.types import RLE, Bools, Floats, Masks, Pixels, Prompts


@dataclass(frozen=True)
class PromptScores:
    """Scores over the prompts of one or many photos (a mean over prompts, as UAD and RGA report it).

    Attributes:
        miou: mean IoU in [0, 1]; NaN if no prompt could be scored (n is 0).
        asr50: attack success rate: share of prompts with IoU <= 0.50, in [0, 1]; NaN as above.
        asr10: the same at 0.10.
        n: prompts that were scored.
        skipped: prompts left out, because their reference is empty.
    """

    miou: float
    asr50: float
    asr10: float
    n: int
    skipped: int


def iou(a: Bools, b: Bools) -> float:
    """Intersection over union of two ``(H, W)`` boolean masks, in [0, 1]; NaN if both are empty (it is undefined).

    Raises:
        ValueError: not boolean, or of different shapes.
    """
    if a.dtype != np.bool_ or b.dtype != np.bool_ or a.shape != b.shape:
        raise ValueError(f"masks must be bool of one shape, got {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else math.nan


def prompt_ious(reference: Masks, predicted: Masks, *, both_empty: float | None) -> Floats:
    """IoU of each prediction with its own reference, without decoding a mask.

    Source: the edge rules of this package (``docs/protocol.md``); the official scripts let 0/0 poison the mean.

    Args:
        reference: n masks, one per prompt: ``masks.select(ids)`` with the ids of the prompts.
        predicted: n masks, one per prompt, of the same photo.
        both_empty: with a clean prediction as reference, 1.0: two empty masks agree, and an empty mask against one
            that is not scores 0. With an annotation as reference, None: an empty reference asks for nothing, so its
            prompt is skipped whatever was predicted. An empty prediction of something scores 0 either way.

    Returns:
        ``(n,)`` float64 in [0, 1]; NaN marks the skipped, which :func:`summarise` counts and leaves out.

    Raises:
        ValueError: different numbers of masks, or of photos of different sizes.
    """
    if len(reference) != len(predicted):
        raise ValueError(f"one prediction per reference, got {len(reference)} and {len(predicted)} masks")
    _same_size(reference, predicted)
    ious = np.zeros(len(reference), np.float64)
    for i, (wanted, got) in enumerate(zip(reference.areas > 0, predicted.areas > 0, strict=True)):
        if wanted and got:
            ious[i] = _rle_ious([predicted.rles[i]], [reference.rles[i]])[0, 0]
        elif not wanted and both_empty is None:
            ious[i] = np.nan
        elif not wanted and not got:
            ious[i] = both_empty
    return ious


def summarise(ious: Floats) -> PromptScores:
    """Mean IoU and attack success rates of prompts; NaN counts as skipped and enters no mean.

    Source: UAD and RGA ``eval.py``: ASR@t = share of prompts with IoU <= t, inclusive. Theirs are in percent.

    Args:
        ious: ``(n,)`` in [0, 1] or NaN, from :func:`prompt_ious`; several photos may be concatenated.
    """
    scored = ious[~np.isnan(ious)]
    n, skipped = int(scored.size), int(ious.size - scored.size)
    if n == 0:
        return PromptScores(math.nan, math.nan, math.nan, 0, skipped)
    asr50, asr10 = (float(np.count_nonzero(scored <= t) / n) for t in (0.5, 0.1))
    return PromptScores(float(scored.mean()), asr50, asr10, n, skipped)


def summarise_by_kind(ious: Floats, prompts: Prompts) -> dict[str, PromptScores]:
    """:func:`summarise` over ``all`` prompts, ``points`` and ``boxes``, in the order models answer: points first.

    Raises:
        ValueError: not one IoU per prompt.
    """
    if ious.shape != (len(prompts),):
        raise ValueError(f"one IoU per prompt, got {ious.shape} for {len(prompts)} prompts")
    split = len(prompts.points)
    return {"all": summarise(ious), "points": summarise(ious[:split]), "boxes": summarise(ious[split:])}


def matched_miou(reference: Masks, predicted: Masks) -> float:
    """Mean IoU of two segmentations of everything, under the one-to-one matching with the largest sum.

    Hungarian matching of all masks against all. A reference mask without a partner counts 0; surplus predictions cost
    nothing. Empty reference masks are left out, since nothing can match them.

    Returns:
        In [0, 1], the mean over the reference masks; NaN if there are none.

    Raises:
        ValueError: photos of different sizes.
    """
    wanted, got = (masks.select(np.flatnonzero(masks.areas > 0)) for masks in (reference, predicted))
    return match(iou_table(wanted, got))


def match(table: Floats) -> float:
    """See :func:`matched_miou`; from the ``(predicted, reference)`` IoUs of masks that are not empty."""
    if not table.shape[1]:
        return math.nan
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / table.shape[1])


def iou_table(reference: Masks, predicted: Masks) -> Floats:
    """``(predicted, reference)`` IoU of all pairs of masks, none of which is empty.

    Raises:
        ValueError: photos of different sizes.
    """
    _same_size(reference, predicted)
    if not len(reference) or not len(predicted):
        return np.zeros((len(predicted), len(reference)))
    return _rle_ious(predicted.rles, reference.rles)


def max_linf_255(a: Pixels, b: Pixels) -> int:
    """The largest difference of two 8-bit photos in any pixel and channel, 0 .. 255.

    Raises:
        ValueError: not uint8, or of different shapes.
    """
    _same_photo(a, b)
    return int((np.maximum(a, b) - np.minimum(a, b)).max(initial=0))  # the larger minus the smaller cannot wrap


def l2(a: Pixels, b: Pixels) -> float:
    """The Euclidean length of the difference of two 8-bit photos, over all pixels and channels, of values in [0, 1].

    Raises:
        ValueError: not uint8, or of different shapes.
    """
    return math.sqrt(_squares(a, b)) / 255


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio of two 8-bit photos in dB, over all pixels and channels; infinite if they are equal.

    Raises:
        ValueError: not uint8, or of different shapes.
    """
    squares = _squares(a, b)
    return math.inf if squares == 0 else float(10 * np.log10(255.0**2 * a.size / squares))


def ssim(a: Pixels, b: Pixels) -> float:
    """Structural similarity of two 8-bit RGB photos, averaged over the three channels (not on luminance).

    Source: Wang et al. 2004, IEEE TIP 13(4), section III: Gaussian window of 11 x 11, sigma 1.5, K = 0.01 and 0.03,
    population covariance, mean over the windows that lie inside the photo (a rim of 5 pixels is dropped). Wang's code
    takes luminance; the mean over channels is scikit-image's ``channel_axis=2``.

    Args:
        a: ``(H, W, 3)`` uint8.
        b: the same shape.

    Returns:
        In [-1, 1]; 1 for equal photos. NaN if H or W is below 11: the window does not fit, so it is undefined.

    Raises:
        ValueError: not uint8, of different shapes, or without a channel axis.
    """
    _same_photo(a, b)
    if a.ndim != 3:
        raise ValueError(f"SSIM needs (H, W, channels) photos, got {a.shape}")
    height, width, channels = a.shape
    if min(height, width) < 2 * _RIM + 1:
        return math.nan
    total, rows = 0.0, height - 2 * _RIM
    # Bands of rows with their overlap: exact, and in double precision a 1500 x 2250 photo needs 40 MB, not 300.
    for top in range(0, rows, _BAND):
        band = slice(top, min(top + _BAND, rows) + 2 * _RIM)
        for c in range(channels):
            total += _ssim_sum(a[band, :, c], b[band, :, c])
    return float(total / (rows * (width - 2 * _RIM) * channels))


_RIM, _BAND = 5, 256


def _ssim_sum(a: Pixels, b: Pixels) -> float:
    """The sum of the SSIM map of one channel over the windows inside it."""
    x, y = a.astype(np.float64), b.astype(np.float64)

    def blur(values: Floats) -> Floats:
        blurred: Floats = gaussian_filter(values, sigma=1.5, radius=_RIM)[_RIM:-_RIM, _RIM:-_RIM]
        return blurred

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = blur(x), blur(y)
    covariance = blur(x * y) - mean_x * mean_y
    variances = blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    ratios: Floats = numerator / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))
    return float(np.sum(ratios))


def _rle_ious(predicted: Sequence[RLE], reference: Sequence[RLE]) -> Floats:
    """``(predicted, reference)`` IoU of non-empty masks; counts of pixels are whole numbers, so the ratio is exact."""

    def raw(rles: Sequence[RLE]) -> list[dict[str, Any]]:
        return [{"size": rle["size"], "counts": rle["counts"].encode("ascii")} for rle in rles]

    return np.asarray(coco.iou(raw(predicted), raw(reference), [0] * len(reference)), np.float64)


def _same_size(reference: Masks, predicted: Masks) -> None:
    if tuple(reference.size) != tuple(predicted.size):
        raise ValueError(f"masks of one photo have one size, got {reference.size} and {predicted.size}")


def _squares(a: Pixels, b: Pixels) -> int:
    """The sum of the squared differences of 8-bit values, exactly."""
    _same_photo(a, b)
    difference = (np.maximum(a, b) - np.minimum(a, b)).astype(np.int32)
    return int(np.square(difference, out=difference).sum(dtype=np.int64))


def _same_photo(a: Pixels, b: Pixels) -> None:
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape:
        raise ValueError(f"photos must be uint8 of one shape, got {a.dtype} {a.shape} and {b.dtype} {b.shape}")
