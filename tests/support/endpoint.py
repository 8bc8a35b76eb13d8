"""An HTTP endpoint on the loopback interface, whose every answer a test decides."""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator, MutableSequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import PIL.Image

from segrobust.types import Bools, Pixels, encode_mask

Reply = Callable[[BaseHTTPRequestHandler, bytes], None]


class Endpoint:
    """What a server at ``address`` was asked, and what it does next.

    Attributes:
        script: for the next POSTs, one after the other; then ``usual`` again.
        usual: answers a POST.
        get: answers a GET; a server that knows none says 501.
        posts: bodies of all POSTs.
        gets: number of GETs.
        headers: of the last request.
    """

    def __init__(self) -> None:
        self.address = ""
        self.script: list[Reply] = []
        self.usual: Reply = masks(bright)
        self.get: Reply | None = None
        self.posts: MutableSequence[bytes] = []
        self.gets = 0
        self.headers: dict[str, str] = {}

    def request(self, index: int = -1) -> Any:
        return json.loads(self.posts[index])


@contextmanager
def serve() -> Iterator[Endpoint]:
    """A server on a free port of 127.0.0.1."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            endpoint.posts.append(body)
            endpoint.headers = dict(self.headers)
            (endpoint.script.pop(0) if endpoint.script else endpoint.usual)(self, body)

        def do_GET(self) -> None:
            endpoint.gets += 1
            endpoint.headers = dict(self.headers)
            if endpoint.get is None:
                self.send_error(501)
            else:
                endpoint.get(self, b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint.address = f"http://127.0.0.1:{server.server_address[1]}/segment"
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(body: bytes | dict[str, Any], status: int = 200, **headers: str) -> Reply:
    """The same answer whatever is asked; ``Retry_After`` becomes ``Retry-After``."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body

    def reply(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def masks(find: Callable[[Pixels], Bools]) -> Reply:
    """The endpoint of the documents, in a few lines: every prompt is answered with what ``find`` finds."""

    def reply(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        request = json.loads(body)
        pixels = np.array(PIL.Image.open(io.BytesIO(base64.b64decode(request["image"]["png"]))))
        count = 1 if request["ask"] == "everything" else len(request["points"]) + len(request["boxes"])
        answer = {"schema": "segrobust-masks/1", "masks": [encode_mask(find(pixels))] * count}
        send(answer)(handler, body)

    return reply


def bright(pixels: Pixels) -> Bools:
    found: Bools = pixels.mean(axis=2) > 127
    return found
