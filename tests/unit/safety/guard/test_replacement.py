"""A pod that is hit must be replaced: each kind of controller, and each reason for which it would not."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.permissions import used
from harness.cluster.kube.resources import PODS
from harness.common.clock import iso
from harness.model.timeline import Victim
from harness.safety.guard.blast import Strike, refusals
from harness.safety.guard.policy import Policy
from harness.safety.guard.replacement import needed_for
from harness.safety.guard.safety import Safety
from tests.fake_world import bare_pod, deployment

NOW = 1_700_000_000.0
NAMESPACE = "shop"
API_VERSIONS = {"Job": "batch/v1", "ReplicationController": "v1", "Cache": "example.org/v1"}


def _controller(kind: str, name: str = "it", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSIONS.get(kind, "apps/v1"),
        "kind": kind,
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": spec,
    }


def _owned(controller: dict[str, Any], name: str, **metadata: Any) -> dict[str, Any]:
    reference = {key: controller["metadata"][key] for key in ("name", "uid")}
    reference |= {"apiVersion": controller["apiVersion"], "kind": controller["kind"], "controller": True}
    pod = bare_pod(name, namespace=NAMESPACE, ownerReferences=[reference], **metadata)
    pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return pod


def _refused(
    controller: dict[str, Any] | None, *pods: dict[str, Any], hit: int = 1, safety: Safety | None = None
) -> list[str]:
    cluster = FakeCluster()
    cluster.server.seed(*([controller] if controller else []), *pods, namespace=NAMESPACE)
    found = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in cluster.server.store.list(PODS, NAMESPACE)}
    names = [pod["metadata"]["name"] for pod in pods[:hit]]
    victims = tuple(Victim("Pod", name, found[name]) for name in names)
    safety = safety or Safety(last_replica="allowed")
    return refusals(cluster.api, NAMESPACE, [Strike("podKill", victims)], Policy(), safety, now=NOW)


def _of(kind: str, *, pods: int = 1, hit: int = 1, status: dict[str, Any] | None = None, **spec: Any) -> list[str]:
    controller = _controller(kind, **spec) | {"status": status or {}}
    return _refused(controller, *(_owned(controller, f"it-{number}") for number in range(pods)), hit=hit)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("ReplicaSet", {"replicas": 2}),
        ("ReplicationController", {"replicas": 2}),
        ("StatefulSet", {"replicas": 2}),
        ("DaemonSet", {}),
        ("Job", {"completions": 2, "parallelism": 2}),
    ],
)
def test_controllers_of_kubernetes_replace_their_pods(kind: str, spec: dict[str, Any]) -> None:
    assert _of(kind, pods=2, hit=2, **spec) == []


@pytest.mark.parametrize("kind", ["ReplicaSet", "ReplicationController"])
def test_surplus_pods_of_a_count_are_not_replaced(kind: str) -> None:
    (text,) = _of(kind, pods=3, replicas=2)
    assert text == f"pod/it-0 would not be replaced: {kind.lower()}/it has 3 pods and wants 2"


def test_old_pods_of_a_rollout_are_replaced_by_new_ones() -> None:
    controller = _controller("ReplicaSet", replicas=0)
    above = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": True}
    controller["metadata"]["ownerReferences"] = [above]
    assert _refused(controller, _owned(controller, "it-a")) == []


def test_ordinal_beyond_a_stateful_set_is_not_replaced() -> None:
    (text,) = _of("StatefulSet", replicas=2, ordinals={"start": 1})
    assert text.endswith("statefulset/it keeps the ordinals 1 to 2, which excludes pod/it-0")


def test_orphaned_pods_are_refused() -> None:
    controller = _controller("ReplicaSet", replicas=1)
    (text,) = _refused(None, _owned(controller, "it-a"))
    assert text == "pod/it-a would not be replaced: their controller replicaset/it no longer exists"
    namesake = {**controller, "metadata": {"name": "it", "uid": "another"}}
    (text,) = _refused(namesake, _owned(controller, "it-a"))
    assert "no longer exists" in text


def test_terminating_controller_replaces_nothing() -> None:
    controller = _controller("ReplicaSet", replicas=1)
    controller["metadata"]["deletionTimestamp"] = "2026-11-28T10:00:00Z"
    (text,) = _refused(controller, _owned(controller, "it-a"))
    assert text.endswith("their controller replicaset/it is being deleted")


@pytest.mark.parametrize("kind", ["Cache", "ReplicaSet"])
def test_unknown_controller_is_refused_unless_allowed(kind: str) -> None:
    """Known by its group as well: another group may have a kind of the same name."""
    controller = _controller(kind) | {"apiVersion": "example.org/v1"}
    pod = _owned(controller, "it-a")
    (text,) = _refused(None, pod)
    assert f"whether {kind.lower()}/it of example.org/v1 replaces a lost pod is unknown; to permit this" in text
    assert "`safety: {unknownController: allowed}` at the top level" in text
    allowed = Safety(last_replica="allowed", unknown_controller="allowed")
    assert _refused(None, pod, safety=allowed) == []


def test_pod_without_a_controller_is_refused() -> None:
    (text,) = _refused(None, bare_pod("alone", namespace=NAMESPACE))
    assert text == "pod/alone: no controller would replace it"


@pytest.mark.parametrize("condition", ["Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"])
def test_finished_job_replaces_nothing(condition: str) -> None:
    (text,) = _of("Job", status={"conditions": [{"type": condition, "status": "True"}]})
    assert text == f"pod/it-0 would not be replaced: job/it has finished (condition {condition})"


@pytest.mark.parametrize(
    ("spec", "failed", "hit", "why"),
    [
        ({"backoffLimit": 0}, 0, 1, "backoffLimit 0, which 0 failed and 1 killed pods exceed"),
        ({"backoffLimit": 1}, 0, 1, ""),
        ({"backoffLimit": 1}, 1, 1, "backoffLimit 1, which 1 failed and 1 killed pods exceed"),
        ({"backoffLimit": 1}, 0, 2, "backoffLimit 1, which 0 failed and 2 killed pods exceed"),
        ({}, 5, 1, ""),
        ({}, 6, 1, "backoffLimit 6, which 6 failed and 1 killed pods exceed"),
        ({"backoffLimitPerIndex": 1}, 50, 1, ""),
        ({"backoffLimitPerIndex": 0}, 0, 1, "backoffLimitPerIndex 0, and an index would fail 1 times"),
    ],
)
def test_job_replaces_pods_within_its_limits(spec: dict[str, Any], failed: int, hit: int, why: str) -> None:
    found = _of("Job", pods=2, hit=hit, status={"failed": failed}, **spec, completions=9, parallelism=2)
    assert [text.rpartition(f"job/it {'has '}")[2] for text in found] == ([why] if why else [])


def test_failures_that_are_not_counted_yet_count() -> None:
    (text,) = _of("Job", status={"failed": 0, "uncountedTerminatedPods": {"failed": ["u"]}}, backoffLimit=1)
    assert "backoffLimit 1, which 1 failed and 1 killed" in text


@pytest.mark.parametrize(("spent", "refused"), [(0, False), (1, True)])
def test_failures_of_an_index_are_read_from_the_pod(spent: int, refused: bool) -> None:
    job = _controller("Job", backoffLimitPerIndex=1, completions=2, parallelism=1)
    pod = _owned(job, "it-0", annotations={"batch.kubernetes.io/job-index-failure-count": str(spent)})
    assert bool(_refused(job, pod)) is refused


@pytest.mark.parametrize(
    ("spec", "status", "why"),
    [
        ({"suspend": True}, {}, "is suspended"),
        ({"podFailurePolicy": {"rules": [{"action": "FailJob"}]}}, {}, "a rule with the action FailJob"),
        ({"podFailurePolicy": {"rules": [{"action": "Ignore"}]}, "parallelism": 2}, {}, ""),
        ({"completions": 3, "parallelism": 2}, {"succeeded": 1}, ""),
        ({"completions": 3, "parallelism": 2}, {"succeeded": 2}, "2 active pods and needs 1"),
        ({"parallelism": 2}, {"succeeded": 0}, ""),
        ({"parallelism": 2}, {"succeeded": 1}, "it starts no new pods"),
        ({"activeDeadlineSeconds": 100, "parallelism": 2}, {"startTime": iso(NOW - 50)}, ""),
        ({"activeDeadlineSeconds": 55, "parallelism": 2}, {"startTime": iso(NOW - 50)}, "ends in 5 s"),
        ({"managedBy": "example.org/queue"}, {}, "job/it, managed by example.org/queue replaces a lost pod is unknown"),
    ],
)
def test_job_that_starts_no_more_pods_is_refused(spec: dict[str, Any], status: dict[str, Any], why: str) -> None:
    found = _of("Job", pods=2, status=status, **spec)
    assert len(found) == bool(why)
    assert all(why in text for text in found)


@pytest.mark.parametrize(
    ("policy", "namespace", "refused"), [("Never", NAMESPACE, 1), ("Always", NAMESPACE, 0), ("Never", "other", 0)]
)
def test_own_pods_on_a_node_that_never_restart_must_be_replaced(policy: str, namespace: str, refused: int) -> None:
    cluster, job = FakeCluster(), _controller("Job", backoffLimit=0)
    pod = _owned(job, "it-0")
    pod["metadata"]["namespace"] = namespace
    pod["spec"]["restartPolicy"] = policy
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}
    cluster.server.seed(node, job, pod, namespace=namespace)
    strikes = [Strike("nodeStop", (Victim("Node", "node-1", "uid"),))]
    safety = Safety(last_replica="allowed")
    assert len(refusals(cluster.api, NAMESPACE, strikes, Policy(), safety, now=NOW)) == refused


def test_controller_lookup_needs_only_declared_permissions() -> None:
    cluster = FakeCluster()
    objects = [deployment(), _controller("StatefulSet"), _controller("Job"), _controller("CronJob")]
    for kind in ("ReplicaSet", "StatefulSet", "Job"):
        controller = _controller(kind, kind.lower(), replicas=1)
        pod = _owned(controller, f"{kind.lower()}-0")
        cluster.server.seed(controller, pod, namespace=NAMESPACE)
    victims = tuple(
        Victim("Pod", pod["metadata"]["name"], pod["metadata"]["uid"])
        for pod in cluster.server.store.list(PODS, NAMESPACE)
    )
    strikes = [Strike("podKill", victims)]
    refusals(cluster.api, NAMESPACE, strikes, Policy(), Safety(last_replica="allowed"), now=NOW)
    asked = {each for call in cluster.server.calls for each in used(call.method, call.path)}
    assert {each for each in asked if each.verb == "get"} - needed_for(objects) == {
        each for each in asked if each.resource == "namespaces"
    }
    assert needed_for(objects) <= asked
