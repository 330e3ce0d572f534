"""The only polling loop and the only retry policy of the harness."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random_exponential,
)

from harness.common.clock import Clock
from harness.common.errors import ApiError, HarnessError, TimedOut

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
_RECONNECT = wait_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)


def wait_until(
    what: str,
    look: Callable[[], tuple[T | None, str]],
    seconds: float,
    clock: Clock,
    every: float = 0.2,
) -> T:
    """Call ``look`` every ``every`` seconds until it returns a result, for at most ``seconds``; return that result.

    ``look`` returns the result (None: not yet) and a description of what it saw, for the error message. A retryable
    ApiError counts as "not yet"; every other error ends the wait. Raises TimedOut with what was last seen.
    """
    deadline = clock.monotonic() + seconds
    while True:
        try:
            found, seen = look()
        except ApiError as error:
            if not error.retryable:
                raise
            found, seen = None, str(error)
        if found is not None:
            return found
        left = deadline - clock.monotonic()
        # Checked after the look, so that a result that appears during the last pause still counts.
        if left <= 0:
            raise TimedOut(what, seconds, seen)
        clock.sleep(min(every, left))


def retrying(clock: Clock, attempts: int = 4) -> Retrying:
    """Return the policy for API calls that may be repeated: retryable errors only, exponential back-off with jitter."""
    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, HarnessError) and error.retryable),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        sleep=clock.sleep,
        # Otherwise tenacity raises RetryError, which hides the type that callers handle.
        reraise=True,
    )


def reconnect_pause(failures: int) -> float:
    """Return the seconds to wait before reconnecting after ``failures`` (at least 1) failures in a row.

    Without jitter: a handful of watches cannot overload the API server, and gaps in observation should be short.
    """
    # tenacity computes a pause from the state of a call only; just the number of attempts matters here.
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = failures
    return float(_RECONNECT(state))
