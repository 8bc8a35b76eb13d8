"""Writing files so that a reader never sees half of one."""

import os
from pathlib import Path
from uuid import uuid4

from segrobust.errors import MissingError


def atomic_write_bytes(path: Path | str, data: bytes) -> Path:
    """Write a file whole or not at all: a temporary file in the same folder, then one rename.

    An interrupted run leaves the old file or the new one, never a truncated one that a resumed run would trust.

    Args:
        path: the file; missing folders above it are made, an existing file is replaced.
        data: all of its bytes.

    Returns:
        ``path``.

    Raises:
        MissingError: the folder cannot be made or written in, or the disk is full; the message names the folder.
    """
    target = Path(path)
    # The name is unique across processes and machines that share the folder, and short whatever the target is called.
    temporary = target.parent / f".segrobust-{uuid4().hex}.tmp"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MissingError(
            f"cannot write {target.name} in folder {target.parent}: {error.strerror or error}; "
            "choose a folder you may write in, with free space"
        ) from error
    return target


def atomic_write_text(path: Path | str, text: str) -> Path:
    """:func:`atomic_write_bytes` for text: UTF-8, line ends as given."""
    return atomic_write_bytes(path, text.encode("utf-8"))
