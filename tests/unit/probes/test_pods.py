"""The pod probe tells readiness by the Ready condition, and to which workload a pod belongs."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.owners import workload_of
from harness.common.clock import parse_kubernetes_time
from harness.probes.base import Sighting
from harness.probes.pods import PodProbe

CREATED, READY = "2026-11-23T07:24:00Z", "2026-11-23T07:24:02Z"


def pod(**changes: Any) -> dict[str, Any]:
    item: dict[str, Any] = {
        "metadata": {
            "name": "podinfo-dbf696c7d-7xn9x",
            "uid": "u1",
            "creationTimestamp": CREATED,
            "labels": {"app": "podinfo", "pod-template-hash": "dbf696c7d"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "podinfo-dbf696c7d", "uid": "rs", "controller": True}],
        },
        "spec": {"nodeName": "worker-1"},
        "status": {
            "phase": "Running",
            "podIP": "198.18.65.16",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": READY}],
            "containerStatuses": [
                {
                    "name": "podinfo",
                    "image": "podinfo:1",
                    "imageID": f"docker.io/library/podinfo@{SUM}",
                    "containerID": "containerd://c1",
                    "restartCount": 0,
                    "ready": True,
                    "state": {"running": {"startedAt": READY}},
                }
            ],
        },
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = item
        for parent in parents:
            place = place[parent]
        place[last] = value
    return item


SUM = "sha256:" + "a" * 64


def seen(item: dict[str, Any], event: str = "MODIFIED") -> Sighting:
    (sighting,) = PodProbe().see(event, item)
    return sighting


def test_images_of_all_started_containers_are_recorded() -> None:
    started = {"name": "a", "image": "init:1", "imageID": "sha256:1"}
    waiting = {"name": "b", "image": "side:1", "imageID": ""}
    found = seen(pod(status__initContainerStatuses=[started, waiting])).value["images"]
    assert found == [["init:1", "sha256:1"], ["podinfo:1", f"docker.io/library/podinfo@{SUM}"]]


def test_a_ready_pod() -> None:
    sighting = seen(pod(), "SYNC")
    assert sighting.subject == "podinfo-dbf696c7d-7xn9x"
    assert sighting.wall == parse_kubernetes_time(READY)
    assert sighting.value == {
        "event": "SYNC",
        "uid": "u1",
        "owner": "deployment/podinfo",
        "ready": True,
        "phase": "Running",
        "reason": "",
        "deleting": False,
        "node": "worker-1",
        "ip": "198.18.65.16",
        "containers": {
            "podinfo": {
                "id": "containerd://c1",
                "restarts": 0,
                "ready": True,
                "waiting": None,
                "exit_code": None,
                "end_reason": None,
                "started": parse_kubernetes_time(READY),
            }
        },
        "requests": {"podinfo": {}},
        "liveness": {},
        "ready_since": parse_kubernetes_time(READY),
        "created": parse_kubernetes_time(CREATED),
        "labels": {"app": "podinfo", "pod-template-hash": "dbf696c7d"},
        "images": [["podinfo:1", f"docker.io/library/podinfo@{SUM}"]],
    }


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_readiness_is_the_condition_and_not_the_containers_flag(status: str) -> None:
    gated = pod(status__conditions=[{"type": "Ready", "status": status, "lastTransitionTime": READY}])
    value = seen(gated).value
    assert value["ready"] is False
    assert value["ready_since"] is None
    assert value["containers"]["podinfo"]["ready"] is True


def test_terminating_pod_may_be_ready_and_is_dated_by_deletion() -> None:
    item = pod(metadata__deletionTimestamp="2026-11-23T07:31:00Z", metadata__deletionGracePeriodSeconds=30)
    sighting = seen(item)
    assert (sighting.value["deleting"], sighting.value["ready"]) == (True, True)
    assert sighting.wall == parse_kubernetes_time("2026-11-23T07:30:30Z")


@pytest.mark.parametrize(
    ("kind", "name", "labels", "expected"),
    [
        ("ReplicaSet", "shop-web-5d4f", {"pod-template-hash": "5d4f"}, "deployment/shop-web"),
        ("ReplicaSet", "bare", {"pod-template-hash": "5d4f"}, "replicaset/bare"),
        ("ReplicaSet", "shop-5d4f", None, "replicaset/shop-5d4f"),
        ("StatefulSet", "db", {}, "statefulset/db"),
    ],
)
def test_the_owner_is_the_workload(kind: str, name: str, labels: dict[str, str] | None, expected: str) -> None:
    references = [{"kind": "Other", "name": "x"}, {"kind": kind, "name": name, "controller": True}]
    assert workload_of(pod(metadata__labels=labels, metadata__ownerReferences=references)) == expected


def test_a_pod_without_a_controller_has_no_owner() -> None:
    assert workload_of(pod(metadata__ownerReferences=[{"kind": "Node", "name": "n", "controller": False}])) == ""


def test_times_of_liveness_probes_are_recorded() -> None:
    quick = {"periodSeconds": 2, "timeoutSeconds": 3, "failureThreshold": 4, "initialDelaySeconds": 5}
    spec = {
        "terminationGracePeriodSeconds": 7,
        "containers": [{"name": "a", "livenessProbe": quick}, {"name": "b"}],
        "initContainers": [
            {"name": "once", "livenessProbe": quick},
            {"name": "side", "restartPolicy": "Always", "livenessProbe": {"terminationGracePeriodSeconds": 1}},
        ],
    }
    assert seen(pod(spec=spec)).value["liveness"] == {
        "a": {"delay": 5, "period": 2, "timeout": 3, "failures": 4, "grace": 7},
        "side": {"delay": 0, "period": 10, "timeout": 1, "failures": 3, "grace": 1},
    }


def test_last_exit_code_and_waiting_reason_are_recorded() -> None:
    crashed = {
        "name": "podinfo",
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    ended = {"name": "other", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}
    containers = seen(pod(status__containerStatuses=[crashed, ended])).value["containers"]
    assert containers["podinfo"] == {
        "id": "",
        "restarts": 3,
        "ready": False,
        "waiting": "CrashLoopBackOff",
        "exit_code": 137,
        "end_reason": "OOMKilled",
        "started": None,
    }
    assert containers["other"]["exit_code"] == 0


def test_pod_that_the_kubelet_evicted_has_the_reason() -> None:
    assert seen(pod(status__reason="Evicted")).value["reason"] == "Evicted"


def test_sidecars_count_as_containers_and_init_containers_do_not() -> None:
    specs = [{"name": "proxy", "restartPolicy": "Always"}, {"name": "setup"}]
    statuses = [{"name": "proxy", "restartCount": 2}, {"name": "setup", "restartCount": 0}]
    containers = seen(pod(spec__initContainers=specs, status__initContainerStatuses=statuses)).value["containers"]
    assert sorted(containers) == ["podinfo", "proxy"]
    assert containers["proxy"]["restarts"] == 2


SPEC = {"containers": [{"name": "podinfo", "resources": {"requests": {"cpu": "250m"}}}]}
APPLIED = {"name": "podinfo", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}


@pytest.mark.parametrize(
    ("statuses", "found"),
    [
        ([APPLIED], {"podinfo": {"cpu": 0.1, "memory": 64 * 2**20}}),
        ([{"name": "podinfo"}], {"podinfo": {"cpu": 0.25}}),
        ([], {}),
    ],
    ids=["resized", "not reported by the kubelet", "not started"],
)
def test_requests_are_those_that_the_kubelet_applied(statuses: Any, found: Any) -> None:
    assert seen(pod(spec=SPEC, status__containerStatuses=statuses)).value["requests"] == found
