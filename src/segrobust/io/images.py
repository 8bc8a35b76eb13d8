"""Photos in and out, which photos were asked for, and what their results are called.

In: whatever a camera, a phone or a data set produces becomes 8-bit RGB at the photo's own resolution, by rules that
are written at :func:`read_image`. Out: lossless PNG, because JPEG or WebP at their usual quality change pixels by
several times an 8/255 budget and would save another photo than the one that was attacked.
"""

import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from segrobust.errors import PhotoError, UsageError
from segrobust.io.decoding import MAX_PIXELS as MAX_PIXELS
from segrobust.io.decoding import decode_photo, unreadable
from segrobust.io.files import atomic_write_bytes
from segrobust.types import Image, Pixels

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""What counts as a photo inside a folder (compared in lower case)."""

_LONGEST_NAME = 120  # bytes; file systems allow 255, and suffixes such as "_guide.png" follow
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices on Windows


def read_image(path: Path | str) -> Image:
    """Read a photo as 8-bit RGB at its own resolution.

    JPEG, PNG, WebP, BMP, TIFF and GIF. The EXIF orientation is applied. Grey, palette and CMYK become RGB (CMYK by
    Pillow's plain formula, without colour profile). Transparency is composited on white. 16-bit grey is divided by 257
    and rounded, so 65535 becomes 255; 16-bit colour keeps its high byte, as Pillow reads it. Of an animation or a
    multi-page file the first frame is used, with a warning in the log. A photo of a single pixel is a photo.

    Args:
        path: the file.

    Returns:
        The photo, named after the file's stem.

    Raises:
        PhotoError: the file is missing, unreadable, empty, truncated, not a photo, a folder, of float or 32-bit
            pixels, or larger than ``MAX_PIXELS``. The message is one line with the file's name and the reason.
    """
    path = Path(path)
    require_regular_file(path)
    return Image(decode_photo(path, path), name=path.stem, path=path)


def write_png(path: Path | str, pixels: Pixels) -> Path:
    """Save pixels losslessly and atomically as PNG.

    Args:
        path: ends in ``.png``; missing folders are made.
        pixels: ``(H, W, 3)`` RGB or ``(H, W)`` grey, uint8. Floats are refused: whoever has them must round, since
            truncation takes an 8/255 perturbation to 9/255.

    Returns:
        ``path``.

    Raises:
        UsageError: the suffix is not ``.png``.
        ValueError: not uint8, or another shape.
        MissingError: the folder cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UsageError(
            f"{path.name}: pictures are saved as .png only, got {path.suffix or 'no suffix'!r}; "
            "a lossy format would change the pixels by more than the attack"
        )
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"pixels must be uint8 (H, W, 3) or (H, W), got {pixels.dtype} {pixels.shape}")
    if pixels.size == 0:
        raise ValueError(f"pixels must hold at least one pixel, got shape {pixels.shape}")
    buffer = BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return atomic_write_bytes(path, buffer.getvalue())


def find_photos(paths: Sequence[Path | str]) -> list[Path]:
    """The photos that a list of files and folders stands for.

    A file is kept as named, even if it is missing or no photo: reading it fails later with its own reason, as a
    recorded failure instead of a missing row. A folder stands for the image files directly inside it
    (``PHOTO_SUFFIXES``, hidden files left out), sorted by name. A file that is reached twice counts once.

    Args:
        paths: files and folders.

    Returns:
        The photos in the order given.

    Raises:
        UsageError: no paths, or a folder without photos.
        PhotoError: a folder that cannot be listed.
    """
    if not paths:
        raise UsageError("no photos given; name photo files or a folder with photos")
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        for photo in _inside(path) if path.is_dir() else [path]:
            found.setdefault(os.path.realpath(photo), photo)
    return list(found.values())


def output_names(paths: Iterable[Path]) -> dict[Path, str]:
    """A distinct, safe file stem for the results of each photo.

    The photo's own stem where it is unique (compared as case-insensitive file systems do). Photos that share a stem
    get a piece of the sha256 of their path as given, so a name depends neither on the order of the photos nor on
    which of them was finished first.

    Args:
        paths: the photos; a path that appears twice is one photo.

    Returns:
        Stem by path: letters, digits, ``_``, ``-`` and ``.``, at most about 190 bytes, never hidden or reserved.
    """
    plain = {path: safe_name(path.stem) for path in paths}
    names = dict(plain)
    for digits in (8, 64):  # 64 settles the case of another photo whose real stem is "<stem>-<8 digits>"
        counts = Counter(name.casefold() for name in names.values())
        for path, name in names.items():
            if counts[name.casefold()] > 1:
                digest = hashlib.sha256(os.fsencode(path.as_posix())).hexdigest()
                names[path] = f"{plain[path]}-{digest[:digits]}"
    return names


def require_regular_file(path: Path) -> None:
    """Refuse what is missing, empty, a folder or a pipe.

    Raises:
        PhotoError: with the reason in words.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise unreadable(path, "no such file") from None
    except (OSError, ValueError) as error:
        raise unreadable(path, getattr(error, "strerror", None) or str(error)) from None
    if stat.S_ISDIR(status.st_mode):
        raise unreadable(path, "is a folder, not a photo")
    if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
        raise unreadable(path, "is not a regular file")
    if status.st_size == 0:
        raise unreadable(path, "the file is empty (0 bytes)")


def _inside(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise PhotoError(f"{folder}: the folder cannot be listed: {error.strerror}") from error
    photos = [
        entry
        for entry in entries
        # not is_dir() rather than is_file(): a broken link must become a failure, not vanish
        if entry.suffix.lower() in PHOTO_SUFFIXES and not entry.name.startswith(".") and not entry.is_dir()
    ]
    if not photos:
        kinds = " ".join(sorted(PHOTO_SUFFIXES))
        raise UsageError(f"folder {folder} has no photos directly inside (looked for {kinds})")
    return photos


def safe_name(stem: str) -> str:
    """A name made fit to be a file name anywhere: see :func:`output_names`."""
    # NFC: macOS hands out decomposed letters, others composed ones, for the same name
    name = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", stem)).lstrip(".-")
    name = name.encode("utf-8")[:_LONGEST_NAME].decode("utf-8", errors="ignore").rstrip(".")
    return f"_{name}" if not name or _RESERVED.fullmatch(name) else name
