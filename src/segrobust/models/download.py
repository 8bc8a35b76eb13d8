"""Files of weights from plain addresses: to ``.part``, resumed, checked, renamed."""

import errno
import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from segrobust.errors import MissingError, ModelError
from segrobust.models.sniff import START, megabytes, no_weights

TIMEOUT = 60.0
"""Seconds without a byte."""
ATTEMPTS = 3
"""Times in a row that a connection may break without a byte gained."""
PAUSE = 0.5
"""Seconds before the next attempt; longer after each one that gained nothing."""
CHUNK = 1 << 20

Progress = Callable[[int, int | None], None]
"""Told the bytes that are here and how many there will be, where that is known."""


class _Answer(Protocol):
    """What is used of an HTTP response."""

    status: int
    headers: Any
    url: str

    def read(self, amount: int) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class _Part:
    """A file that is not complete yet, and what the server called this version of it."""

    file: Path

    @property
    def note(self) -> Path:
        return self.file.with_name(self.file.name + ".json")

    def begun(self, url: str) -> tuple[int, str]:
        """Bytes that are here and the version they are of; 0 if they cannot be gone on with."""
        try:
            note = json.loads(self.note.read_text("utf-8"))
            if note["url"] == url and note["version"]:
                return self.file.stat().st_size, note["version"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return 0, ""

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


class _SameSafety(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, but never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (urlsplit(req.full_url).scheme, scheme) == ("https", "http"):
            raise ModelError(f"{req.full_url} leads to {newurl}, which is not followed: not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """For http and https only, with the proxies of the environment; no file:, no ftp:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _SameSafety(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def fetch(url: str, target: Path, progress: Progress = lambda here, total: None) -> Path:
    """Download to ``target`` with ``.part`` appended; the caller checks it and renames it.

    A connection that breaks is taken up where it broke, and so is one that an earlier call left behind, if the server
    can do so and says that the file is the same. Otherwise it begins anew.

    Args:
        url: http or https; redirects are followed.
        target: where the file will be in the end.
        progress: called after every chunk.

    Returns:
        The complete ``.part`` file.

    Raises:
        ModelError: the server has no such file, gives a web page instead, or cannot be reached.
        MissingError: the folder cannot be written, or the disk is full.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ModelError(f"cannot download {url!r}: only http:// and https:// addresses")
    part = _Part(target.with_name(target.name + ".part"))
    failures, before = 0, -1
    while True:
        try:
            if _continue(url, part, progress):
                part.note.unlink(missing_ok=True)
                return part.file
            reason = "the connection was cut"
        except (OSError, http.client.HTTPException) as error:
            reason = _why(error)
        here = part.begun(url)[0]
        failures = failures + 1 if here <= before else 1
        before = here
        if failures >= ATTEMPTS:
            kept = f" after {megabytes(here)}; the same command goes on" if here else ""
            raise ModelError(f"cannot download {url}: {reason}{kept}")
        time.sleep(PAUSE * failures)


def _continue(url: str, part: _Part, progress: Progress) -> bool:
    """One connection; whether the file is complete now."""
    here, version = part.begun(url)
    headers = {"User-Agent": "segrobust", "Accept-Encoding": "identity"}
    if here:
        headers |= {"Range": f"bytes={here}-", "If-Range": version}
    try:
        answer: _Answer = _opener().open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and here:  # longer than the file is now
            part.remove()
            return False
        if error.code >= 500 or error.code == 429:
            raise ConnectionError(f"HTTP {error.code} {error.reason}") from None
        raise ModelError(f"cannot download {url}: HTTP {error.code} {error.reason}") from None
    try:
        return _receive(url, answer, part, here, progress)
    finally:
        answer.close()


def _receive(url: str, answer: _Answer, part: _Part, here: int, progress: Progress) -> bool:
    resumed = answer.status == 206 and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {here}-")
    here = here if resumed else 0
    length = answer.headers.get("Content-Length")
    total = here + int(length) if length and length.isdigit() else None
    data = answer.read(CHUNK)
    if not here:
        _refuse_page(url, answer, data, total)
        _note_version(url, answer, part)
    _need_space(part.file.parent, (total or 0) - here)
    with writing(part.file.parent):
        out = part.file.open("ab" if here else "wb")
    try:
        while data:
            with writing(part.file.parent):
                out.write(data)
                out.flush()
            here += len(data)
            progress(here, total)
            data = answer.read(CHUNK)
    finally:
        out.close()
    return total is None or here == total


def _refuse_page(url: str, answer: _Answer, data: bytes, total: int | None) -> None:
    size = total if total is not None else len(data)
    found = no_weights(data[:START], size)
    if found:
        raise ModelError(f"cannot download {url}: got {found}; is the address right, and does it need a login?")


def _note_version(url: str, answer: _Answer, part: _Part) -> None:
    """Keep what the server calls this version, so that half of it is never joined with half of another."""
    tag = answer.headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
    with writing(part.file.parent):
        part.file.parent.mkdir(parents=True, exist_ok=True)
        part.note.write_text(json.dumps({"url": url, "version": version}), encoding="utf-8")


def _need_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise MissingError(f"no space in {folder}: {megabytes(size)} are needed, {megabytes(free)} are free")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns what goes wrong with the disk into an error a person can act on.

    Raises:
        MissingError: no space is left, or writing is not allowed.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = f"no space left in {folder}; make room, or set SEGROBUST_CACHE to a folder on another disk"
        else:
            reason = error.strerror or error
            advice = f"cannot write to {folder}: {reason}; set SEGROBUST_CACHE to a folder that you may write"
        raise MissingError(advice) from None


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(str(text).split())
