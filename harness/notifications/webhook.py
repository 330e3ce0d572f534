"""Send a signed message to a webhook: retried where a retry may help, and bounded in time."""

from __future__ import annotations

import email.utils
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests

from harness.common.clock import Clock
from harness.common.errors import HarnessError
from harness.common.secret_values import SecretValue
from harness.common.waiting import retrying
from harness.notifications.event import Message
from harness.notifications.signature import HEADER, signature

# Seconds for one request, and for one message with all its retries.
REQUEST_SECONDS = 10.0
DELIVERY_SECONDS = 60.0
ATTEMPTS = 5
LONGEST_PAUSE = 10.0
# Larger answers are cut: only the answer to a veto question is read.
MOST_BYTES = 64 * 1024
MOST_REDIRECTS = 3
USER_AGENT = "resilience-harness/1"


class DeliveryFailed(HarnessError):
    """A message was not delivered. The text never contains the URL beyond its host, nor what the server answered.

    ``retry_after`` is how many seconds the server asked to wait.
    """

    def __init__(self, message: str, *, retryable: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self._retryable = retryable
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        return self._retryable


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a webhook: its status, headers (lower-case names) and the first bytes of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


# Sends one POST request without following redirects. Raises DeliveryFailed if there is no answer.
Post = Callable[[str, bytes, Mapping[str, str], float], Answer]


def post(url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
    """Send one POST request. Raises DeliveryFailed, retryable, if there is no answer within about ``seconds``."""
    try:
        with (
            _unlogged(),
            requests.post(
                url, data=body, headers=dict(headers), timeout=seconds, allow_redirects=False, stream=True
            ) as response,
        ):
            data = next(response.iter_content(MOST_BYTES), b"")
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status_code, found, data)
    # The error's own text contains the URL.
    except requests.Timeout as error:
        raise DeliveryFailed(f"no answer within {seconds:g} s", retryable=True) from error
    except requests.exceptions.SSLError as error:
        raise DeliveryFailed("the certificate of the server is not accepted") from error
    except requests.ConnectionError as error:
        raise DeliveryFailed("the connection failed", retryable=True) from error
    except (requests.RequestException, ValueError) as error:
        raise DeliveryFailed(f"the request failed: {type(error).__name__}") from error


# The threads that are sending: urllib3 logs the path of each request, which may be a secret.
_sending: set[int] = set()


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the requests of this thread out of the logs, which pytest adds to reports."""
    thread = threading.get_ident()
    # addFilter() does nothing the second time.
    logging.getLogger("urllib3.connectionpool").addFilter(_not_sending)
    _sending.add(thread)
    try:
        yield
    finally:
        _sending.discard(thread)


def _not_sending(record: logging.LogRecord) -> bool:
    return record.thread not in _sending


@dataclass(frozen=True)
class Webhook:
    """One URL and the secret that signs what is sent to it."""

    url: SecretValue
    secret: SecretValue
    clock: Clock
    post: Post = post

    def __str__(self) -> str:
        return str(self.url)

    def send(self, message: Message, seconds: float = DELIVERY_SECONDS, request: float = REQUEST_SECONDS) -> Answer:
        """Send a message, with retries for at most ``seconds``; return the answer with a status of 2xx.

        ``request`` is the time limit of one request. Raises DeliveryFailed."""
        body = message.model_dump_json(by_alias=True).encode()
        deadline = self.clock.monotonic() + seconds
        answer: Answer = retrying(self.clock, ATTEMPTS, longest=LONGEST_PAUSE, deadline=deadline)(
            self._once, message.id, body, deadline, request
        )
        return answer

    def _once(self, key: str, body: bytes, deadline: float, request: float) -> Answer:
        url = self.url.text
        for _ in range(MOST_REDIRECTS + 1):
            left = deadline - self.clock.monotonic()
            if left <= 0:
                raise DeliveryFailed("no answer in time")
            # Signed for each request, so that a retry is inside the replay window.
            headers = {
                "Content-Type": "application/json",
                "User-Agent": USER_AGENT,
                "Idempotency-Key": key,
                HEADER: signature(self.secret.text, body, self.clock.wall()),
            }
            answer = self.post(url, body, headers, min(request, left))
            if answer.status not in {307, 308}:
                return _accepted(answer, self.clock)
            url = _redirected(url, answer.headers.get("location", ""))
        raise DeliveryFailed(f"more than {MOST_REDIRECTS} redirects")


def _accepted(answer: Answer, clock: Clock) -> Answer:
    if 200 <= answer.status < 300:
        return answer
    if 300 <= answer.status < 400:
        raise DeliveryFailed(f"found status {answer.status}, expected 2xx: only 307 and 308 keep the request")
    retryable = answer.status in {408, 425, 429} or answer.status >= 500
    after = _seconds(answer.headers.get("retry-after", ""), clock) if retryable else 0.0
    raise DeliveryFailed(f"found status {answer.status}, expected 2xx", retryable=retryable, retry_after=after)


def _redirected(url: str, location: str) -> str:
    """Return the target of a redirect. Raises DeliveryFailed if it is on another host, port or scheme."""
    try:
        target = urljoin(url, location)
        before, after = urlsplit(url), urlsplit(target)
        same = (before.scheme, before.hostname, before.port) == (after.scheme, after.hostname, after.port)
    except ValueError:
        same = False
    if not same or not location:
        raise DeliveryFailed("refused a redirect to another host")
    return target


def _seconds(text: str, clock: Clock) -> float:
    """Return the seconds of a Retry-After header, which is a number or a date; 0 for anything else."""
    if text.strip().isascii() and text.strip().isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - clock.wall())
    except (ValueError, TypeError, OverflowError):
        return 0.0
