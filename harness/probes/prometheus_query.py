"""Asks Prometheus, once the run is over, what the objectives want to know, phase by phase, and when targets were up.

A phase is judged by itself: the window is its whole length in whole seconds, the time is pinned to its end, so that
nothing from before the fault leaks in. With a reducer the first value is asked for when the query's own ranges look
back at nothing but the phase. The queries wait until everything of the last phase has been scraped.

What counters cannot tell: a new pod is a new series, and ``increase()`` sees neither what it counted before its first
scrape nor what a killed pod counted after its last. So the client's own requests are the truth, and this corroborates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.objective import Objective
from harness.observation import BASELINE, PHASES, Observation, Phase, Timeline
from harness.probe import ProbeContext, SnapshotProbe
from harness.probes.prometheus import Ambiguous, NoData, NotANumber, Prometheus, PrometheusError, escape
from harness.probes.prometheus_health import GAP, ClockWatch, Frame, longest_gap, resets, trouble
from harness.probes.prometheus_targets import unscraped
from harness.probes.prometheus_text import SCRAPES_PER_WINDOW, Reading, misfit, raw_counter
from harness.quantities import show_seconds

__all__ = ["SCRAPES_PER_WINDOW", "SERIES", "PrometheusQueries", "misfits", "up_query", "windows"]

SERIES = "prometheus"
VALUES = "values"
SCRAPES_TO_WAIT = 2


@dataclass(frozen=True, slots=True)
class _Question:
    """The queries of one objective by what they are called in the value: good and total, value, or values."""

    title: str
    queries: dict[str, str]


class PrometheusQueries(SnapshotProbe):
    """Series ``prometheus``. Subject ``<title of the objective>``, one observation a phase, at its end: {"phase",
    "window", "samples", "warnings", "notes"} and the numbers {"good", "total"}, {"value"} or, one a scrape, {"values"};
    ``window`` is in seconds, ``samples`` counts the raw samples that were read (None when the server does not say).
    With an error, {"phase", "window"} alone.

    Subject ``up:<kind>/<name>``: how many scrape targets of the workload were up, a number every scrape interval. A new
    pod is no target until Prometheus has heard of it, which takes it up to five seconds.
    """

    def __init__(
        self, prometheus: Prometheus, objectives: Sequence[Objective], phases: Sequence[str] | None = None
    ) -> None:
        """Asks for the objectives of kind ``prometheus``: their ``good`` and ``total``, or their ``value``,
        queries with ``$namespace`` and ``$window`` in them. ``phases`` names those to ask about; None means all."""
        self._prometheus, self._phases = prometheus, phases
        self._clocks = ClockWatch()
        self._questions = [
            _Question(objective.title, _queries(objective)) for objective in objectives if objective.kind == SERIES
        ]

    def look(self, context: ProbeContext) -> None:
        """Wait for the last scrapes and ask about every phase that is over and was not asked about before. Failures
        become observations with ``error``."""
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
            self._ask_about(phase, frame)
        for workload, pods in _pods_by_workload(timeline).items():
            self._targets_up(workload, pods, frame)

    def _wants(self, phase: Phase) -> bool:
        return self._phases is None or phase.name in self._phases

    def _frame(self, context: ProbeContext, interval: float) -> Frame:
        timeline, clock = context.timeline, context.clock
        before, wall = clock.monotonic(), clock.wall()
        theirs = self._prometheus.number("time()").value
        now = timeline.offset((before + clock.monotonic()) / 2)
        # By the timeline, not by our wall clock: that one may have been set since the run began.
        ahead = theirs - timeline.wall(now)
        stepped = self._clocks.stepped(now, wall - timeline.wall(timeline.offset(before)), ahead)
        return Frame(timeline, context.namespace, now, interval, ahead, stepped, self._prometheus.target_intervals())

    def _ask_about(self, phase: Phase, frame: Frame) -> None:
        questions = [question for question in self._questions if not _asked(frame.timeline, question, phase)]
        if not questions:
            return
        window = math.floor(phase.end - phase.start)
        about: dict[str, Any] = {"phase": phase.name, "window": window}
        wall = frame.timeline.wall(phase.end)
        try:
            if window < SCRAPES_PER_WINDOW * frame.interval:
                error = f"a phase of {window} s is too short: it must hold {SCRAPES_PER_WINDOW} scrapes, one every"
                why = f"{error} {frame.interval:g} s"
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
            self._believe(text, phase, window, frame)
        return {**found, "samples": read or None, "warnings": warnings, "notes": notes}

    def _believe(self, query: str, phase: Phase, window: int, frame: Frame) -> None:
        """Raises PrometheusError when what a query selects began again in the phase, or was not scraped."""
        again = resets(self._prometheus, query, window, frame.theirs(phase.end))
        if again:
            raise PrometheusError(f"counters began again {again} times, and what they had not told by then is lost")
        why = unscraped(self._prometheus, query, phase, frame)
        if why:
            raise PrometheusError(why)

    def _values(self, query: str, phase: Phase, frame: Frame) -> list[float]:
        """One value a scrape, from the first one that rests on the phase alone."""
        reach = Reading(query, phase.end - phase.start).reach
        start, end = frame.theirs(phase.start + max(frame.interval, reach)), frame.theirs(phase.end)
        samples = self._prometheus.range(query, start, end, frame.interval)
        series = {tuple(sorted(sample.labels.items())) for sample in samples}
        if len(series) > 1:
            raise Ambiguous(f"{len(series)} series where one was meant: {query}")
        if not samples:
            raise NoData(f"no series at all: {query}")
        if not all(math.isfinite(sample.value) for sample in samples):
            raise NotANumber(f"not a number: {query}")
        # What has just been deployed is no target until Prometheus has heard of it; later on nothing may be missing.
        begin = samples[0].at if phase.name == BASELINE else start
        gap = longest_gap(samples, begin, end, frame.interval)
        if len(samples) < SCRAPES_PER_WINDOW:
            raise NoData(f"{len(samples)} values, at least {SCRAPES_PER_WINDOW} are needed: {query}")
        if gap > GAP * frame.interval:
            raise NoData(f"no value for {show_seconds(gap)}, every {show_seconds(frame.interval)} was asked: {query}")
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
        # Zero all along means that nobody scrapes this workload, which is no outage.
        if known or any(sample.value for sample in samples):
            for sample in samples:
                wall = sample.at - frame.ahead
                timeline.add(Observation(SERIES, subject, wall - timeline.wall_origin, sample.value, wall=wall))


def up_query(namespace: str, pods: Sequence[str], interval: float) -> str:
    """How many targets of these pods were up at the last scrape; nothing while Prometheus itself scraped nothing.

    Without the age a target that is no longer scraped, since Prometheus is down or cut off, would be up for another
    five minutes (the lookback). An age of two intervals lets a scrape come late, not fail; it also means that a target
    which vanishes unscraped, rather than failing a scrape, counts that much longer.
    """
    names = "|".join(_literal(pod) for pod in sorted(pods))
    up = f'up{{namespace="{escape(namespace)}",pod=~"{escape(names)}"}}'
    age = 2 * interval
    fresh = f"time() - timestamp({{}}) < {age:g}"
    return f"(sum({up} and ({fresh.format(up)})) or vector(0)) and on() count({fresh.format('up')})"


def _asked(timeline: Timeline, question: _Question, phase: Phase) -> bool:
    return any(seen.at == phase.end for seen in timeline.observations(SERIES, question.title))


def _literal(name: str) -> str:
    # Names of pods are lower-case letters, digits, dashes and dots, of which only the dot means something to RE2.
    return name.replace(".", "[.]")


def _pods_by_workload(timeline: Timeline) -> dict[str, list[str]]:
    pods: dict[str, set[str]] = {seen.subject: set() for seen in timeline.observations("workloads") if seen.subject}
    for seen in timeline.observations("pods"):
        if seen.error is None and seen.value["owner"] in pods:
            pods[seen.value["owner"]].add(seen.subject)
    return {workload: sorted(names) for workload, names in pods.items() if names}


def misfits(objective: Objective, window: float, interval: float) -> Iterator[tuple[str, str]]:
    """The fields of a PromQL objective whose queries would not read a phase of this length alone, and why."""
    for key, query in _queries(objective).items():
        why = _misfit(key, query, window, interval)
        if why:
            yield ("value" if key == VALUES else key), why


def _misfit(key: str, query: str, window: float, interval: float) -> str:
    # A value may be any number, a counter's own, too; a ratio is one of what happened in the phase.
    counted = raw_counter(query) if key in {"good", "total"} else ""
    return counted or misfit(query, window, interval, reduced=key == VALUES)


def _queries(objective: Objective) -> dict[str, str]:
    found = {key: getattr(objective, key, None) for key in ("good", "total", "value")}
    if getattr(objective, "reducer", None):
        found = {VALUES: found["value"]}
    return {key: str(query) for key, query in found.items() if query}


def windows(objective: Objective) -> list[str]:
    """The phases that a PromQL objective is asked about: its own, and the steady state."""
    own = getattr(objective, "phases", ())
    return [name for name in PHASES if name in own or (name == BASELINE and objective.checks_baseline)]
