"""Files of weights from a server on this machine: whole, wrong, cut off, resumed, and what is no file at all."""

import hashlib
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.request import Request

import pytest
from file_server import FileServer, file_server

from segrobust.errors import MissingError, ModelError
from segrobust.models import download as fetching
from segrobust.models.store import check, download, recorded, unlisted
from segrobust.models.weights import WeightsFile, cache_folder

CONTENT = bytes(range(256)) * 4000  # a megabyte, and no text
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGROBUST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    monkeypatch.setattr(fetching, "CHUNK", 10_000)
    return cache_folder()


def published(url: str, **known: object) -> WeightsFile:
    return WeightsFile("m", "m.pth", (url,), "https://example.org/m", "MIT", **known)  # type: ignore[arg-type]


def leftovers(cache: Path) -> list[str]:
    return sorted(file.name for file in cache.iterdir() if not file.name.startswith("."))


def test_a_good_file_is_checked_named_and_remembered(server: FileServer, cache: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    known = published(server.serve("/m", CONTENT), size=len(CONTENT), sha256=SHA256)
    checked = download(known, lambda here, total: seen.append((here, total)))
    assert checked.path == cache / "m.pth"
    assert checked.path.read_bytes() == CONTENT
    assert checked.how == "size and sha256 as published"
    assert seen[0] == (10_000, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert recorded(checked.path) == SHA256
    assert leftovers(cache) == ["m.pth", "m.pth.sha256"]
    download(known)
    assert len(server.asked) == 1  # what is here is not asked for again
    download(known, force=True)
    assert len(server.asked) == 2


def test_without_a_known_hash_it_is_not_called_verified(server: FileServer) -> None:
    assert "not verified" in download(published(server.serve("/m", CONTENT))).how


@pytest.mark.parametrize("digest", [SHA256[:6], hashlib.md5(CONTENT).hexdigest()[:6]])
def test_the_digits_in_a_published_name(server: FileServer, digest: str) -> None:
    known = published(server.serve("/m", CONTENT), digest=digest)
    assert download(known).how == f"the digits {digest} of its hash as published"


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"sha256": "0" * 64}, f"has the sha256 {SHA256}, it should be 000"),
        ({"size": 999}, "has 1024000 bytes .1 MB., published are 999"),
        ({"digest": "01ec64"}, "no hash of it begins with 01ec64"),
    ],
)
def test_a_wrong_file_is_refused_and_not_kept(
    server: FileServer, cache: Path, known: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        download(published(server.serve("/m", CONTENT), **known))
    assert "segrobust models download m --force" in str(caught.value)
    assert leftovers(cache) == []


def test_a_cut_connection_goes_on_where_it_broke(server: FileServer) -> None:
    known = published(server.serve("/m", CONTENT, cuts=[300_000, 100_000]), sha256=SHA256)
    assert download(known).path.read_bytes() == CONTENT
    assert server.asked == [("/m", ""), ("/m", "bytes=300000-"), ("/m", "bytes=400000-")]


def test_a_later_call_goes_on_with_what_an_earlier_one_left(server: FileServer, cache: Path) -> None:
    known = published(server.serve("/m", CONTENT, cuts=[500_000, 0, 0, 0]), sha256=SHA256)
    with pytest.raises(ModelError, match=r"the connection was cut after 500 KB; the same command goes on"):
        download(known)
    assert (cache / "m.pth.part").stat().st_size == 500_000
    server.files["/m"].cuts.clear()
    server.asked.clear()
    assert download(known).path.read_bytes() == CONTENT
    assert server.asked == [("/m", "bytes=500000-")]
    assert leftovers(cache) == ["m.pth", "m.pth.sha256"]


def test_halves_of_two_versions_are_not_joined(server: FileServer) -> None:
    with pytest.raises(ModelError):
        download(published(server.serve("/m", b"\x80old" * 250_000, version='"old"', cuts=[500_000, 0, 0, 0])))
    assert download(published(server.serve("/m", CONTENT, version='"new"'))).path.read_bytes() == CONTENT


@pytest.mark.parametrize("settings", [{"ranges": False}, {"version": ""}], ids=["no ranges", "no version"])
def test_a_server_that_cannot_resume_begins_anew(server: FileServer, settings: dict[str, object]) -> None:
    known = published(server.serve("/m", CONTENT, cuts=[300_000], **settings), sha256=SHA256)
    assert download(known).path.read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_dropped(server: FileServer, cache: Path) -> None:
    with pytest.raises(ModelError):
        download(published(server.serve("/m", CONTENT * 2, cuts=[1_500_000, 0, 0, 0])))
    assert download(published(server.serve("/m", CONTENT), sha256=SHA256)).path.read_bytes() == CONTENT


def test_a_web_page_is_called_one(server: FileServer, cache: Path) -> None:
    page = b"<!DOCTYPE html>\n<html>" + b" " * 2000 + b"Please log in</html>"
    with pytest.raises(ModelError, match=r"got an HTML page, 2 KB, starts with '<!DOCTYPE html>'"):
        download(published(server.serve("/m", page)))
    assert leftovers(cache) == []


def test_not_there_says_where_a_person_finds_it(server: FileServer) -> None:
    with pytest.raises(ModelError, match=r"HTTP 404 Not Found; the file is published at https://example.org/m"):
        download(published(server.url + "/m"))
    assert len(server.asked) == 1


def test_a_server_in_trouble_is_asked_three_times(server: FileServer) -> None:
    with pytest.raises(ModelError, match="HTTP 503"):
        download(published(server.serve("/m", status=503)))
    assert len(server.asked) == 3


def test_the_second_address_is_tried(server: FileServer) -> None:
    known = WeightsFile("m", "m.pth", (server.url + "/no", server.serve("/m", CONTENT)), "", "MIT")
    assert download(known).path.read_bytes() == CONTENT


def test_redirects_are_followed_but_not_to_files(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    server.serve("/there", CONTENT)
    assert download(published(server.serve("/m", location="/there"))).path.read_bytes() == CONTENT
    for target in ((tmp_path / "secret").as_uri(), "ftp://example.org/m"):
        with pytest.raises(ModelError, match=r"not (allowed|followed)"):
            download(published(server.serve("/m", location=target)), force=True)


def test_a_safe_address_does_not_lead_to_an_unsafe_one() -> None:
    handler = fetching._SameSafety()
    request = Request("https://example.org/m")
    with pytest.raises(ModelError, match=r"leads to http://example\.org/m, which is not followed: not https"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://example.org/m")
    assert handler.redirect_request(request, None, 302, "Found", {}, "https://example.org/n") is not None


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/m", "http:///m", "m.pth"])
def test_only_web_addresses(url: str) -> None:
    with pytest.raises(ModelError, match="only http:// and https:// addresses"):
        download(published(url))


def test_nobody_listens() -> None:
    with pytest.raises(ModelError, match=r"cannot download http://127.0.0.1:9/m: Connection refused"):
        download(published("http://127.0.0.1:9/m"))


def test_a_full_disk_is_one_line(server: FileServer, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "m.pth.part").symlink_to("/dev/full")
    with pytest.raises(MissingError, match=r"no space left in .*; make room, or set SEGROBUST_CACHE"):
        download(published(server.serve("/m", CONTENT)))


def test_too_little_space_is_told_before_anything_comes(
    server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(MissingError, match=r"no space in .*: 1 MB are needed, 1 KB are free"):
        download(published(server.serve("/m", CONTENT)))
    assert not (cache / "m.pth.part").exists()


def test_a_cache_that_cannot_be_written(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEGROBUST_CACHE", str(tmp_path / "file"))
    with pytest.raises(MissingError, match=r"cannot write to .*: Not a directory; set SEGROBUST_CACHE"):
        download(published(server.serve("/m", CONTENT)))


def test_two_downloads_of_one_file_do_not_meet(server: FileServer, cache: Path) -> None:
    from filelock import FileLock

    cache.mkdir(parents=True)
    with FileLock(cache / ".m.pth.lock"), pytest.raises(MissingError, match=r"another download of m\.pth is under way"):
        download(published(server.serve("/m", CONTENT)))


def test_a_file_inside_an_archive(server: FileServer, cache: Path) -> None:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("weights/m.pth", CONTENT)
    url = server.serve("/m.zip", archive.getvalue())
    assert download(published(url, member="m.pth", sha256=SHA256)).path.read_bytes() == CONTENT
    assert leftovers(cache) == ["m.pth", "m.pth.sha256"]
    with pytest.raises(ModelError, match=r"holds no other\.pth"):
        download(published(url, member="other.pth"), force=True)
    with pytest.raises(ModelError, match="is damaged"):
        download(published(server.serve("/m.zip", CONTENT), member="m.pth"), force=True)
    assert leftovers(cache) == ["m.pth", "m.pth.sha256"]


def test_a_file_that_changes_later_is_noticed(server: FileServer) -> None:
    known = published(server.serve("/m", CONTENT))
    path = download(known).path
    assert check(path, known, recorded(path)).how.endswith("unchanged since it came here")
    with path.open("r+b") as stream:
        stream.seek(500)
        stream.write(b"?")
    with pytest.raises(ModelError, match="has changed since it came here"):
        check(path, known, recorded(path))
    path.with_name("m.pth.sha256").unlink()
    assert "not verified" in check(path, known, recorded(path)).how


def test_an_address_without_a_name() -> None:
    assert unlisted("https://example.org/a/fine%20tune.pth?download=1").file == "fine tune.pth"
    with pytest.raises(ModelError, match="does not end in the name of a file"):
        unlisted("https://example.org/")
