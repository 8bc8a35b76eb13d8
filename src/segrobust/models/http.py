"""An HTTP endpoint as a segmenter: photos go out as PNG, masks come back as COCO RLE (see ``http_contract``)."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

import numpy as np

from segrobust.errors import AnswerError, ModelError, UsageError
from segrobust.models.base import EverythingFirst, EverythingSettings
from segrobust.models.black_box import BlackBox, best_first, refuse_options
from segrobust.models.http_client import Client, Manners, excerpt
from segrobust.models.http_contract import encode_photo, make_request, read_answer, read_capabilities
from segrobust.models.options import LoadOptions, parse_memory
from segrobust.types import Image, Masks, Prompts

DEFAULTS = {"points": True, "boxes": True, "everything": False}
"""What an endpoint can do that does not say."""
PROMPTS_PER_REQUEST = 64


def wrap_http(
    address: str,
    *,
    name: str | None = None,
    points: bool | None = None,
    boxes: bool | None = None,
    everything: bool | None = None,
    rate: float | None = None,
    retries: int = Manners.retries,
    timeout: float = Manners.timeout,
    max_answer: int | str = Manners.max_answer,
    prompts_per_request: int = PROMPTS_PER_REQUEST,
    headers: Mapping[str, str] | None = None,
    settings: EverythingSettings | None = None,
) -> "HttpSegmenter":
    """An HTTP endpoint as a black box that can be scored; the contract is in docs/black-boxes.md.

    Photos are sent to this address only: no redirect is followed and no proxy used.

    Args:
        address: ``http://`` or ``https://``, where requests are posted.
        name: for tables; default the address.
        points: takes points.
        boxes: takes boxes.
        everything: finds all masks by itself; otherwise it is asked at a grid of points. Of these three, what is not
            given is asked once (GET on the address); an endpoint that does not say takes points and boxes.
        rate: requests per second at most (None: no limit).
        retries: how often a request is made again after status 429, 5xx or a broken connection; >= 0.
        timeout: seconds for one request.
        max_answer: bytes of an answer at most, or e.g. ``64MiB``.
        prompts_per_request: the photo travels with every request; >= 1.
        headers: sent with every request, e.g. ``{"Authorization": "Bearer ..."}``; they are not recorded.
        settings: how to ask at the grid.

    Returns:
        A segmenter without gradients; ``requests`` counts what was sent.

    Raises:
        UsageError: an address or argument that cannot be meant.
        ModelError: nobody answers there.
    """
    if rate is not None and not (isfinite(rate) and rate > 0):
        raise UsageError(f"rate must be requests per second, more than 0, got {rate}")
    if retries < 0 or not (isfinite(timeout) and timeout > 0) or prompts_per_request < 1:
        raise UsageError(
            "retries must be at least 0, timeout more than 0 and prompts_per_request at least 1, "
            f"got {retries}, {timeout}, {prompts_per_request}"
        )
    manners = Manners(rate, retries, timeout, parse_memory(max_answer) or Manners.max_answer)
    client = Client(_parse(address), headers or {}, manners)
    given = {"points": points, "boxes": boxes, "everything": everything}
    known = {kind: value for kind, value in given.items() if value is not None}
    can = DEFAULTS | ({} if len(known) == len(given) else _ask_capabilities(client)) | known
    kind = FindingHttpSegmenter if can["everything"] else HttpSegmenter
    return kind(name or client.place, client, can, prompts_per_request, settings)


def _parse(address: str) -> SplitResult:
    example = "write it like http://localhost:8000/segment"
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise UsageError(f"address of an endpoint: {error}; {example}") from error
    if parts.username is not None:
        raise UsageError("a password in an address ends up in records; give it to segrobust.wrap_http as headers")
    if parts.fragment:
        raise UsageError(f"#{parts.fragment} is for the command line; give segrobust.wrap_http arguments instead")
    if not known:
        raise UsageError(f"{address!r} is no address of an endpoint; {example}")
    return parts


def _ask_capabilities(client: Client) -> dict[str, bool]:
    """GET on the address: what it says that it can do; nothing if it does not know the question.

    Raises:
        ModelError: nobody answers, or access is refused.
    """
    who = f"endpoint {client.place}"
    try:
        answer = client.request("GET")
        _refuse_redirect(answer.status, answer.headers.get("Location"), who)
    except AnswerError as error:
        raise ModelError(str(error)) from error
    if answer.status in (401, 403, 407):
        raise ModelError(f"{who} refuses access: status {answer.status}{excerpt(answer.body)}")
    return read_capabilities(answer.body, who) if answer.status == 200 else {}


def _refuse_redirect(status: int, location: str | None, who: str) -> None:
    if 300 <= status < 400:
        raise AnswerError(f"{who} sends us on to {location!r} (status {status}); if that is meant, give that address")


class HttpSegmenter(BlackBox):
    """An endpoint that answers prompts; see :func:`wrap_http`."""

    def __init__(
        self, name: str, client: Client, can: Mapping[str, bool], batch: int, settings: EverythingSettings | None
    ) -> None:
        super().__init__(
            name, points=can["points"], boxes=can["boxes"], everything=can["everything"], settings=settings
        )
        self._client = client
        self._batch = batch
        self.settings = asdict(client.manners) | {"prompts_per_request": batch}

    @property
    def requests(self) -> int:
        """Requests made so far, those that failed included."""
        return self._client.requests

    def _ask(self, image: Image, prompts: Prompts, rule: str) -> Masks:
        photo = encode_photo(image)
        parts = [self._post(photo, image, part, rule) for part in _parts(prompts, self._batch)]
        rles = [rle for part in parts for rle in part.rles]
        return Masks.from_rles(image.size, rles, predicted_iou=np.concatenate([p.predicted_iou for p in parts]))

    def _post(self, photo: dict[str, Any], image: Image, prompts: Prompts | None, rule: str) -> Masks:
        who = f"endpoint {self._client.place}"
        answer = self._client.request("POST", make_request(photo, prompts, rule))
        _refuse_redirect(answer.status, answer.headers.get("Location"), who)
        if answer.status != 200:
            raise AnswerError(f"{who} answered status {answer.status}{excerpt(answer.body)}")
        return read_answer(answer.body, image.size, None if prompts is None else len(prompts), who)


class FindingHttpSegmenter(HttpSegmenter, EverythingFirst):
    """An endpoint that also finds all masks by itself."""

    def find_masks(self, image: Image, settings: EverythingSettings) -> Masks:
        """All masks that the endpoint finds, best first, by its own settings."""
        return best_first(self._post(encode_photo(image), image, None, "best"))


def _parts(prompts: Prompts, count: int) -> Iterator[Prompts]:
    """At most ``count`` prompts at a time, in order: points, then boxes."""
    points = len(prompts.points)
    for start in range(0, len(prompts), count):
        stop = start + count
        yield Prompts.of(prompts.points[start:stop], prompts.boxes[max(0, start - points) : max(0, stop - points)])


SETTINGS = {"rate": float, "retries": int, "timeout": float, "max_answer": str, "prompts_per_request": int}
"""What may follow the ``#`` of an address, and how it is read."""


def load_http(name: str, options: LoadOptions) -> HttpSegmenter:
    """An endpoint by its address; settings of ``wrap_http`` may follow ``#``, which is not sent.

    Args:
        name: e.g. ``http://localhost:8000/segment#rate=2&timeout=30``.
        options: nothing of them means anything to an endpoint.

    Raises:
        UsageError: an unknown setting, or one that cannot be read.
        ModelError: nobody answers there.
    """
    refuse_options(name, options)
    parts = urlsplit(name)
    settings: dict[str, Any] = {}
    for key, value in parse_qsl(parts.fragment, keep_blank_values=True):
        if key not in SETTINGS:
            raise UsageError(f"setting {key!r} of an endpoint is unknown; known are {', '.join(SETTINGS)}")
        try:
            settings[key] = SETTINGS[key](value)
        except ValueError:
            raise UsageError(f"setting {key}={value!r} of an endpoint is no number") from None
    return wrap_http(urlunsplit(parts._replace(fragment="")), **settings)
