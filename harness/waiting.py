"""The one wait and the one retry policy, so that nothing else in the harness loops over time."""

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

from harness.clock import Clock
from harness.errors import ApiError, HarnessError, TimedOut

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
    """Look until ``look`` returns something other than None, and return that.

    ``look`` returns what was waited for (or None) and a sentence saying what it saw, for the error.
    A retryable ApiError counts as "not yet"; every other error ends the wait.
    Raises TimedOut with what was last seen.
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
        if left <= 0:
            raise TimedOut(what, seconds, seen)
        clock.sleep(min(every, left))


def retrying(clock: Clock, attempts: int = 4) -> Retrying:
    """The policy for API calls that may be repeated: retryable errors only, exponential back-off with jitter."""
    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, HarnessError) and error.retryable),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        sleep=clock.sleep,
        reraise=True,
    )


def reconnect_pause(failures: int) -> float:
    """Seconds to wait before a broken connection is made again, after so many failures in a row (from 1).

    Without jitter: a handful of watches do no harm, and a gap that is seen must be no longer than it has to be.
    """
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = failures
    return float(_RECONNECT(state))
