"""A phase begins when Prometheus scrapes every target that the queries of its objectives read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import requests

from harness.cluster.fake.cluster import FakeCluster
from harness.common.clock import FakeClock
from harness.model.phase_names import BASELINE
from harness.model.timeline import Observation, Timeline
from harness.objectives.prometheus import Prometheus as PrometheusObjective
from harness.objectives.recovery_time import RecoveryTime
from harness.probes.base import ProbeContext
from harness.probes.prometheus.query import wanted
from harness.probes.prometheus.ready import ScrapeGate, Wanted, summary
from tests.unit.prometheus.scripted_prometheus import Asked, Scripted, config, refused, vector

HITS = 'sum(increase(hits{namespace="$namespace"}[$window]))'
TIMEOUT = "context deadline exceeded"


class World:
    """Pods of a namespace, and what Prometheus knows of them: ``ages`` of the last good scrape by pod, the pods whose
    targets have ``series`` of the query, and the ``errors`` of all targets by pod."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.timeline = Timeline(self.clock.monotonic(), self.clock.wall())
        self.ages: dict[str, float] = {}
        self.series: Sequence[str] = ()
        self.foreign: Sequence[str] = ()
        self.errors: dict[str, str] = {}
        self.answer: Any = vector(1)
        self.script = Scripted({"query": self._query, "targets": self._targets, "status/config": config("1s")})
        self.clock.advance(60.0)

    def pod(self, name: str, at: float = 1.0, *, owner: str = "deployment/web", **value: Any) -> None:
        seen = {"owner": owner, "uid": name, "event": "MODIFIED", "ready": True} | value
        self.timeline.add(Observation("pods", name, at, seen))

    def _query(self, asked: Asked) -> Any:
        query = asked.query["query"]
        if query.startswith("time() - timestamp(up{"):
            return self._vector(self.ages)
        if query.startswith("up and on(job, instance)"):
            found = self._vector(dict.fromkeys(self.series, 1.0))
            found["data"]["result"] += self._vector(dict.fromkeys(self.foreign, 1.0), "elsewhere")["data"]["result"]
            return found
        return self.answer

    def _vector(self, values: dict[str, float], namespace: str = "shop") -> Any:
        labels = [{"namespace": namespace, "pod": pod, "job": "pods", "instance": pod} for pod in values]
        result = [{"metric": one, "value": [1.0, str(values[one["pod"]])]} for one in labels]
        return {"status": "success", "data": {"resultType": "vector", "result": result}}

    def _targets(self, _asked: Asked) -> Any:
        active = [
            {"labels": {"namespace": "shop", "pod": pod}, "scrapeInterval": "1s", "lastError": error}
            for pod, error in self.errors.items()
        ]
        return {"status": "success", "data": {"activeTargets": active}}

    def gate(self, *queries: str, needs_series: bool = True) -> ScrapeGate:
        asked = [Wanted(query, needs_series) for query in queries or (HITS,)]
        return ScrapeGate(self.script.prometheus(), asked)

    def missing(self, gate: ScrapeGate | None = None) -> list[str]:
        context = ProbeContext(FakeCluster(self.clock), "shop", self.timeline, self.clock)
        return (gate or self.gate()).missing(context)


def test_all_pods_of_a_queried_workload_must_be_scraped() -> None:
    world = World()
    for name in ("web-1", "web-2", "web-3", "web-4"):
        world.pod(name)
    world.series, world.ages = ["web-1"], {"web-1": 0.4, "web-4": 9.0}
    world.errors = {"web-1": "", "web-3": TIMEOUT, "web-4": ""}
    assert world.missing() == [
        "web-2 (not found by Prometheus yet)",
        f"web-3 (last scrape failed: {TIMEOUT})",
        "web-4 (not scraped since it became ready)",
    ]
    world.ages |= {"web-2": 0.1, "web-3": 0.2, "web-4": 0.3}
    assert world.missing() == []


def test_pods_that_are_not_ready_or_not_selected_are_not_needed() -> None:
    world = World()
    world.series, world.ages = ["web-1"], {"web-1": 0.4}
    world.pod("web-1")
    world.pod("web-2", ready=False)
    world.pod("web-3", deleting=True)
    world.pod("web-4", event="DELETED")
    world.pod("db-0", owner="statefulset/db")
    assert world.missing() == []
    world.pod("web-5")
    assert world.missing(world.gate('sum(increase(hits{namespace="$namespace",pod="web-1"}[$window]))')) == []
    assert world.missing() == ["web-5 (not found by Prometheus yet)"]


def test_scrapes_of_a_lost_pod_do_not_count_for_its_successor() -> None:
    world = World()
    world.series, world.ages, world.errors = ["web-0"], {"web-0": 2.0}, {"web-0": ""}
    world.pod("web-0", uid="old")
    assert world.missing() == []
    world.pod("web-0", 59.0, uid="new")
    assert world.missing() == ["web-0 (not scraped since it became ready)"]
    world.ages = {"web-0": 0.5}
    assert world.missing() == []


def test_without_any_series_all_targets_of_the_namespace_count() -> None:
    world = World()
    world.pod("web-1")
    world.pod("web-2")
    assert world.missing() == [f"no target in namespace shop, which the query reads: {HITS}"]
    world.errors = {"web-1": ""}
    world.ages = {"web-1": 0.4}
    assert world.missing() == ["web-2 (not found by Prometheus yet)"]
    world.ages = {"web-1": 0.4, "web-2": 0.4}
    # An error counter has no series before the first error; the query has a value all the same.
    assert world.missing() == []


def test_a_query_without_a_value_is_waited_for() -> None:
    world = World()
    world.pod("web-1")
    world.ages, world.answer = {"web-1": 0.4}, vector()
    assert world.missing() == [f"no series yet: {HITS}"]
    assert world.missing(world.gate(needs_series=False)) == []


def test_targets_outside_of_the_experiment_are_not_waited_for() -> None:
    world = World()
    world.pod("web-1")
    assert world.missing(world.gate("sum(rate(errors_total[10s]))")) == []
    world.foreign = ["ingress-1"]
    assert world.missing() == []


def test_server_without_targets_is_queried_for_series_only() -> None:
    world = World()
    world.script.answers["targets"] = refused(404, "no targets here")
    world.pod("web-1")
    world.series, world.ages = ["web-1"], {"web-1": 0.4}
    assert world.missing() == []


def test_a_prometheus_that_does_not_answer_is_what_is_missing() -> None:
    world = World()
    world.script.answers["query"] = requests.ConnectionError("refused")
    assert "does not answer" in world.missing()[0]


def test_the_queries_of_a_phase_are_those_of_its_objectives() -> None:
    ratio = PrometheusObjective(name="served", good="good", total="total", min="99%", phases=["fault"])
    value = PrometheusObjective(name="queue", value="queue", max=3, reducer="max", phases=["settle"])
    assert [one.query for one in wanted([ratio, value], BASELINE)] == ["good", "total", "queue"]
    assert [one.query for one in wanted([ratio, value], "settle")] == ["queue"]


def test_targets_that_a_recovery_counts_are_waited_for() -> None:
    recovery = RecoveryTime(of="deployment/web", max=10, clocks=["user", "prometheus"])
    (asked,) = wanted([recovery, RecoveryTime(of="deployment/other", max=10)])
    assert asked.query == 'up{namespace="$namespace",pod=~"web-.*"}'
    assert wanted([recovery], "settle") == []


def test_a_summary_names_three_and_counts_the_rest() -> None:
    assert summary(["a", "b"]) == "a, b"
    assert summary(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
