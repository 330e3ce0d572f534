"""The clock of an agent against that of the harness, estimated from the times of requests and answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.traffic.load.remote.agent import kernel
from harness.traffic.load.remote.messages import Exchange

SAMPLES = 15


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How many seconds an agent's CLOCK_MONOTONIC is ahead of this process's, and the maximum error of that number.

    Both are 0 if the agent runs on the same kernel: then it is the same clock.
    """

    seconds: float
    error: float

    @property
    def is_same_clock(self) -> bool:
        return self.seconds == 0 == self.error

    def __str__(self) -> str:
        if self.is_same_clock:
            return "the same clock"
        return f"clock offset {self.seconds:.4f} s ± {self.error * 1000:.1f} ms"


def measure_offset(exchange: Exchange, now: Callable[[], float], timeout: float, samples: int = SAMPLES) -> ClockOffset:
    """Return the offset of the agent's clock, from the quickest of some requests. Raises OSError, AgentFailed.

    The agent has read its clock between the request and the answer, so the error is at most half of that time.
    """
    best: ClockOffset | None = None
    for _ in range(samples):
        before = now()
        answer, _ = exchange.call({"do": "clock"}, timeout)
        after = now()
        mine = kernel()
        if all(mine.values()) and {key: answer.get(key) for key in mine} == mine:
            return ClockOffset(0.0, 0.0)
        offset = float(answer["monotonic"]) - (before + after) / 2
        if best is None or (after - before) / 2 < best.error:
            best = ClockOffset(offset, (after - before) / 2)
    assert best is not None
    return best
