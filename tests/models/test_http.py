"""models/http.py and models/http_client.py: an endpoint on the loopback interface, and all that can go wrong there."""

import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
import pytest
from contract import MIB, check_black_box_geometry, check_flat_memory, check_no_state, make_photo
from endpoint import Endpoint, bright, send, serve

import segrobust
from segrobust.errors import AnswerError, CapabilityError, ModelError, UsageError
from segrobust.models import http_client, load
from segrobust.models.base import EverythingFirst, EverythingSettings, require_white_box
from segrobust.types import Image, Prompts, encode_mask

PHOTO = make_photo((40, 60))
TWO = Prompts.of([(3, 4)], [(5, 6, 20, 30)])


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serve() as server:
        yield server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, without making them."""
    made: list[float] = []
    monkeypatch.setattr(http_client.time, "sleep", made.append)
    return made


def test_a_photo_goes_out_and_masks_come_back(endpoint: Endpoint) -> None:
    segmenter = segrobust.wrap_http(endpoint.address)
    answers = segmenter.answer(PHOTO, TWO, "best")
    assert len(answers) == 2
    np.testing.assert_array_equal(answers.mask(0), bright(PHOTO.pixels))
    assert np.isnan(answers.predicted_iou).all()
    request = endpoint.request()
    assert (request["points"], request["boxes"], request["rule"]) == ([[3, 4]], [[5, 6, 20, 30]], "best")
    assert endpoint.headers["Content-Type"] == "application/json"
    assert endpoint.gets == 1  # what can it do? It does not say, so: points and boxes
    assert segmenter.capabilities.names() == ("points", "boxes", "everything")
    assert segmenter.name == endpoint.address
    assert segmenter.requests == 2
    assert len(segmenter.answer(PHOTO, Prompts.of())) == 0
    assert segmenter.requests == 2
    with pytest.raises(CapabilityError, match="gives no gradients"):
        require_white_box(segmenter)


def test_geometry_state_and_memory(endpoint: Endpoint) -> None:
    segmenter = segrobust.wrap_http(endpoint.address)
    check_black_box_geometry(segmenter, sizes=((7, 5), (101, 131), (700, 900)), pixels=4000, examples=3)
    check_no_state(segmenter)
    endpoint.posts = deque(maxlen=1)  # the server is in this process too
    check_flat_memory(segmenter, photos=80, allowed=16 * MIB)


def test_many_prompts_go_in_several_requests(endpoint: Endpoint) -> None:
    segmenter = segrobust.wrap_http(endpoint.address, prompts_per_request=2)
    prompts = Prompts.of([(1, 1), (2, 2), (3, 3)], [(0, 0, 4, 4), (0, 0, 5, 5)])
    assert len(segmenter.answer(PHOTO, prompts)) == 5
    sent = [(request["points"], request["boxes"]) for request in map(endpoint.request, range(3))]
    assert sent == [([[1, 1], [2, 2]], []), ([[3, 3]], [[0, 0, 4, 4]]), ([], [[0, 0, 5, 5]])]


def test_everything_is_asked_at_a_grid_or_at_once(endpoint: Endpoint) -> None:
    grid = segrobust.wrap_http(endpoint.address, settings=EverythingSettings(points_per_side=3))
    assert len(segrobust.segment_everything(grid, PHOTO)) == 1
    assert len(endpoint.request()["points"]) == 9
    endpoint.get = send({"schema": "segrobust-capabilities/1", "boxes": False, "everything": True})
    finding = segrobust.wrap_http(endpoint.address)
    assert isinstance(finding, EverythingFirst)
    assert finding.capabilities.names() == ("points", "everything")
    assert len(segrobust.segment_everything(finding, PHOTO)) == 1
    assert endpoint.request()["ask"] == "everything"
    assert segrobust.wrap_http(endpoint.address, boxes=True).capabilities.boxes  # an argument is stronger


def test_what_is_given_is_not_asked_for(endpoint: Endpoint) -> None:
    segrobust.wrap_http(endpoint.address, points=True, boxes=True, everything=False)
    assert endpoint.gets == 0


@pytest.mark.parametrize("document", [b"<html>welcome</html>", b'{"hello": 1}', b"[1]"])
def test_a_page_that_is_no_capabilities_says_nothing(endpoint: Endpoint, document: bytes) -> None:
    endpoint.get = send(document)
    assert segrobust.wrap_http(endpoint.address).capabilities.names() == ("points", "boxes", "everything")


@pytest.mark.parametrize(
    ("status", "document", "says"),
    [
        (200, b'{"schema": "segrobust-capabilities/2"}', "speaks 'segrobust-capabilities/2', this version"),
        (200, b'{"schema": "segrobust-capabilities/1", "points": 1}', "must be true or false, got {'points': 1}"),
        (401, b"who are you?", r"refuses access: status 401 \(who are you\?\)"),
        (302, b"", "sends us on to None"),
    ],
)
def test_capabilities_that_cannot_be_used(endpoint: Endpoint, status: int, document: bytes, says: str) -> None:
    endpoint.get = send(document, status)
    with pytest.raises(ModelError, match=says):
        segrobust.wrap_http(endpoint.address)


# --- asking again --------------------------------------------------------------------------------------------------


def hang_up(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def break_off(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    """Half of an answer that would be whole JSON if its length did not say otherwise."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{}")
    handler.close_connection = True


def break_off_a_chunk(handler: BaseHTTPRequestHandler, _: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"ff\r\n{}")
    handler.close_connection = True


FAILURES = [
    send(b"oh", 500),
    send(b"", 502),
    send(b"", 503),
    send(b"", 504),
    send(b"slower", 429),
    hang_up,
    break_off,
    break_off_a_chunk,
]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_that_may_pass_is_asked_again(endpoint: Endpoint, waits: list[float], failure: Any) -> None:
    segmenter = segrobust.wrap_http(endpoint.address)
    endpoint.script = [failure, failure]
    assert len(segmenter.answer(PHOTO, TWO)) == 2
    assert waits == [0.5, 1.0]
    assert segmenter.requests == 1 + 3
    assert endpoint.posts[0] == endpoint.posts[2]


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (send(b"oh\nno", 500), r"no answer after 2 requests: status 500 \(oh no\)"),
        (hang_up, "no answer after 2 requests: RemoteDisconnected"),
        (break_off, "no answer after 2 requests: IncompleteRead"),
    ],
)
def test_it_is_given_up_in_the_end(endpoint: Endpoint, waits: list[float], failure: Any, says: str) -> None:
    segmenter = segrobust.wrap_http(endpoint.address, retries=1)
    endpoint.usual = failure
    with pytest.raises(AnswerError, match=says) as caught:
        segmenter.answer(PHOTO, TWO)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert waits == [0.5]
    assert len(endpoint.posts) == 2


def test_retry_after_is_honoured(endpoint: Endpoint, waits: list[float]) -> None:
    segmenter = segrobust.wrap_http(endpoint.address)
    later = formatdate(time.time() + 30, usegmt=True)
    endpoint.script = [
        send(b"", 429, Retry_After="7"),
        send(b"", 503, Retry_After=later),
        send(b"", 429, Retry_After="?"),
    ]
    segmenter.answer(PHOTO, TWO)
    assert waits[0] == 7
    assert waits[1] == pytest.approx(30, abs=5)
    assert waits[2] == 2.0  # unreadable: the usual pause
    endpoint.script = [send(b"", 429, Retry_After="3600")]
    with pytest.raises(AnswerError, match="it asks to wait 3600 s, try again later"):
        segmenter.answer(PHOTO, TWO)
    assert len(waits) == 3


@pytest.mark.parametrize("status", [400, 404, 413, 418, 501])
def test_a_refusal_is_not_asked_again(endpoint: Endpoint, waits: list[float], status: int) -> None:
    segmenter = segrobust.wrap_http(endpoint.address)
    endpoint.usual = send(b"no such thing", status)
    with pytest.raises(AnswerError, match=rf"answered status {status} \(no such thing\)"):
        segmenter.answer(PHOTO, TWO)
    assert waits == []


def test_a_redirect_is_not_followed(endpoint: Endpoint) -> None:
    segmenter = segrobust.wrap_http(endpoint.address)
    with serve() as elsewhere:
        endpoint.usual = send(b"", 307, Location=elsewhere.address)
        with pytest.raises(AnswerError, match=rf"sends us on to '{elsewhere.address}' \(status 307\)"):
            segmenter.answer(PHOTO, TWO)
        assert elsewhere.posts == []


def test_no_proxy_is_used(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.address)
        segrobust.wrap_http(endpoint.address).answer(PHOTO, TWO)
        assert (proxy.posts, proxy.gets) == ([], 0)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(
        ModelError, match=rf"endpoint http://127.0.0.1:{port}/: no answer after 1 requests: Connection"
    ) as c:
        segrobust.wrap_http(f"http://127.0.0.1:{port}/", retries=0)
    assert c.value.exit_code == 5


# --- limits --------------------------------------------------------------------------------------------------------


def test_silence_ends_at_the_timeout(endpoint: Endpoint) -> None:
    done = threading.Event()

    def silent(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        done.wait(10)

    segmenter = segrobust.wrap_http(endpoint.address, timeout=0.2, retries=0)
    endpoint.usual = silent
    with pytest.raises(AnswerError, match="no answer after 1 requests: TimeoutError"):
        segmenter.answer(PHOTO, TWO)
    done.set()


def test_an_answer_that_trickles_ends_at_the_timeout(endpoint: Endpoint) -> None:
    done = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        try:
            while not done.wait(0.05):
                handler.wfile.write(b" ")
        except OSError:
            handler.close_connection = True

    segmenter = segrobust.wrap_http(endpoint.address, timeout=1.5, retries=0)
    endpoint.usual = trickle
    with pytest.raises(AnswerError, match=r"TimeoutError the answer was not there after 1\.5 s"):
        segmenter.answer(PHOTO, TWO)
    done.set()


def test_an_answer_that_is_too_large_is_not_read(endpoint: Endpoint) -> None:
    segmenter = segrobust.wrap_http(endpoint.address, max_answer="2KiB")
    endpoint.usual = send(b" " * 3000)
    with pytest.raises(AnswerError, match=r"answered more than 2048 bytes \(max_answer\)"):
        segmenter.answer(PHOTO, TWO)
    assert len(endpoint.posts) == 1


def test_requests_keep_the_rate(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(http_client.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(http_client.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    segmenter = segrobust.wrap_http(endpoint.address, points=True, boxes=True, everything=False, rate=2)
    starts = []
    for _ in range(4):
        segmenter.answer(PHOTO, TWO)
        starts.append(clock[0])
    clock[0] += 10
    segmenter.answer(PHOTO, TWO)
    assert starts == [100.0, 100.5, 101.0, 101.5]
    assert clock[0] == 111.5  # time that passed counts, and is not saved up


# --- by address ----------------------------------------------------------------------------------------------------


def test_settings_after_the_address(endpoint: Endpoint) -> None:
    segmenter = load(
        f"{endpoint.address}?key=1#rate=50&timeout=7&retries=1&max_answer=1MiB&prompts_per_request=9", device="cpu"
    )
    assert segmenter.name == endpoint.address
    assert segmenter.settings == {
        "rate": 50, "timeout": 7, "retries": 1, "max_answer": 2**20, "prompts_per_request": 9
    }  # fmt: skip
    assert len(segmenter.answer(PHOTO, TWO)) == 2


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("http://127.0.0.1:1/#speed=2", "setting 'speed' of an endpoint is unknown; known are rate, retries"),
        ("http://127.0.0.1:1/#rate=fast", "setting rate='fast' of an endpoint is no number"),
        ("http://127.0.0.1:1/#rate=-1", r"rate must be requests per second, more than 0, got -1\.0"),
        ("http://127.0.0.1:1/#timeout=nan", "timeout more than 0"),
        ("http://127.0.0.1:1/#max_answer=x", "memory 'x' is not a size"),
        ("http://me:secret@127.0.0.1:1/", r"a password in an address ends up in records"),
        ("http://127.0.0.1:99999/", r"Port out of range.*write it like http://localhost:8000/segment"),
        ("http:///segment", "'http:///segment' is no address of an endpoint"),
    ],
)
def test_addresses_that_cannot_be_meant(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        load(name, device="cpu")
    assert "secret" not in str(caught.value)


def test_arguments_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="#rate=2 is for the command line"):
        segrobust.wrap_http("http://127.0.0.1:1/#rate=2")
    with pytest.raises(UsageError, match="is no address"):
        segrobust.wrap_http("ftp://127.0.0.1/")
    with pytest.raises(UsageError, match="prompts_per_request at least 1"):
        segrobust.wrap_http("http://127.0.0.1:1/", prompts_per_request=0)
    with pytest.raises(UsageError, match="takes no checkpoint"):
        load("http://127.0.0.1:1/", device="cpu", checkpoint="x.pth")


def test_headers_are_sent_and_a_key_is_not_told(endpoint: Endpoint) -> None:
    segmenter = segrobust.wrap_http(endpoint.address + "?key=hidden", headers={"Authorization": "Bearer hidden"})
    segmenter.answer(PHOTO, TWO)
    assert endpoint.headers["Authorization"] == "Bearer hidden"
    endpoint.usual = send(b"", 403)
    with pytest.raises(AnswerError, match="answered status 403") as caught:
        segmenter.answer(PHOTO, TWO)
    assert "hidden" not in str(caught.value) + segmenter.name


def test_a_wrong_answer_names_the_endpoint(endpoint: Endpoint) -> None:
    segmenter = segrobust.wrap_http(endpoint.address)
    small = encode_mask(np.zeros((4, 4), np.bool_))
    endpoint.usual = send({"schema": "segrobust-masks/1", "masks": [small, small]})
    says = rf"endpoint {endpoint.address} answered what is no answer: mask 0 has size \[4, 4\], the photo \[40, 60\]"
    with pytest.raises(AnswerError, match=says):
        segmenter.answer(Image(PHOTO.pixels), TWO)
