"""A server of files on the loopback interface that can do everything a server does wrong."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    """One file as it is served.

    Attributes:
        content: its bytes.
        kind: content type.
        status: 200, or what is answered instead.
        ranges: answers ``Range`` with a part.
        version: ``ETag``; empty = neither that nor ``Last-Modified``.
        cuts: for the next connections: how many bytes are sent before the connection breaks.
        location: redirect to there.
        headers: further ones.
    """

    content: bytes = b""
    kind: str = "application/octet-stream"
    status: int = 200
    ranges: bool = True
    version: str = '"v1"'
    cuts: list[int] = field(default_factory=list)
    location: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class FileServer:
    """What is served, and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.asked: list[tuple[str, str]] = []
        """Path and ``Range`` of every GET."""
        self.url = ""

    def serve(self, path: str, content: bytes = b"", **settings: Any) -> str:
        """Serve a file from now on; returns its address."""
        self.files[path] = Served(content, **settings)
        return self.url + path

    def serve_hub(self, name: str, files: dict[str, bytes]) -> None:
        """Serve a model as the Hugging Face hub does."""
        commit = "0123456789abcdef0123456789abcdef01234567"
        siblings = [{"rfilename": file} for file in files]
        about = {"id": name, "modelId": name, "sha": commit, "siblings": siblings, "private": False, "tags": []}
        for revision in ("main", commit):
            self.serve(f"/api/models/{name}/revision/{revision}", json.dumps(about).encode(), kind="application/json")
        tree = []
        for file, content in files.items():
            large = file.endswith(".safetensors")
            blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            tag = hashlib.sha256(content).hexdigest() if large else blob
            headers = {"X-Repo-Commit": commit}
            if large:
                headers |= {"X-Linked-ETag": f'"{tag}"', "X-Linked-Size": str(len(content))}
            tree.append({"type": "file", "path": file, "size": len(content), "oid": blob})
            for revision in ("main", commit):
                self.serve(f"/{name}/resolve/{revision}/{file}", content, version=f'"{tag}"', headers=headers)
        for revision in ("main", commit):
            self.serve(f"/api/models/{name}/tree/{revision}", json.dumps(tree).encode(), kind="application/json")


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            server.asked.append((self.path, self.headers.get("Range", "")))
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            served = server.files.get(self.path.partition("?")[0], Served(status=404, content=b"no such file"))
            content, status, extra = served.content, served.status, dict(served.headers)
            if served.location:
                status, extra["Location"] = 302, served.location
            asked = self.headers.get("Range", "")
            if (
                asked
                and served.ranges
                and status == 200
                and self.headers.get("If-Range", served.version) == served.version
            ):
                start = int(asked.removeprefix("bytes=").partition("-")[0])
                if start >= len(content):
                    status, content = 416, b""
                else:
                    status, extra["Content-Range"] = 206, f"bytes {start}-{len(content) - 1}/{len(content)}"
                    content = content[start:]
            self.send_response(status)
            self.send_header("Content-Type", served.kind)
            self.send_header("Content-Length", str(len(content)))
            if served.version:
                self.send_header("ETag", served.version)
            for name, value in extra.items():
                self.send_header(name, value)
            self.end_headers()
            if body and served.cuts:
                self.wfile.write(content[: served.cuts.pop(0)])
                self.close_connection = True
            elif body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Runs on a free port of the loopback interface."""
    server = FileServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(server)) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
