"""The only polling loop and the only retry policy of the harness."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
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


def retrying(clock: Clock, attempts: int = 4, *, longest: float = 2.0, deadline: float = math.inf) -> Retrying:
    """Return the policy for calls that may be repeated: retryable errors only, exponential back-off with jitter.

    A pause lasts at most ``longest`` seconds, or as long as the error's ``retry_after``. No call starts after
    ``deadline``, a reading of the monotonic clock: if the next pause would pass it, the last error is raised.
    """
    backoff = wait_random_exponential(multiplier=0.1, max=longest)

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return max(float(backoff(state)), float(getattr(error, "retry_after", 0.0)))

    def stop(state: RetryCallState) -> bool:
        return state.attempt_number >= attempts or clock.monotonic() + state.upcoming_sleep >= deadline

    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, HarnessError) and error.retryable),
        stop=stop,
        wait=pause,
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
