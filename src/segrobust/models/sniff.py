"""What a file that should hold weights really is, from its first bytes; needs no torch."""

import hashlib
import zipfile
from pathlib import Path

START = 512
"""Bytes that are enough to tell."""


def megabytes(size: int) -> str:
    """A number of bytes for people, in decimal units."""
    if size < 1000:
        return f"{size} bytes"
    if size < 1_000_000:
        return f"{size / 1e3:.0f} KB"
    return f"{size / 1e6:.0f} MB" if size < 10**9 else f"{size / 1e9:.2f} GB"


def no_weights(first: bytes, size: int) -> str | None:
    """Say what a file is that people take for weights by mistake; None = it may be weights.

    Args:
        first: its first ``START`` bytes, or all of it.
        size: bytes, of the whole file.
    """
    text = first[:START].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    if size == 0:
        return "the file is empty"
    if not all(32 <= byte < 127 or byte in b"\t\r\n" for byte in text[:16]):
        return None  # safetensors begin with the length of their header, which may well be "<" or "{"
    if text[:1] == b"<":
        return f"an HTML page, {megabytes(size)}, starts with {_quote(text)}"
    if text.startswith(b"version https://git-lfs"):
        return f"a Git LFS pointer, {megabytes(size)}: the clone it comes from lacks the file itself ('git lfs pull')"
    if text[:1] == b"{":
        return f"JSON text, {megabytes(size)}, starts with {_quote(text)}"
    return None


def _quote(text: bytes) -> str:
    line = text.splitlines()[0][:40].decode("ascii", "replace")
    return repr(line.strip())


def zip_members(path: Path) -> list[str] | None:
    """The names in a zip archive that is not itself a PyTorch file; None = no such archive."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    return None if any(name.endswith("data.pkl") for name in names) else names


def sha256(path: Path) -> str:
    """The file's sha256, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def md5(path: Path) -> str:
    """The file's MD5, 32 hexadecimal digits; against accidents only."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
