"""Pixels from encoded pictures, on disk or in memory: photos, their sizes, and pictures whose values are labels."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from segrobust.errors import PhotoError
from segrobust.types import Pixels

logger = logging.getLogger(__name__)

MAX_PIXELS = 100_000_000
"""Photos with more pixels (100 megapixels, 300 MB decoded) are refused before anything is decoded."""

# An explicit list: Pillow would otherwise also try formats that start other programs (EPS runs Ghostscript).
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")

_SIXTEEN_BIT = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
_LABELS = frozenset({"1", "L", "P"})
_ORIENTATION = 0x0112  # EXIF; values from 5 on swap width and height


def decode_photo(source: Path | BytesIO, place: object) -> Pixels:
    """Pixels of a photo, by the rules of :func:`segrobust.io.images.read_image`.

    Args:
        source: the file, or its bytes.
        place: what messages call it.

    Returns:
        ``(H, W, 3)`` RGB.

    Raises:
        PhotoError: not such a photo, or truncated.
    """
    with _opened(source, place) as photo:
        frames, kind = getattr(photo, "n_frames", 1), photo.format
        photo.load()
        upright = ImageOps.exif_transpose(photo)
        pixels = _to_rgb(upright)
    if frames > 1 and kind != "MPO":  # the further pictures of a phone's MPO file are previews, not frames
        logger.warning("%s has %d frames; only the first is used", place, frames)
    return pixels


def photo_size(source: Path | BytesIO, place: object) -> tuple[int, int]:
    """``(height, width)`` of what :func:`decode_photo` returns, from the file's head alone.

    Raises:
        PhotoError: no such photo. One whose pixels are truncated still has a size.
    """
    with _opened(source, place) as photo:
        height, width = photo.height, photo.width
        return (width, height) if photo.getexif().get(_ORIENTATION, 1) >= 5 else (height, width)


def decode_labels(source: Path | BytesIO, place: object) -> tuple[Pixels, bool]:
    """The values of a picture that holds labels: palette indices or grey levels as stored, never as colours.

    Args:
        source: the PNG file, or its bytes.
        place: what messages call it.

    Returns:
        ``(H, W)`` labels, and whether they are indices of a palette.

    Raises:
        PhotoError: no PNG, truncated, or of a kind that holds colours instead of labels.
    """
    with _opened(source, place) as picture:
        if picture.format != "PNG" or picture.mode not in _LABELS:
            found = f"{picture.format} of mode {picture.mode}"
            raise unreadable(place, f"labels are kept in PNG of mode P or L (8 bits), this is a {found}")
        return np.array(picture, dtype=np.uint8), picture.mode == "P"


def unreadable(place: object, reason: str) -> PhotoError:
    """An error of one line: place, colon, reason."""
    return PhotoError(" ".join(f"{place}: {reason}".split()))


@contextmanager
def _opened(source: Path | BytesIO, place: object) -> Iterator[Pillow.Image]:
    """A picture of an acceptable size; what fails inside the block is told as a ``PhotoError`` too."""
    try:
        with Pillow.open(source, formats=FORMATS) as photo:
            _require_size(place, photo.width * photo.height, f"{photo.width} x {photo.height} pixels")
            yield photo
    except UnidentifiedImageError:
        raise unreadable(place, f"not a photo in a format that is read ({', '.join(FORMATS)})") from None
    except Pillow.DecompressionBombError as error:
        # Pillow refuses above its own limit before it tells the size, except inside its message.
        found = re.search(r"\d+", str(error))
        _require_size(place, int(found[0]) if found else MAX_PIXELS + 1, "an image")
        raise unreadable(place, str(error)) from error
    except (MemoryError, PhotoError):
        raise
    except Exception as error:  # Pillow's decoders raise whatever their parser met: OSError, SyntaxError, struct.error
        reason = cast("str | None", getattr(error, "strerror", None)) or str(error) or type(error).__name__
        raise unreadable(place, reason) from error


def _require_size(place: object, count: int, what: str) -> None:
    if count > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise unreadable(place, f"{what} of {count / 1e6:.1f} megapixels is over the limit of {limit} megapixels")


def _to_rgb(photo: Pillow.Image) -> Pixels:
    if photo.mode == "F":
        raise ValueError("32-bit float pixels have no fixed range; save the photo as 8-bit PNG first")
    if photo.mode in _SIXTEEN_BIT:
        return _grey_from_16_bits(np.asarray(photo))
    if photo.has_transparency_data:
        layer = photo.convert("RGBA")
        photo = Pillow.alpha_composite(Pillow.new("RGBA", layer.size, "white"), layer)
    return np.array(photo.convert("RGB"), dtype=np.uint8)


def _grey_from_16_bits(values: NDArray[np.integer]) -> Pixels:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ValueError(f"32-bit integer pixels from {low} to {high} do not fit 16 bits; save the photo as 8-bit PNG")
    grey = ((values.astype(np.int32) + 128) // 257).astype(np.uint8)  # 257 is odd: no ties, so this is the nearest
    return np.repeat(grey[:, :, None], 3, axis=2)
