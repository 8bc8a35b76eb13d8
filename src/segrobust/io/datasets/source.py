"""A file of a data set: on its own, or inside a tar archive that is never unpacked."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from segrobust.io.decoding import decode_photo, photo_size, unreadable
from segrobust.io.images import read_image, require_regular_file
from segrobust.types import Image


@dataclass(frozen=True)
class File:
    """A file, or a member of an uncompressed tar archive; holds a place and no open handle.

    Attributes:
        path: the file, or the archive.
        member: its name in the archive; "" for a file of its own.
        offset: where the member's bytes begin in the archive.
        size: how many they are; -1: the archive has no such member.
    """

    path: Path
    member: str = ""
    offset: int = 0
    size: int = -1

    def __str__(self) -> str:
        return f"{self.path}:{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """The name without folders."""
        return (self.member or self.path.name).rpartition("/")[2]

    def exists(self) -> bool:
        """Whether there is such a file or member."""
        return self.size >= 0 if self.member else self.path.is_file()

    def read(self) -> bytes:
        """All of its bytes.

        Raises:
            PhotoError: missing or unreadable, or the archive ends before it does.
        """
        if not self.member:
            require_regular_file(self.path)
        elif self.size <= 0:
            raise unreadable(self, "no such member" if self.size < 0 else "the member is empty (0 bytes)")
        try:
            with self.path.open("rb") as archive:
                archive.seek(self.offset)
                content = archive.read(self.size if self.member else -1)
        except OSError as error:
            raise unreadable(self, error.strerror or str(error)) from error
        if self.member and len(content) != self.size:
            raise unreadable(self, f"the archive ends after {len(content)} of the member's {self.size} bytes")
        return content

    def image(self, name: str) -> Image:
        """The photo in it, under this name.

        Raises:
            PhotoError: as :func:`segrobust.io.images.read_image`.
        """
        if not self.member:
            return Image(read_image(self.path).pixels, name=name, path=self.path)
        return Image(decode_photo(BytesIO(self.read()), self), name=name)

    def image_size(self) -> tuple[int, int]:
        """``(height, width)`` of the photo in it, without decoding its pixels.

        Raises:
            PhotoError: missing, or no photo.
        """
        if self.member:
            return photo_size(BytesIO(self.read()), self)
        require_regular_file(self.path)
        return photo_size(self.path, self)


def members(archive: Path, problems: list[str]) -> Iterator[File]:
    """The files of a tar archive, from its headers alone: nothing is unpacked.

    Args:
        archive: uncompressed, since members of a compressed one cannot be read one by one.
        problems: what is found wrong with the archive is added here; the members before it are still good.

    Raises:
        PhotoError: no such archive.
    """
    require_regular_file(archive)
    try:
        with tarfile.open(archive, "r:") as tar:
            yield from _regular(archive, tar, problems)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise unreadable(archive, f"not an uncompressed tar archive: {_why(archive, error)}") from error


def _regular(archive: Path, tar: tarfile.TarFile, problems: list[str]) -> Iterator[File]:
    try:
        while (entry := tar.next()) is not None:
            if entry.isreg() and not entry.issparse():
                yield File(archive, entry.name.removeprefix("./"), entry.offset_data, entry.size)
            elif not entry.isdir():
                problems.append(f"{archive}:{entry.name}: neither a file nor a folder, so it is left out")
            # tarfile keeps every header it has read, and an archive has tens of thousands.
            tar.members.clear()  # type: ignore[attr-defined]  # not in the types, but documented
        if _block(archive, tar.offset) != bytes(tarfile.BLOCKSIZE):  # tarfile takes a bad header for the end
            problems.append(f"{archive}: the archive is damaged or truncated: no end mark at byte {tar.offset}")
    except (tarfile.TarError, OSError, ValueError) as error:  # the members before are in order
        problems.append(str(unreadable(archive, f"the archive is damaged or truncated: {error}")))


def _block(archive: Path, offset: int, length: int = tarfile.BLOCKSIZE) -> bytes:
    with archive.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _why(archive: Path, error: Exception) -> str:
    compressed = _block(archive, 0, 2) == b"\x1f\x8b"
    return "it is gzip-compressed; gunzip it first" if compressed else str(error)
