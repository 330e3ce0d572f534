"""Check that Prometheus' data of a phase is valid: no clock step, no server restart, no scrape gap, no counter reset.

The value of a query does not show any of these: ``increase()`` over a window returns a number even if nothing was
scraped for half of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.model.quantities import show_seconds
from harness.model.timeline import Phase, Timeline
from harness.prometheus.answers import NoData, Sample
from harness.prometheus.promql import COUNTING, Reading

if TYPE_CHECKING:
    # Not imported at run time: it loads an HTTP client, which commands without a cluster do not need.
    from harness.prometheus.client import Prometheus

# Seconds, and seconds per second. A clock that is slewed and not set drifts by at most 500 ppm; STEP covers the time
# that a query takes.
STEP, DRIFT = 0.5, 0.0005
# The number of scrape intervals without a scrape that counts as a gap, so that one scrape may be late.
GAP = 2.5
# timestamp() of a selector is the time of the raw sample, not that of the evaluation.
AGE = "time() - max(timestamp(up))"


@dataclass(frozen=True, slots=True)
class Frame:
    """What the queries of one snapshot have in common.

    ``now`` is in seconds on the timeline, and ``interval`` is the scrape interval in seconds. ``ahead`` is by how many
    seconds Prometheus' clock is ahead of the timeline's wall time. ``stepped`` describes a clock that was set during
    the run, or is empty. ``intervals`` are the scrape intervals of the targets, by job and instance, if known.
    """

    timeline: Timeline
    namespace: str
    now: float
    interval: float
    ahead: float
    stepped: str = ""
    intervals: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def theirs(self, at: float) -> float:
        """Convert a time on the timeline to Prometheus' clock, which stamps its samples, in Unix seconds."""
        return self.timeline.wall(at) + self.ahead

    def at(self, theirs: float) -> float:
        """Convert a time of Prometheus' clock to the timeline."""
        return theirs - self.ahead - self.timeline.wall_origin


class ClockWatch:
    """Detects that the local clock or Prometheus' clock was set during the run.

    The timeline uses a monotonic clock, which cannot be set, but samples have wall times. After a clock was set,
    samples cannot be assigned to phases any more.
    """

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def stepped(self, now: float, local: float, ahead: float) -> str:
        """Return a description of a clock that was set, or an empty text.

        ``local`` and ``ahead`` are by how many seconds the local clock and Prometheus' clock are ahead of the
        timeline's wall time, at ``now`` on the timeline.
        """
        if self._first is None:
            self._first = (now, ahead)
        since, first = self._first
        for clock, by, seconds in (("this machine's", local, now), ("Prometheus'", ahead - first, now - since)):
            if abs(by) > STEP + DRIFT * seconds:
                direction = "forward" if by > 0 else "back"
                return f"{clock} clock was set {show_seconds(abs(by))} {direction} during the run"
        return ""


def trouble(prometheus: Prometheus, phase: Phase, frame: Frame) -> str:
    """Return why no value of a phase is valid, or an empty text.

    Checks that the server does not support are skipped: it may not report its start time or have no series ``up``.
    Raises PrometheusError.
    """
    if frame.stepped:
        return f"{frame.stepped}: samples cannot be assigned to phases"
    started = prometheus.started()
    if started is not None and phase.start < frame.at(started) <= frame.now:
        return f"Prometheus was restarted {show_seconds(frame.at(started))} into the run: its samples may be lost"
    # The first scrape of the phase is due one interval after its start.
    start, end = frame.theirs(phase.start + frame.interval), frame.theirs(phase.end)
    ages = prometheus.range(AGE, start, end, frame.interval)
    if not ages and not _scrapes(prometheus):
        return ""
    gap = longest_gap(ages, start, end, frame.interval, newest=True)
    if gap > GAP * frame.interval:
        every = show_seconds(frame.interval)
        return f"Prometheus scraped nothing for {show_seconds(gap)}, expected a scrape every {every}"
    return ""


def longest_gap(samples: list[Sample], start: float, end: float, interval: float, *, newest: bool = False) -> float:
    """Return the longest time without a sample between ``start`` and ``end``, in seconds.

    With a sample at every step, that is one interval. With ``newest``, values are the ages of the newest raw sample.
    """
    if not samples:
        return end - start
    holes = [later.at - earlier.at for earlier, later in pairwise(samples)]
    holes += [samples[0].at - start + interval, end - samples[-1].at]
    ages = [sample.value for sample in samples] if newest else []
    return max([*holes, *ages])


def resets(prometheus: Prometheus, query: str, window: int, at: float) -> int:
    """Return how often a query's counters were reset in the ``window`` seconds before ``at``.

    A counter is reset when a container restarts in place, which loses what it counted since its last scrape. Raises
    PrometheusError.
    """
    found = 0.0
    for counter in counters(query):
        try:
            found += prometheus.number(f"sum(resets({counter}[{window}s]))", at).value
        except NoData:
            continue
    return round(found)


def counters(query: str) -> Iterable[str]:
    """Return the selectors, as text, that are arguments of ``rate``, ``irate`` or ``increase`` in a query."""
    selectors = Reading(query, 0).selectors
    return dict.fromkeys(one.text for one in selectors if one.range and one.function in COUNTING)


def _scrapes(prometheus: Prometheus) -> bool:
    try:
        return prometheus.number("count(up)").value > 0
    except NoData:
        return False
