"""The folder of downloaded weights: filling it, and checking what is in it."""

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from segrobust.errors import MissingError, ModelError
from segrobust.models.download import Progress, fetch, writing
from segrobust.models.sniff import md5, megabytes, sha256
from segrobust.models.weights import WeightsFile, cache_folder


@dataclass(frozen=True)
class Checked:
    """A file that is what it should be, as far as that is known.

    Attributes:
        path: the file.
        sha256: of its content.
        how: what it was compared with, for people.
    """

    path: Path
    sha256: str
    how: str


def unlisted(url: str, digest: str | None = None) -> WeightsFile:
    """A file of weights that has only an address.

    Args:
        url: http or https; the file keeps the name that stands last in it.
        digest: its sha256, if known.

    Raises:
        ModelError: the address names no file.
    """
    file = PurePosixPath(unquote(urlsplit(url).path)).name
    if not file or file.startswith("."):
        raise ModelError(f"cannot download {url!r}: the address does not end in the name of a file")
    return WeightsFile(file, file, (url,), url, "see its authors", sha256=digest)


def download(known: WeightsFile, progress: Progress = lambda here, total: None, *, force: bool = False) -> Checked:
    """Download a file into the cache, check it, and only then give it its name.

    Args:
        known: where it is, and what is known of it.
        progress: told the bytes.
        force: also if it is already there.

    Raises:
        ModelError: no address has it, or what came is something else.
        MissingError: the cache cannot be written, is full, or another download of the file is under way.
    """
    target = cache_folder() / known.file
    if target.is_file() and not force:
        return check(target, known, recorded(target))
    with _only_one(target):
        part = _fetch_first(known, target, progress)
        if known.member:
            part = _extract(part, known.member, target)
        try:
            checked = check(part, known)
        except ModelError:
            part.unlink()
            raise
        with writing(target.parent):
            part.replace(target)
            _note(target).write_text(f"{checked.sha256}  {target.name}\n", encoding="utf-8")
    return Checked(target, checked.sha256, checked.how)


@contextmanager
def _only_one(target: Path) -> Iterator[None]:
    """Two downloads of one file would write into each other's."""
    from filelock import FileLock, Timeout

    lock = FileLock(target.with_name(f".{target.name}.lock"))  # stays: deleting it would let two in
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise MissingError(f"another download of {target.name} is under way; wait for it") from None
    try:
        yield
    finally:
        lock.release()


def _fetch_first(known: WeightsFile, target: Path, progress: Progress) -> Path:
    """From the first address that has it."""
    archive = target.with_name(target.name + ".zip") if known.member else target
    problems = []
    for url in known.urls:
        try:
            return fetch(url, archive, progress)
        except ModelError as error:
            problems.append(str(error))
    raise ModelError(f"{'; '.join(problems)}; the file is published at {known.page}")


def _extract(archive: Path, member: str, target: Path) -> Path:
    """Take one file out of a zip archive, which then goes."""
    out = target.with_name(target.name + ".part")
    try:
        with zipfile.ZipFile(archive) as opened:
            inside = next((name for name in opened.namelist() if PurePosixPath(name).name == member), None)
            if inside is None:
                raise ModelError(f"the archive of {target.name} holds no {member}")
            with writing(target.parent), opened.open(inside) as source, out.open("wb") as sink:
                shutil.copyfileobj(source, sink)
    except zipfile.BadZipFile as error:
        raise ModelError(f"the archive of {target.name} is damaged: {error}; download it again") from None
    finally:
        archive.unlink(missing_ok=True)
    return out


def check(path: Path, known: WeightsFile, earlier: str = "") -> Checked:
    """Compare a file with what is known of it.

    Args:
        path: the file; its content is read as a whole.
        known: size, sha256 and the digits in the published name, where known.
        earlier: sha256 when it was downloaded or converted; empty = not recorded.

    Raises:
        ModelError: it is something else; says in what it differs.
    """
    size, digest = path.stat().st_size, sha256(path)
    again = f"download it again: 'segrobust models download {known.name} --force'"
    if known.size is not None and size != known.size:
        raise ModelError(f"{path} has {size} bytes ({megabytes(size)}), published are {known.size}; {again}")
    if known.sha256 and digest != known.sha256.lower():
        raise ModelError(f"{path} has the sha256 {digest}, it should be {known.sha256}; {again}")
    if known.digest and not (digest.startswith(known.digest) or md5(path).startswith(known.digest)):
        raise ModelError(f"{path} is not as published: no hash of it begins with {known.digest}; {again}")
    if earlier and digest != earlier:
        raise ModelError(f"{path} has changed since it came here: sha256 {digest}, it was {earlier}; {again}")
    return Checked(path, digest, _how(known, earlier))


def _how(known: WeightsFile, earlier: str) -> str:
    same = ["size"] if known.size is not None else []
    if known.sha256:
        same.append("sha256")
    elif known.digest:
        same.append(f"the digits {known.digest} of its hash")
    published = f"{' and '.join(same)} as published" if same else "not verified: no hash of it is known here"
    return f"{published}, unchanged since it came here" if earlier else published


def recorded(path: Path) -> str:
    """The sha256 that was written down when the file came here; empty if none was."""
    try:
        return _note(path).read_text("utf-8").split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""


def _note(path: Path) -> Path:
    """Beside the file, in the format of ``sha256sum``."""
    return path.with_name(path.name + ".sha256")


def record(path: Path) -> None:
    """Write down a file's sha256 beside it.

    Raises:
        MissingError: the folder cannot be written.
    """
    with writing(path.parent):
        _note(path).write_text(f"{sha256(path)}  {path.name}\n", encoding="utf-8")
