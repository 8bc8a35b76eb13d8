"""Requests to one address: at a limited rate, again after a failure, never to another address."""

import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, quote

from segrobust.errors import AnswerError

FIRST_WAIT = 0.5
"""Seconds before a request is made again; doubled with every further time."""
LONGEST_WAIT = 120.0
"""Seconds; an endpoint that asks for more (Retry-After) has given up."""
_QUOTED = "/%:@!$&'()*+,;=~?"
AGAIN = (429, 500, 502, 503, 504)
"""Status codes after which the same request is made again."""


@dataclass(frozen=True)
class Manners:
    """How an address is treated.

    Attributes:
        rate: requests per second at most (None: no limit).
        retries: how often a request is made again after 429, 5xx or a broken connection.
        timeout: seconds for one request, and for every silence in it.
        max_answer: bytes of an answer at most.
    """

    rate: float | None = None
    retries: int = 4
    timeout: float = 60.0
    max_answer: int = 64 * 2**20


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP status code.
        headers: names as sent.
        body: whole.
    """

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Client:
    """Makes requests; see the module.

    No proxy is used and no redirect followed: photos go to the address that was named, and nowhere else.

    Args:
        address: parsed, http or https.
        headers: sent with every request, e.g. ``Authorization``.
        manners: rate, retries, limits.
    """

    def __init__(self, address: SplitResult, headers: Mapping[str, str], manners: Manners) -> None:
        self.address = address
        self.manners = manners
        self.requests = 0
        self._headers = {"User-Agent": "segrobust", "Accept": "application/json", **headers}
        self._next_start = 0.0

    def request(self, method: str, body: bytes | None = None) -> Answer:
        """One request, made again as often as the manners allow.

        Returns:
            An answer of any status that is not a reason to ask again.

        Raises:
            AnswerError: none came, or not whole, or too much.
        """
        wait = FIRST_WAIT
        for attempt in range(self.manners.retries + 1):
            asked_to_wait = None
            try:
                answer = self._once(method, body)
                if answer.status not in AGAIN:
                    return answer
                reason = f"status {answer.status}{excerpt(answer.body)}"
                asked_to_wait = _retry_after(answer.headers.get("Retry-After"))
            except ssl.SSLCertVerificationError as error:
                raise AnswerError(f"endpoint {self.place}: {error.verify_message}") from error
            except (OSError, http.client.HTTPException) as error:
                reason = " ".join(f"{type(error).__name__} {error}".split())
            pause = wait if asked_to_wait is None else asked_to_wait
            if pause > LONGEST_WAIT:
                raise AnswerError(f"endpoint {self.place}: {reason}; it asks to wait {pause:.0f} s, try again later")
            if attempt < self.manners.retries:
                time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)
        raise AnswerError(f"endpoint {self.place}: no answer after {self.manners.retries + 1} requests: {reason}")

    @property
    def place(self) -> str:
        """The address, without the query: that may hold a key."""
        return f"{self.address.scheme}://{self.address.netloc}{self.address.path}"

    def _once(self, method: str, body: bytes | None) -> Answer:
        self._keep_pace()
        self.requests += 1
        kind = http.client.HTTPSConnection if self.address.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.address.hostname or "", self.address.port, timeout=self.manners.timeout)
        deadline = time.monotonic() + self.manners.timeout
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        query = f"?{quote(self.address.query, safe=_QUOTED)}" if self.address.query else ""
        target = quote(self.address.path or "/", safe=_QUOTED) + query
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, self._read(response, deadline))
        finally:
            connection.close()

    def _keep_pace(self) -> None:
        if self.manners.rate is None:
            return
        now = time.monotonic()
        if now < self._next_start:
            time.sleep(self._next_start - now)
        self._next_start = max(now, self._next_start) + 1 / self.manners.rate

    def _read(self, response: http.client.HTTPResponse, deadline: float) -> bytes:
        parts, total = [], 0
        while part := response.read1(2**16):
            parts.append(part)
            total += len(part)
            if total > self.manners.max_answer:
                limit = f"more than {self.manners.max_answer} bytes (max_answer)"
                raise AnswerError(f"endpoint {self.place} answered {limit}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the answer was not there after {self.manners.timeout:g} s")
        if response.length:  # what was announced and did not come
            raise http.client.IncompleteRead(b"".join(parts), response.length)
        return b"".join(parts)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a number or a date; None if nothing is said that can be read."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def excerpt(body: bytes) -> str:
    """The beginning of an answer's text, for a message; nothing if it has none."""
    text = " ".join(body[:200].decode("utf-8", "replace").split())
    return f" ({text})" if text else ""
