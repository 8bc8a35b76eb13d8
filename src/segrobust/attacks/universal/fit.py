"""Bringing one perturbation to photos of any size, linearly, so that a gradient finds the way back."""

from typing import Literal, get_args

import torch
from torch import Tensor

from segrobust.errors import UsageError
from segrobust.models.base import WhiteBox
from segrobust.models.geometry import resize, resized_size

Fit = Literal["long-side", "stretch", "tile"]
"""``long-side``: the square's side becomes the photo's long side, and what hangs over at the bottom or right is cut
off: in the input of a model that scales the long side and pads (SAM), the perturbation is the same for every photo.
``stretch``: the square becomes the photo, whatever its shape: likewise for a model that stretches (SAM 2).
``tile``: repeated pixel by pixel from the top left corner on; nothing is resized."""

FITS: tuple[str, ...] = get_args(Fit)


def fitted(pattern: Tensor, size: tuple[int, int], fit: Fit) -> Tensor:
    """A perturbation on a photo of another size.

    Every value is a mean of values of ``pattern`` with weights that are not negative (bilinear with antialias), so none
    is larger than the largest there.

    Args:
        pattern: ``(1, 3, S, T)``.
        size: height and width of the photo.
        fit: see ``Fit``.

    Returns:
        ``(1, 3, height, width)``; linear in ``pattern``.
    """
    height, width = size
    if fit == "tile":
        rows = torch.arange(height, device=pattern.device) % pattern.shape[-2]
        columns = torch.arange(width, device=pattern.device) % pattern.shape[-1]
        return pattern[..., rows[:, None], columns]
    if fit == "long-side":
        # Cut as SAM rounds, so that a pattern of the model's side lies on the model's pixels.
        rows_kept, columns_kept = resized_size(height, width, pattern.shape[-1])
        pattern = pattern[..., :rows_kept, :columns_kept]
    return resize(pattern, size)


def natural_fit(segmenter: WhiteBox) -> Fit:
    """The fit with which the perturbation lies alike in a model's input, whatever the photo's shape."""
    height, width = segmenter.geometry((64, 128)).resized
    return "stretch" if height == width else "long-side"


def check_fit(fit: str) -> None:
    """Refuse an unknown fit; an empty one means the model's own, :func:`natural_fit`.

    Raises:
        UsageError: with those there are.
    """
    if fit and fit not in FITS:
        raise UsageError(f"fit {fit!r} is not one of {', '.join(FITS)}")
