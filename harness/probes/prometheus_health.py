"""Whether what Prometheus says of a phase can be believed: nothing stepped, restarted, was missed, or began again.

None of this can be seen in the number that a query returns. ``increase()`` over a window in which nothing was scraped
for half of the time gives a number all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from harness.observation import Phase, Timeline
from harness.probes.prometheus import NoData, Prometheus, Sample
from harness.probes.prometheus_text import COUNTING, Reading
from harness.quantities import show_seconds

# A clock that is steered, not set, runs at most 500 ppm fast or slow; the rest is the time that an answer takes.
STEP, DRIFT = 0.5, 0.0005
# So many intervals without a scrape are a gap; one scrape may come late.
GAP = 2.5
AGE = "time() - max(timestamp(up))"


@dataclass(frozen=True, slots=True)
class Frame:
    """What all queries of one look share. ``now`` is on the timeline; ``ahead``: seconds by which Prometheus' clock is
    ahead of the timeline's wall time; ``stepped``: by how much a clock was set meanwhile, in words, or nothing;
    ``intervals``: of each target by its job and instance, as far as the server tells."""

    timeline: Timeline
    namespace: str
    now: float
    interval: float
    ahead: float
    stepped: str = ""
    intervals: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def theirs(self, at: float) -> float:
        """A timeline instant by Prometheus' clock, in Unix seconds: its samples carry its own time."""
        return self.timeline.wall(at) + self.ahead

    def at(self, theirs: float) -> float:
        """The timeline instant of a time by Prometheus' clock."""
        return theirs - self.ahead - self.timeline.wall_origin


class ClockWatch:
    """Finds out that a clock was set: ours or Prometheus', whatever the wall time was when the run began.

    The timeline counts on a clock that nobody can set. Samples bear wall time: once it was set, nobody can tell which
    of them belong to a phase.
    """

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def stepped(self, now: float, ours: float, ahead: float) -> str:
        """``ours`` and ``ahead`` are by how much our wall clock and Prometheus' are ahead of the timeline's wall time,
        at ``now`` on the timeline."""
        if self._first is None:
            self._first = (now, ahead)
        since, first = self._first
        for whose, by, seconds in (("this machine's", ours, now), ("Prometheus'", ahead - first, now - since)):
            if abs(by) > STEP + DRIFT * seconds:
                return f"{whose} clock was set {show_seconds(abs(by))} {'forward' if by > 0 else 'back'} in the run"
        return ""


def trouble(prometheus: Prometheus, phase: Phase, frame: Frame) -> str:
    """Why no number of a phase can be believed, in words; empty when nothing speaks against it.

    Raises PrometheusError. A server that does not tell when it started, or has no series ``up``, is not suspected.
    """
    if frame.stepped:
        return f"{frame.stepped}: samples cannot be told apart by phase"
    started = prometheus.started()
    if started is not None and phase.start < frame.at(started) <= frame.now:
        return f"Prometheus was restarted {show_seconds(frame.at(started))} into the run: what it knew may be lost"
    start, end = frame.theirs(phase.start + frame.interval), frame.theirs(phase.end)
    ages = prometheus.range(AGE, start, end, frame.interval)
    if not ages and not _scrapes(prometheus):
        return ""
    gap = longest_gap(ages, start, end, frame.interval, newest=True)
    if gap > GAP * frame.interval:
        return f"Prometheus scraped nothing for {show_seconds(gap)}, every {show_seconds(frame.interval)} was due"
    return ""


def longest_gap(samples: list[Sample], start: float, end: float, interval: float, *, newest: bool = False) -> float:
    """The longest time without a sample between two instants, in seconds; with ``newest`` the samples' values say how
    old the newest raw sample was at their time. Where there is a sample at every step, that is one interval."""
    if not samples:
        return end - start
    holes = [later.at - earlier.at for earlier, later in pairwise(samples)]
    holes += [samples[0].at - start + interval, end - samples[-1].at]
    ages = [sample.value for sample in samples] if newest else []
    return max([*holes, *ages])


def resets(prometheus: Prometheus, query: str, window: int, at: float) -> int:
    """How often counters of a query began again within the ``window`` seconds before ``at``, however far the query
    itself looks back: a container restarted in place, and what it had counted since its last scrape is lost. Raises
    PrometheusError."""
    found = 0.0
    for counter in counters(query):
        try:
            found += prometheus.number(f"sum(resets({counter}[{window}s]))", at).value
        except NoData:
            continue
    return round(found)


def counters(query: str) -> Iterable[str]:
    """The selectors that a query takes the rate or the increase of, as they stand in it."""
    selectors = Reading(query, 0).selectors
    return dict.fromkeys(one.text for one in selectors if one.range and one.function in COUNTING)


def _scrapes(prometheus: Prometheus) -> bool:
    try:
        return prometheus.number("count(up)").value > 0
    except NoData:
        return False
