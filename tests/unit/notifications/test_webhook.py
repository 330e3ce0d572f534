"""Webhooks: what is retried and for how long, where redirects may lead, and what every request carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from harness.common.clock import FakeClock
from harness.common.secret_values import SecretValue
from harness.notifications.event import Message
from harness.notifications.signature import HEADER, verify
from harness.notifications.webhook import ATTEMPTS, DELIVERY_SECONDS, Answer, DeliveryFailed, Webhook, post
from tests.receiver import Receiver, receiving

SECRET = "0123456789abcdef"
MESSAGE = Message(id="id-1", at="2026-01-01T00:00:00Z", run="r1")
OK = Answer(200, {}, b"")
Script = Callable[[str], Answer]


class Requests:
    """Answers from a list, each a status, an answer or an error; the last one repeats."""

    def __init__(self, clock: FakeClock, *answers: Answer | DeliveryFailed | int) -> None:
        self.clock, self.answers = clock, list(answers)
        self.urls: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[bytes] = []
        self.at: list[float] = []
        self.seconds: list[float] = []

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Answer:
        self.urls.append(url)
        self.bodies.append(body)
        self.headers.append(headers)
        self.at.append(self.clock.monotonic())
        self.seconds.append(seconds)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, DeliveryFailed):
            self.clock.advance(seconds)
            raise answer
        return Answer(answer, {}, b"") if isinstance(answer, int) else answer


def send(*answers: Answer | DeliveryFailed | int, url: str = "https://hooks.test/canary") -> Requests:
    clock = FakeClock()
    requests = Requests(clock, *answers)
    Webhook(SecretValue(url), SecretValue(SECRET), clock, requests).send(MESSAGE)
    return requests


def refused(*answers: Answer | DeliveryFailed | int, url: str = "https://hooks.test/canary") -> tuple[Requests, str]:
    clock = FakeClock()
    requests = Requests(clock, *answers)
    with pytest.raises(DeliveryFailed) as caught:
        Webhook(SecretValue(url), SecretValue(SECRET), clock, requests).send(MESSAGE)
    assert "canary" not in str(caught.value)
    return requests, str(caught.value)


@pytest.mark.parametrize("first", [500, 503, 429, 408, DeliveryFailed("the connection failed", retryable=True)])
def test_passing_trouble_is_retried(first: int | DeliveryFailed) -> None:
    requests = send(first, 200)
    assert len(requests.urls) == 2
    assert {headers["Idempotency-Key"] for headers in requests.headers} == {"id-1"}
    assert len(set(requests.bodies)) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 410, 301, 302, 303])
def test_lasting_trouble_is_not_retried(status: int) -> None:
    requests, why = refused(status)
    assert len(requests.urls) == 1
    assert f"found status {status}, expected 2xx" in why


def test_retries_end() -> None:
    requests, why = refused(500)
    assert len(requests.urls) == ATTEMPTS
    assert why == "found status 500, expected 2xx"


def test_hanging_webhook_ends_within_the_bound() -> None:
    requests, why = refused(DeliveryFailed("no answer within 10 s", retryable=True))
    assert requests.clock.monotonic() - requests.at[0] <= DELIVERY_SECONDS
    assert why == "no answer within 10 s"


@pytest.mark.parametrize("after", ["7", "Tue, 14 Nov 2023 22:13:27 GMT"])
def test_retry_after_is_obeyed(after: str) -> None:
    requests = send(Answer(429, {"retry-after": after}, b""), 200)
    assert requests.at[1] - requests.at[0] >= 6.9


@pytest.mark.parametrize("after", ["3600", "99999999999999999999", "Tue, 14 Nov 2099 22:13:27 GMT"])
def test_too_long_retry_after_is_not_awaited(after: str) -> None:
    requests, why = refused(Answer(503, {"retry-after": after}, b""))
    assert len(requests.urls) == 1
    assert "503" in why


@pytest.mark.parametrize("after", ["soon", "-5", "", "²"])
def test_wrong_retry_after_is_ignored(after: str) -> None:
    assert len(send(Answer(503, {"retry-after": after}, b""), 200).urls) == 2


def test_each_retry_is_signed_again() -> None:
    requests = send(Answer(429, {"retry-after": "9"}, b""), 200)
    times = [headers[HEADER].partition(",")[0] for headers in requests.headers]
    assert times[0] != times[1]
    assert verify(SECRET, requests.headers[1][HEADER], requests.bodies[1], requests.clock.wall())


@pytest.mark.parametrize("location", ["/moved", "https://hooks.test/moved", "moved"])
def test_redirect_within_the_host_is_followed(location: str) -> None:
    requests = send(Answer(307, {"location": location}, b""), 200)
    assert requests.urls[1] == "https://hooks.test/moved"
    assert requests.bodies[1] == requests.bodies[0]


@pytest.mark.parametrize(
    "location",
    ["https://other.test/", "http://hooks.test/", "https://hooks.test:8443/", "//other.test/", "", "https://[/"],
)
def test_redirect_to_another_host_is_refused(location: str) -> None:
    requests, why = refused(Answer(308, {"location": location}, b""))
    assert len(requests.urls) == 1
    assert why == "refused a redirect to another host"


def test_redirect_loop_ends() -> None:
    requests, why = refused(Answer(307, {"location": "/again"}, b""))
    assert why == "more than 3 redirects"
    assert len(requests.urls) == 4


def test_real_request_is_signed_and_not_redirected() -> None:
    with receiving() as receiver:
        receiver.answers = lambda _: (302, {"Location": "http://198.18.0.1/"}, b"")
        body = b'{"a": 1}'
        answer = post(f"{receiver.url}/hook?a=b", body, {"X": "y"}, 5.0)
        assert (answer.status, answer.headers["location"]) == (302, "http://198.18.0.1/")
        (request,) = receiver.requests
        assert (request.method, request.path, request.body, request.headers["x"]) == ("POST", "/hook?a=b", body, "y")


def refuse_connections() -> str:
    with receiving() as receiver:
        return receiver.url


def test_refused_connection_is_retryable_and_hides_the_url() -> None:
    with pytest.raises(DeliveryFailed) as caught:
        post(f"{refuse_connections()}/canary", b"", {}, 5.0)
    assert caught.value.retryable
    assert str(caught.value) == "the connection failed"


@pytest.mark.parametrize("url", ["http://", "http://[::1/canary", "canary", "http://a b/canary", "http://.canary/"])
def test_wrong_url_is_an_error_without_the_url(url: str) -> None:
    with pytest.raises(DeliveryFailed) as caught:
        post(url, b"", {}, 5.0)
    assert "canary" not in str(caught.value)


def test_large_answer_is_cut() -> None:
    with receiving() as receiver:
        answer_with(receiver, b"x" * 1_000_000)
        assert len(post(receiver.url, b"", {}, 5.0).body) == 64 * 1024


def answer_with(receiver: Receiver, body: bytes) -> None:
    receiver.answers = lambda _: (200, {}, body)
