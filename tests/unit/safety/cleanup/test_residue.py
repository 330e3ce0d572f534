"""The check for leaks: what an experiment left behind is found, and what others do all the time is not taken for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.fake.nodes import FakeNodes
from harness.cluster.fake.server import BUDGETS
from harness.cluster.kube.resources import API_SERVICES, CONFIG_MAPS, DEPLOYMENTS, EVENTS, LEASES, NODES, PODS, SERVICES
from harness.cluster.nodes.control import NodeTraces, Trace
from harness.common.clock import FakeClock
from harness.common.errors import ClusterBroken, LeftBehind, TimedOut
from harness.common.naming import EXPERIMENT_LABEL, MANAGED_BY, RUN_LABEL
from harness.safety.cleanup.residue import LeakCheck, Scope
from tests.fake_metrics import API, api_service
from tests.fake_world import bare_pod, deployment

OURS = Scope("run1", "shop", ("rh-shop-run1",), strict=True)
SHARED = Scope("run1", "shop", ("rh-shop-run1",), strict=False)
MINE = {RUN_LABEL: "run1", EXPERIMENT_LABEL: "shop", **MANAGED_BY}
THEIRS = {RUN_LABEL: "run2", EXPERIMENT_LABEL: "shop", **MANAGED_BY}
RBAC = "rbac.authorization.k8s.io/v1"

Act = Callable[[FakeCluster], object]


def _node(**spec: Any) -> dict[str, Any]:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "spec": spec, "status": ready}


def _role(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name, "labels": labels or {}}, "rules": []}


def _policy(name: str, labels: dict[str, str]) -> dict[str, Any]:
    kind = "ValidatingAdmissionPolicy"
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": {}}


def _namespace(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}


def _volume(name: str, claimed_in: str) -> dict[str, Any]:
    spec = {"claimRef": {"namespace": claimed_in, "name": "data"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def cluster(fake_clock: FakeClock) -> FakeCluster:
    made = FakeCluster(fake_clock)
    made.server.seed(api_service())
    made.server.seed(_node(), deployment("web"), bare_pod("web-1"), _role("theirs"), namespace="production")
    return made


def _check(cluster: FakeCluster, act: Act, scope: Scope = OURS) -> list[str]:
    leaks = LeakCheck(cluster.api, scope, cluster.clock)
    act(cluster)
    return leaks.nothing_left()


def _patched(resource: Any, name: str, body: dict[str, Any], namespace: str | None = None, part: str = "") -> Act:
    return lambda cluster: cluster.api.patch(resource, name, body, namespace, subresource=part or None)


LEAKS: dict[str, tuple[Act, str]] = {
    "cordon": (_patched(NODES, "node-1", {"spec": {"unschedulable": True}}), "nodes/node-1 .*cordoned: False → True"),
    "taint": (
        _patched(NODES, "node-1", {"spec": {"taints": [{"key": "chaos", "effect": "NoExecute"}]}}),
        "taints: .* → .'chaos=:NoExecute'",
    ),
    "label": (_patched(NODES, "node-1", {"metadata": {"labels": {"zone": "x"}}}), "nodes/node-1 .*labels"),
    "node not ready": (
        _patched(NODES, "node-1", {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}, part="status"),
        "ready: True → False",
    ),
    "node gone": (lambda cluster: cluster.api.delete(NODES, "node-1"), "nodes/node-1 is gone"),
    "namespace": (
        lambda cluster: cluster.server.seed(_namespace("rh-shop-run1", MINE)),
        "namespaces/rh-shop-run1 was not there before",
    ),
    "cluster role": (lambda cluster: cluster.server.seed(_role("mine", MINE)), "clusterroles/mine was not there"),
    "policy": (
        lambda cluster: cluster.server.seed(_policy("mine", MINE)),
        "validatingadmissionpolicies/mine was not there before",
    ),
    "cluster role of nobody": (lambda cluster: cluster.server.seed(_role("x")), "clusterroles/x was not there before"),
    "service of an API": (
        _patched(API_SERVICES, API, {"spec": {"service": {"namespace": "rh-shop-run1", "name": "late"}}}),
        f"apiservices/{API} .*service: kube-system/metrics-server → rh-shop-run1/late",
    ),
    "replicas": (
        _patched(DEPLOYMENTS, "web", {"spec": {"replicas": 1}}, "production"),
        "deployments/production/web .*replicas: 3 → 1",
    ),
    "image": (
        _patched(
            DEPLOYMENTS,
            "web",
            {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "bad:1"}]}}}},
            "production",
        ),
        "images: .* → .'bad:1'",
    ),
}


@pytest.mark.parametrize("kind", list(LEAKS))
def test_leftover_fails_the_check_and_is_named(cluster: FakeCluster, kind: str) -> None:
    act, text = LEAKS[kind]
    with pytest.raises(LeftBehind, match=f"LEFT BEHIND: .*{text}"):
        _check(cluster, act)


def _busy_cluster(cluster: FakeCluster) -> None:
    """What happens all the time on a cluster that others use."""
    cluster.server.seed(
        bare_pod("web-2"),
        {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "happened"}},
        {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "leader"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "theirs"}, "spec": {}},
        namespace="production",
    )
    cluster.server.seed(_namespace("rh-other-run2", THEIRS), _role("of-another-run", THEIRS))
    cluster.server.seed(_namespace("rh-shop-twin-run1", MINE))
    cluster.server.seed(deployment("of-another-run"), namespace="rh-other-run2")
    cluster.server.seed(_volume("of-another-run", "rh-other-run2"), _volume("on-its-way-out", "rh-older-run0"))
    cluster.api.patch(DEPLOYMENTS, "web", {"metadata": {"annotations": {"checked": "now"}}}, "production")
    cluster.api.patch(DEPLOYMENTS, "web", {"status": {"replicas": 3}}, "production", subresource="status")


def test_routine_changes_by_others_are_no_leak(cluster: FakeCluster) -> None:
    assert _check(cluster, _busy_cluster) == []


def test_object_removed_by_another_run_is_no_leak(cluster: FakeCluster) -> None:
    cluster.server.seed(_namespace("rh-other-run2", THEIRS), _volume("theirs", "rh-other-run2"))
    cluster.server.seed(deployment("of-another-run"), namespace="rh-other-run2")

    def goes(cluster: FakeCluster) -> None:
        cluster.api.delete(DEPLOYMENTS, "of-another-run", "rh-other-run2")
        cluster.api.delete(cluster.server.resource_of("v1", "PersistentVolume"), "theirs")

    assert _check(cluster, goes) == []


def test_volume_claimed_by_the_experiment_namespace_is_a_leak(cluster: FakeCluster) -> None:
    with pytest.raises(LeftBehind, match="persistentvolumes/mine was not there before"):
        _check(cluster, lambda cluster: cluster.server.seed(_volume("mine", "rh-shop-run1")))


def test_restored_object_is_no_leak(cluster: FakeCluster) -> None:
    def there_and_back(cluster: FakeCluster) -> None:
        for replicas in (0, 3):
            cluster.api.patch(DEPLOYMENTS, "web", {"spec": {"replicas": replicas}}, "production")
        for cordoned in (True, False):
            cluster.api.patch(NODES, "node-1", {"spec": {"unschedulable": cordoned}})

    assert _check(cluster, there_and_back) == []


def test_replicas_that_an_autoscaler_sets_are_its_own_affair(cluster: FakeCluster) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 9},
    }
    cluster.server.seed(scaler, namespace="production")
    assert _check(cluster, _patched(DEPLOYMENTS, "web", {"spec": {"replicas": 7}}, "production")) == []


def test_a_node_that_became_ready_meanwhile_is_no_damage(cluster: FakeCluster) -> None:
    cluster.api.patch(
        NODES, "node-1", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, subresource="status"
    )
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert _check(cluster, _patched(NODES, "node-1", ready, part="status")) == []


def test_slowly_deleted_object_is_waited_for(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    leaks = LeakCheck(cluster.api, OURS, cluster.clock)
    cluster.server.seed(_role("mine", MINE))
    sleep = FakeClock.sleep

    def sleeping(clock: FakeClock, seconds: float) -> None:
        sleep(clock, seconds)
        if "mine" in [item["metadata"]["name"] for item in cluster.api.list(ROLES).items]:
            cluster.api.delete(ROLES, "mine")

    monkeypatch.setattr(FakeClock, "sleep", sleeping)
    assert leaks.nothing_left() == []


@pytest.mark.parametrize(("within", "whole"), [(60.0, True), (20.0, False)])
def test_caller_sets_how_long_to_wait(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, within: float, whole: bool
) -> None:
    leaks = LeakCheck(cluster.api, OURS, cluster.clock)
    cluster.server.seed(_role("mine", MINE))
    begun, sleep = cluster.clock.monotonic(), FakeClock.sleep

    def sleeping(clock: FakeClock, seconds: float) -> None:
        sleep(clock, seconds)
        if clock.monotonic() - begun > 40.0 and whole:
            cluster.api.delete(ROLES, "mine")

    monkeypatch.setattr(FakeClock, "sleep", sleeping)
    if whole:
        assert leaks.nothing_left(within) == []
    else:
        with pytest.raises(LeftBehind):
            leaks.nothing_left(within)
        assert cluster.clock.monotonic() - begun < 40.0


def test_foreign_change_on_a_shared_cluster_is_only_a_note(cluster: FakeCluster) -> None:
    (note,) = _check(cluster, LEAKS["cluster role of nobody"][0], SHARED)
    assert note == "changed during the run, not by it: clusterroles/x was not there before"


@pytest.mark.parametrize("kind", ["namespace", "cluster role"])
def test_object_with_the_run_label_is_a_leak_on_a_shared_cluster(cluster: FakeCluster, kind: str) -> None:
    act, text = LEAKS[kind]
    with pytest.raises(LeftBehind, match=text):
        _check(cluster, act, SHARED)


@pytest.mark.parametrize(("last", "leak"), [("resilience-harness", True), ("kubectl", False)])
def test_last_writer_owns_a_change_on_a_shared_cluster(cluster: FakeCluster, last: str, leak: bool) -> None:
    fields = [
        {"manager": "resilience-harness" if last == "kubectl" else "kubectl", "time": "2026-01-01T00:00:00Z"},
        {"manager": last, "time": "2026-01-01T00:00:09Z"},
        {"manager": "kubelet", "time": "2026-01-01T00:01:00Z", "subresource": "status"},
    ]
    act = _patched(NODES, "node-1", {"metadata": {"managedFields": fields}, "spec": {"unschedulable": True}})
    if leak:
        with pytest.raises(LeftBehind, match="cordoned"):
            _check(cluster, act, SHARED)
    else:
        assert "cordoned" in _check(cluster, act, SHARED)[0]


def test_workload_of_another_run_is_no_leak(cluster: FakeCluster) -> None:
    """Without the right to list namespaces it is unknown that the namespace is that of another run."""
    fields = [{"manager": "resilience-harness", "time": "2026-01-01T00:00:00Z"}]
    made = deployment("podinfo")
    made["metadata"]["managedFields"] = fields
    cluster.server.fail_next(403, count=99, path="/namespaces?")
    cluster.server.fail_next(403, count=99, path="/api/v1/namespaces")
    notes = _check(cluster, lambda cluster: cluster.server.seed(made, namespace="rh-shop-run2"), SHARED)
    assert "changed during the run, not by it: deployments/rh-shop-run2/podinfo was not there before" in notes


def test_forbidden_kinds_are_reported_and_skipped(cluster: FakeCluster) -> None:
    cluster.server.fail_next(403, count=99, path="/nodes")
    notes = _check(cluster, lambda _: None)
    assert notes == ["not checked for leftovers, list permission denied: nodes"]


def test_large_resources_are_not_listed(cluster: FakeCluster) -> None:
    """Pods, events and endpoints are many, and change all the time."""
    before = len(cluster.server.calls)
    LeakCheck(cluster.api, OURS, cluster.clock)
    listed = {call.path.rpartition("/")[2] for call in cluster.server.calls[before:]}
    assert listed.isdisjoint({each.plural for each in (PODS, EVENTS, LEASES, CONFIG_MAPS, SERVICES, BUDGETS)})
    assert len(cluster.server.calls) - before < 20


def _check_machines(cluster: FakeCluster, act: Act) -> list[str]:
    leaks = LeakCheck(cluster.api, OURS, cluster.clock, cluster.nodes())
    act(cluster)
    return leaks.nothing_left()


def _leave(text: str, namespace: str = "") -> Act:
    return lambda cluster: cluster.machines.left.setdefault("node-1", set()).add(Trace(text, "new", namespace))


ON_MACHINES: dict[str, tuple[Act, str]] = {
    "power": (lambda cluster: cluster.machines.states.update({"node-1": "stopped"}), "running → stopped"),
    "cut off": (lambda cluster: cluster.machines.cut.add("node-1"), "iptables raw .* was not there before"),
    "service": (lambda cluster: cluster.machines.stopped.add(("node-1", "kubelet")), "kubelet no longer runs"),
    "process": (_leave("process 7 (web), stopped,"), "process 7 .web., stopped, was not there before"),
}


@pytest.mark.parametrize("kind", list(ON_MACHINES))
def test_machine_leftover_fails_the_check_and_is_named(cluster: FakeCluster, kind: str) -> None:
    act, text = ON_MACHINES[kind]
    with pytest.raises(LeftBehind, match=f"LEFT BEHIND: node/node-1: {text}"):
        _check_machines(cluster, act)


def test_restored_machine_state_is_no_leak(cluster: FakeCluster) -> None:
    def there_and_back(cluster: FakeCluster) -> None:
        cluster.machines.kill("node-1")
        cluster.machines.start("node-1")

    assert _check_machines(cluster, there_and_back) == []


def test_process_in_another_experiment_pod_is_ignored(cluster: FakeCluster) -> None:
    cluster.server.seed(_namespace("rh-other-run2", THEIRS))
    assert _check_machines(cluster, _leave("process 7", "rh-other-run2")) == []
    with pytest.raises(LeftBehind, match="process 7 was not there before"):
        _check_machines(cluster, _leave("process 7", "production"))


def test_pod_route_of_a_node_is_no_leak(cluster: FakeCluster) -> None:
    cluster.api.patch(NODES, "node-1", {"spec": {"podCIDRs": ["198.18.66.0/24"]}})

    def joined(cluster: FakeCluster) -> None:
        cluster.machines.left["node-1"] = {Trace("route 198.18.66.0/24 via 198.18.0.12 dev eth0")}

    assert _check_machines(cluster, joined) == []


@pytest.mark.parametrize("failures", [1, 99])
def test_unreadable_machine_is_retried_and_then_reported(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    traces, left = FakeNodes.traces, iter(range(failures))

    def failing(nodes: FakeNodes, node: str) -> NodeTraces:
        if next(left, None) is not None:
            raise ClusterBroken("the runtime does not answer")
        return traces(nodes, node)

    def fails(_: FakeCluster) -> None:
        monkeypatch.setattr(FakeNodes, "traces", failing)

    if failures == 1:
        assert _check_machines(cluster, fails) == []
    else:
        with pytest.raises(TimedOut, match="the runtime does not answer"):
            _check_machines(cluster, fails)


ROLES = FakeCluster().server.resource_of(RBAC, "ClusterRole")
