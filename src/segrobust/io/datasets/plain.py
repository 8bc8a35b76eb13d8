"""A folder of photos without annotations."""

from pathlib import Path

from segrobust.errors import UsageError
from segrobust.io.datasets.base import Sample
from segrobust.io.datasets.lists import Listing, no_split
from segrobust.io.datasets.source import File
from segrobust.io.images import find_photos


def homes(root: Path) -> list[Path]:
    """The folder, if photos lie directly inside."""
    if not root.is_dir():
        return []
    try:
        return [root] if find_photos([root]) else []
    except UsageError:
        return []


def find(home: Path, split: str | None) -> Listing:
    """The photos directly inside; files that lie beside them are left alone."""
    if split is not None:
        raise no_split(split, home, [])
    return Listing(home, [Sample(photo.stem, str(photo), File(photo)) for photo in find_photos([home])])
