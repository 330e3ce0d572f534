"""A finished run and a Prometheus that was asked about it, with whatever may be wrong with either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.cluster.fake.cluster import FakeCluster
from harness.common.clock import FakeClock
from harness.model.phase_names import BASELINE, FAULT, RECOVERY
from harness.model.timeline import Observation, Phase, Timeline
from harness.probes.base import ProbeContext
from harness.probes.prometheus.health import AGE
from harness.probes.prometheus.query import PrometheusQueries
from harness.prometheus.client import STARTED
from tests.unit.prometheus.scripted_prometheus import Asked, Scripted, instant, matrix, scalar, series, targets, vector


def within(base: float, start: float, end: float, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of a range that a query asks for, at Prometheus' own time."""
    return [(base + at, value) for at, value in points if start - 1e-6 <= base + at <= end + 1e-6]


class Stand:
    """A finished run of three phases, 20 s, 10.9 s and 6 s long, and a Prometheus whose clock is ``ahead`` of ours."""

    def __init__(self, *, interval: str = "1s", ahead: float = 0.0, answer: Any = None) -> None:
        self.clock = FakeClock()
        self.timeline = Timeline(self.clock.monotonic(), self.clock.wall())
        self.ahead = ahead
        self.answer: Any = vector(4000, samples=60) if answer is None else answer
        # What a range query returns for a query, as (seconds after the run began, value); None: scraped all the time.
        self.ages: list[tuple[float, float]] | None = None
        self.values: list[tuple[float, float]] = []
        self.resets = 0.0
        # When a metric of its own says that Prometheus started, in seconds after the run began; None: there is none.
        self.started: float | None = None
        # The answers about the scrapes of a query's own targets: the labels of each, and (seconds after the run began,
        # how old its last good scrape was or that it failed).
        self.scrapes: list[tuple[dict[str, str], list[tuple[float, float]]]] = []
        # The same of all pods in those targets' jobs, and the labels of the jobs' targets of which every scrape failed.
        self.scraped_pods: list[tuple[dict[str, str], list[tuple[float, float]]]] = []
        self.failing: list[dict[str, str]] = []
        self.probes: list[PrometheusQueries] = []
        self.script = Scripted({"query": self._answer, "targets": targets(shop=interval), "query_range": self._range})
        self.context = ProbeContext(FakeCluster(self.clock), "shop", self.timeline, self.clock)
        for name, start, end in ((BASELINE, 0.0, 20.0), (FAULT, 20.0, 30.9), (RECOVERY, 30.9, 36.9)):
            self.timeline.phases.append(Phase(name, start, end))
        self.clock.advance(36.9)

    def _answer(self, asked: Asked) -> Any:
        if asked.query["query"] == "time()":
            # Its own clock, which nobody sets when they set ours.
            return scalar(self.timeline.wall(self.timeline.offset(self.clock.monotonic())) + self.ahead)
        if asked.query["query"].startswith("sum(resets("):
            return vector(self.resets)
        if asked.query["query"].startswith("(max_over_time(up["):
            return instant(*self.failing)
        if asked.query["query"] == STARTED:
            return vector() if self.started is None else vector(self.timeline.wall_origin + self.ahead + self.started)
        return self.answer(asked) if isinstance(self.answer, Callable) else self.answer

    def _range(self, asked: Asked) -> Any:
        start, end, step = (float(asked.query[key]) for key in ("start", "end", "step"))
        base = self.timeline.wall_origin + self.ahead
        if asked.query["query"] == AGE and self.ages is None:
            return matrix(*((start + number * step, 0.4) for number in range(int((end - start) / step + 1e-6) + 1)))
        if "and on(job) count by(job)" in asked.query["query"]:
            return series(*((labels, within(base, start, end, points)) for labels, points in self.scraped_pods))
        if "count_over_time(" in asked.query["query"]:
            return series(*((labels, within(base, start, end, points)) for labels, points in self.scrapes))
        return matrix(*within(base, start, end, (self.ages or []) if asked.query["query"] == AGE else self.values))

    def look(self, *objectives: Any, phases: list[str] | None = None) -> list[Observation]:
        before = len(list(self.timeline))
        self.probes.append(PrometheusQueries(self.script.prometheus(), objectives, phases))
        self.probes[-1].look(self.context)
        return list(self.timeline)[before:]

    def asked(self) -> list[Asked]:
        others = ("time()", "sum(resets(", "count(up)", "(max_over_time(up[", STARTED)
        return [asked for asked in self.script.queries() if not asked.query["query"].startswith(others)]

    def see(self, workload: str, *pods: str) -> None:
        self.timeline.add(Observation("workloads", workload, 0.5, {"desired": len(pods)}))
        for pod in pods:
            self.timeline.add(Observation("pods", pod, 0.5, {"owner": workload}))
