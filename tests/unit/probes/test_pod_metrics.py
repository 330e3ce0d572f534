"""The pods' metrics, as metrics.k8s.io serves them: each sample once, each new error once."""

from __future__ import annotations

from typing import Any

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import POD_METRICS
from harness.common.clock import parse_kubernetes_time
from harness.model.timeline import Timeline
from harness.probes.base import ProbeContext
from harness.probes.pod_metrics import PodMetricsProbe

TAKEN = "2026-11-23T07:24:00Z"


def sample(name: str, cpu: str, taken: str = TAKEN) -> dict[str, Any]:
    return {
        "apiVersion": "metrics.k8s.io/v1beta1",
        "kind": "PodMetrics",
        "metadata": {"name": name, "namespace": "shop"},
        "timestamp": taken,
        "window": "10.1s",
        "containers": [{"name": "app", "usage": {"cpu": cpu, "memory": "12Mi"}}],
    }


def look(cluster: FakeCluster, probe: PodMetricsProbe) -> list[tuple[str, Any, str | None]]:
    context = ProbeContext(cluster, "shop", Timeline(0.0, 0.0), cluster.clock)
    return [(seen.subject, seen.wall, seen.error) for seen in probe.observations(context)]


def test_each_sample_is_observed_once(fake_cluster: FakeCluster) -> None:
    probe = PodMetricsProbe(fake_cluster.api)
    fake_cluster.server.seed(sample("a", "150m"))
    first = parse_kubernetes_time(TAKEN)
    assert look(fake_cluster, probe) == [("a", first, None)]
    assert look(fake_cluster, probe) == []
    fake_cluster.server.store.remove(POD_METRICS, "shop", "a")
    fake_cluster.server.seed(sample("a", "90m", "2026-11-23T07:24:10Z"), sample("b", "10m"))
    assert look(fake_cluster, probe) == [("a", first + 10, None), ("b", first, None)]


def test_amounts_are_numbers_of_cores_and_bytes(fake_cluster: FakeCluster) -> None:
    fake_cluster.server.seed(sample("a", "150m"))
    context = ProbeContext(fake_cluster, "shop", Timeline(0.0, 0.0), fake_cluster.clock)
    (seen,) = PodMetricsProbe(fake_cluster.api).observations(context)
    assert seen.value == {"window": "10.1s", "containers": {"app": {"cpu": 0.15, "memory": 12 * 2**20}}}


def test_a_lasting_error_is_observed_once(fake_cluster: FakeCluster) -> None:
    probe = PodMetricsProbe(fake_cluster.api)
    fake_cluster.server.fail_next(404, "NotFound", path="/apis/metrics.k8s.io", count=2)
    ((subject, _, error),) = look(fake_cluster, probe)
    assert (subject, error is not None and "404" in error) == ("", True)
    assert look(fake_cluster, probe) == []
    assert look(fake_cluster, probe) == []
    fake_cluster.server.fail_next(404, "NotFound", path="/apis/metrics.k8s.io")
    assert len(look(fake_cluster, probe)) == 1
