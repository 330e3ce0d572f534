"""Evaluate the PromQL objectives' queries for each phase after the run, and record when scrape targets were up.

Each phase is judged separately: the window is its length in whole seconds and the evaluation time is its end, so no
data from before the phase is included. With a reducer, the first value is evaluated where the query's own ranges no
longer reach back before the phase. The queries wait until the last phase has been scraped completely.

Limits of counters: a new pod is a new series, and ``increase()`` includes neither what it counted before its first
scrape nor what a killed pod counted after its last. So the load generator's requests are the primary measurement, and
Prometheus only corroborates them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.model.phase_names import BASELINE, PHASES
from harness.model.quantities import show_seconds
from harness.model.timeline import Observation, Phase, Timeline
from harness.objectives.base import Objective
from harness.probes.base import ProbeContext, SnapshotProbe
from harness.probes.prometheus.health import GAP, ClockWatch, Frame, longest_gap, resets, trouble
from harness.probes.prometheus.ready import Wanted
from harness.probes.prometheus.targets import unscraped
from harness.prometheus.answers import Ambiguous, NoData, NotANumber, PrometheusError, escape
from harness.prometheus.promql import SCRAPES_PER_WINDOW, Reading, misfit, raw_counter

if TYPE_CHECKING:
    # Not imported at run time: it loads an HTTP client, which commands without a cluster do not need.
    from harness.prometheus.client import Prometheus

__all__ = ["SCRAPES_PER_WINDOW", "SERIES", "PrometheusQueries", "misfits", "up_query", "wanted", "windows"]

SERIES = "prometheus"
VALUES = "values"
SCRAPES_TO_WAIT = 2


@dataclass(frozen=True, slots=True)
class _Question:
    """The queries of one objective by their key in the observation: good and total, value, or values."""

    title: str
    queries: dict[str, str]


class PrometheusQueries(SnapshotProbe):
    """Series ``prometheus``.

    Subject ``<title of the objective>``, one observation at the end of each phase: {"phase", "window", "samples",
    "warnings", "notes"} and the numbers {"good", "total"}, {"value"} or, with one number per scrape, {"values"}.
    ``window`` is in seconds; ``samples`` is the number of raw samples read, None if the server does not report it. With
    an error, only {"phase", "window"}.

    Subject ``up:<kind>/<name>``: the number of the workload's scrape targets that were up, once per scrape interval. A
    new pod becomes a target when Prometheus discovers it, which takes up to ten seconds (see ``ready``).
    """

    def __init__(
        self, prometheus: Prometheus, objectives: Sequence[Objective], phases: Sequence[str] | None = None
    ) -> None:
        """Evaluate the queries of the objectives of kind ``prometheus``, which may contain ``$namespace`` and
        ``$window``. ``phases`` are the names of the phases to evaluate; None means all."""
        self._prometheus, self._phases = prometheus, phases
        self._clocks = ClockWatch()
        self._questions = [
            _Question(objective.title, _queries(objective)) for objective in objectives if objective.kind == SERIES
        ]

    def look(self, context: ProbeContext) -> None:
        """Wait for the last scrapes and evaluate every finished phase that was not evaluated before.

        Failures become observations with ``error``.
        """
        timeline = context.timeline
        phases = [phase for phase in timeline.phases if math.isfinite(phase.end) and self._wants(phase)]
        if not phases:
            return
        end = phases[-1].end
        try:
            interval = self._prometheus.scrape_interval(context.namespace)
            context.clock.sleep(end + SCRAPES_TO_WAIT * interval - timeline.offset(context.clock.monotonic()))
            frame = self._frame(context, interval)
        except PrometheusError as error:
            for question in self._questions:
                timeline.add(Observation(SERIES, question.title, end, error=str(error)))
            return
        for phase in phases:
            self._evaluate(phase, frame)
        for workload, pods in _pods_by_workload(timeline).items():
            self._targets_up(workload, pods, frame)

    def _wants(self, phase: Phase) -> bool:
        return self._phases is None or phase.name in self._phases

    def _frame(self, context: ProbeContext, interval: float) -> Frame:
        timeline, clock = context.timeline, context.clock
        before, wall = clock.monotonic(), clock.wall()
        theirs = self._prometheus.number("time()").value
        # The server read its clock between the two local readings: with the middle, the error is at most half of the
        # round trip.
        now = timeline.offset((before + clock.monotonic()) / 2)
        # Relative to the timeline, not to the local wall clock, which may have been set since the run began.
        ahead = theirs - timeline.wall(now)
        stepped = self._clocks.stepped(now, wall - timeline.wall(timeline.offset(before)), ahead)
        return Frame(timeline, context.namespace, now, interval, ahead, stepped, self._prometheus.target_intervals())

    def _evaluate(self, phase: Phase, frame: Frame) -> None:
        questions = [question for question in self._questions if not _is_answered(frame.timeline, question, phase)]
        if not questions:
            return
        # Rounded down, since a longer window would reach back before the phase.
        window = math.floor(phase.end - phase.start)
        about: dict[str, Any] = {"phase": phase.name, "window": window}
        wall = frame.timeline.wall(phase.end)
        try:
            if window < SCRAPES_PER_WINDOW * frame.interval:
                least = f"{SCRAPES_PER_WINDOW} scrapes with an interval of {frame.interval:g} s"
                why = f"the phase of {window} s is too short: it must include at least {least}"
            else:
                why = trouble(self._prometheus, phase, frame)
        except PrometheusError as failure:
            why = str(failure)
        for question in questions:
            error, value = why, about
            if not error:
                try:
                    value = about | self._answer(question, phase, window, frame)
                except PrometheusError as failure:
                    error = str(failure)
            frame.timeline.add(Observation(SERIES, question.title, phase.end, value, error or None, wall))

    def _answer(self, question: _Question, phase: Phase, window: int, frame: Frame) -> dict[str, Any]:
        read, warnings, notes = 0, list[str](), list[str]()
        found: dict[str, Any] = {}
        for key, query in question.queries.items():
            wrong = _misfit(key, query, window, frame.interval)
            if wrong:
                raise PrometheusError(f"{wrong}: {query}")
            text = query.replace("$namespace", escape(frame.namespace)).replace("$window", f"{window}s")
            if key == VALUES:
                found[key] = self._values(text, phase, frame)
                read, warnings = len(found[key]), [*warnings, *self._prometheus.warnings()]
            else:
                number = self._prometheus.number(text, frame.theirs(phase.end))
                found[key] = number.value
                read = max(read, number.samples or 0)
                warnings += number.warnings
                notes += number.notes
            self._check_scrapes(text, phase, window, frame)
        return {**found, "samples": read or None, "warnings": warnings, "notes": notes}

    def _check_scrapes(self, query: str, phase: Phase, window: int, frame: Frame) -> None:
        """Raise PrometheusError if a query's counters were reset in the phase, or its targets were not scraped."""
        count = resets(self._prometheus, query, window, frame.theirs(phase.end))
        if count:
            raise PrometheusError(f"counters were reset {count} times, which loses what they counted since a scrape")
        why = unscraped(self._prometheus, query, phase, frame)
        if why:
            raise PrometheusError(why)

    def _values(self, query: str, phase: Phase, frame: Frame) -> list[float]:
        """Return one value per scrape, from the first one that is computed from data of the phase only."""
        reach = Reading(query, phase.end - phase.start).reach
        start, end = frame.theirs(phase.start + max(frame.interval, reach)), frame.theirs(phase.end)
        samples = self._prometheus.range(query, start, end, frame.interval)
        series = {tuple(sorted(sample.labels.items())) for sample in samples}
        if len(series) > 1:
            raise Ambiguous(f"found {len(series)} series, expected one: {query}")
        if not samples:
            raise NoData(f"no series found: {query}")
        if not all(math.isfinite(sample.value) for sample in samples):
            raise NotANumber(f"not a number: {query}")
        # Only in the baseline may values be missing at first: a new deployment is not scraped until it is discovered.
        begin = samples[0].at if phase.name == BASELINE else start
        gap = longest_gap(samples, begin, end, frame.interval)
        if len(samples) < SCRAPES_PER_WINDOW:
            raise NoData(f"found {len(samples)} values, expected at least {SCRAPES_PER_WINDOW}: {query}")
        if gap > GAP * frame.interval:
            every = show_seconds(frame.interval)
            raise NoData(f"no value for {show_seconds(gap)}, expected one every {every}: {query}")
        return [sample.value for sample in samples]

    def _targets_up(self, workload: str, pods: Sequence[str], frame: Frame) -> None:
        timeline, subject = frame.timeline, f"up:{workload}"
        known = timeline.latest(SERIES, subject)
        start = known.at + frame.interval if known else 0.0
        query = up_query(frame.namespace, pods, frame.interval)
        try:
            samples = self._prometheus.range(query, frame.theirs(start), frame.theirs(frame.now), frame.interval)
        except PrometheusError as error:
            timeline.add(Observation(SERIES, subject, frame.now, error=str(error)))
            return
        # Always zero means that this workload is not scraped at all, which is not an outage.
        if known or any(sample.value for sample in samples):
            for sample in samples:
                wall = sample.at - frame.ahead
                timeline.add(Observation(SERIES, subject, wall - timeline.wall_origin, sample.value, wall=wall))


def up_query(namespace: str, pods: Sequence[str], interval: float) -> str:
    """Return a query for the number of targets of these pods that were up at their last scrape.

    The query has no result while Prometheus scrapes nothing at all. Without the limit on the sample's age, a target
    that is not scraped any more, because Prometheus is down or disconnected, would count as up for another five minutes
    (the lookback delta). A limit of two intervals tolerates a late scrape but not a failed one. Its cost: a target that
    vanishes without a failed scrape counts as up for that time.
    """
    names = "|".join(_literal(pod) for pod in sorted(pods))
    up = f'up{{namespace="{escape(namespace)}",pod=~"{escape(names)}"}}'
    age = 2 * interval
    fresh = f"time() - timestamp({{}}) < {age:g}"
    return f"(sum({up} and ({fresh.format(up)})) or vector(0)) and on() count({fresh.format('up')})"


def _is_answered(timeline: Timeline, question: _Question, phase: Phase) -> bool:
    return any(seen.at == phase.end for seen in timeline.observations(SERIES, question.title))


def _literal(name: str) -> str:
    # Pod names consist of lower-case letters, digits, dashes and dots. Only the dot is special in RE2.
    return name.replace(".", "[.]")


def _pods_by_workload(timeline: Timeline) -> dict[str, list[str]]:
    pods: dict[str, set[str]] = {seen.subject: set() for seen in timeline.observations("workloads") if seen.subject}
    for seen in timeline.observations("pods"):
        if seen.error is None and seen.value["owner"] in pods:
            pods[seen.value["owner"]].add(seen.subject)
    return {workload: sorted(names) for workload, names in pods.items() if names}


def misfits(objective: Objective, window: float, interval: float) -> Iterator[tuple[str, str]]:
    """Yield the fields of a PromQL objective whose queries would read data outside of a phase, with the reason.

    ``window`` is the length of the phase and ``interval`` the scrape interval, in seconds.
    """
    for key, query in _queries(objective).items():
        why = _misfit(key, query, window, interval)
        if why:
            yield ("value" if key == VALUES else key), why


def _misfit(key: str, query: str, window: float, interval: float) -> str:
    # A value may be any number, even a raw counter; a ratio must compare what happened in the phase.
    counted = raw_counter(query) if key in {"good", "total"} else ""
    return counted or misfit(query, window, interval, reduced=key == VALUES)


def _queries(objective: Objective) -> dict[str, str]:
    found = {key: getattr(objective, key, None) for key in ("good", "total", "value")}
    if getattr(objective, "reducer", None):
        found = {VALUES: found["value"]}
    return {key: str(query) for key, query in found.items() if query}


def wanted(objectives: Sequence[Objective], phase: str = BASELINE) -> list[Wanted]:
    """Return the queries of the PromQL objectives that are evaluated over a phase.

    For the baseline, also the targets of workloads whose recovery is measured by the Prometheus clock, which waits
    until as many targets are up as before the fault.
    """
    evaluated = (one for one in objectives if one.kind == SERIES and phase in windows(one))
    queries = [Wanted(query) for objective in evaluated for query in _queries(objective).values()]
    if phase == BASELINE:
        counted = (one for one in objectives if SERIES in getattr(one, "clocks", ()))
        names = (_literal(str(getattr(one, "of", "")).partition("/")[2]) for one in counted)
        queries += [Wanted(f'up{{namespace="$namespace",pod=~"{name}-.*"}}') for name in names]
    return queries


def windows(objective: Objective) -> list[str]:
    """Return the phases that a PromQL objective is evaluated over: its own, and the baseline if it checks that."""
    own = getattr(objective, "phases", ())
    return [name for name in PHASES if name in own or (name == BASELINE and objective.checks_baseline)]
