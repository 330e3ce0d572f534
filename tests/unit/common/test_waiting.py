"""Waiting and retrying, on a clock that only they move."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.common.clock import FakeClock
from harness.common.errors import ApiError, TimedOut
from harness.common.waiting import retrying, wait_until


def _looks(*answers: object) -> Iterator[object]:
    return iter(answers)


def test_found_value_is_returned_without_waiting(fake_clock: FakeClock) -> None:
    start = fake_clock.monotonic()
    assert wait_until("it", lambda: ("found", ""), 10, fake_clock) == "found"
    assert fake_clock.monotonic() == start


def test_waits_until_it_appears(fake_clock: FakeClock) -> None:
    answers = _looks(None, None, 7)
    start = fake_clock.monotonic()
    assert wait_until("it", lambda: (next(answers), "no"), 10, fake_clock, every=0.5) == 7
    assert fake_clock.monotonic() - start == pytest.approx(1.0)


def test_a_falsy_value_counts_as_found(fake_clock: FakeClock) -> None:
    assert wait_until("it", lambda: (0, ""), 1, fake_clock) == 0


def test_timeout_reports_the_last_observation(fake_clock: FakeClock) -> None:
    start = fake_clock.monotonic()
    with pytest.raises(TimedOut, match=r"pods ready: not within 3 s; last seen: 2 of 3") as caught:
        wait_until("pods ready", lambda: (None, "2 of 3"), 3, fake_clock, every=2)
    assert fake_clock.monotonic() - start == pytest.approx(3)
    assert (caught.value.what, caught.value.seconds, caught.value.last) == ("pods ready", 3, "2 of 3")


def test_checks_once_more_at_the_deadline(fake_clock: FakeClock) -> None:
    answers = _looks(None, "just in time")
    assert wait_until("it", lambda: (next(answers), ""), 1, fake_clock, every=1) == "just in time"


def test_checks_at_least_once_without_time(fake_clock: FakeClock) -> None:
    assert wait_until("it", lambda: ("found", ""), 0, fake_clock) == "found"


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_a_retryable_error_is_not_yet(fake_clock: FakeClock, status: int) -> None:
    answers = _looks(ApiError(status, "Down", "try again"), "found")

    def look() -> tuple[object, str]:
        answer = next(answers)
        if isinstance(answer, ApiError):
            raise answer
        return answer, ""

    assert wait_until("it", look, 5, fake_clock) == "found"


def test_retryable_error_is_the_last_observation(fake_clock: FakeClock) -> None:
    def look() -> tuple[None, str]:
        raise ApiError(503, "Down", "try again")

    with pytest.raises(TimedOut, match="503 Down"):
        wait_until("it", look, 1, fake_clock)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 422])
def test_final_error_ends_the_wait_immediately(fake_clock: FakeClock, status: int) -> None:
    def look() -> tuple[None, str]:
        raise ApiError(status, "No", "never")

    start = fake_clock.monotonic()
    with pytest.raises(ApiError):
        wait_until("it", look, 60, fake_clock)
    assert fake_clock.monotonic() == start


def test_calls_are_repeated_while_errors_are_retryable(fake_clock: FakeClock) -> None:
    answers = _looks(ApiError(0, "Lost", ""), ApiError(500, "Down", ""), "answer")

    def call() -> object:
        answer = next(answers)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    start = fake_clock.monotonic()
    assert retrying(fake_clock)(call) == "answer"
    assert 0 <= fake_clock.monotonic() - start <= 4.0


def test_last_error_is_raised_after_the_given_attempts(fake_clock: FakeClock) -> None:
    attempts: list[int] = []

    def call() -> None:
        attempts.append(1)
        raise ApiError(503, "Down", f"attempt {len(attempts)}")

    with pytest.raises(ApiError, match="attempt 3"):
        retrying(fake_clock, attempts=3)(call)


def test_a_final_error_is_not_repeated(fake_clock: FakeClock) -> None:
    attempts: list[int] = []

    def call() -> None:
        attempts.append(1)
        raise ApiError(404, "NotFound", "gone")

    with pytest.raises(ApiError):
        retrying(fake_clock)(call)
    assert attempts == [1]
