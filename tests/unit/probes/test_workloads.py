"""The workload probe reads all kinds of workload into one shape."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from harness.cluster.kube.resources import DAEMON_SETS, DEPLOYMENTS, ROLLOUTS, STATEFUL_SETS, Resource
from harness.common.clock import parse_kubernetes_time
from harness.probes.base import Sighting
from harness.probes.standard import standard_probes
from harness.probes.workloads import WorkloadProbe, template_hash

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
DEPLOYMENT: dict[str, Any] = {
    "metadata": {
        "name": "web",
        "uid": "d1",
        "generation": 4,
        "annotations": {"deployment.kubernetes.io/revision": "3"},
    },
    "spec": {"replicas": 3, "template": TEMPLATE, "progressDeadlineSeconds": 8},
    "status": {
        "observedGeneration": 4,
        "replicas": 4,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "updatedReplicas": 1,
        "conditions": [
            {
                "type": "Progressing",
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": "it timed out",
                "lastTransitionTime": "2026-11-23T07:24:00Z",
            }
        ],
    },
}


def seen(resource: Resource, item: dict[str, Any], event: str = "MODIFIED") -> Sighting:
    (sighting,) = WorkloadProbe(resource).see(event, item)
    return sighting


def test_a_deployment() -> None:
    sighting = seen(DEPLOYMENTS, DEPLOYMENT)
    since = parse_kubernetes_time("2026-11-23T07:24:00Z")
    assert (sighting.subject, sighting.wall) == ("deployment/web", since)
    assert sighting.value == {
        "event": "MODIFIED",
        "uid": "d1",
        "desired": 3,
        "replicas": 4,
        "ready": 2,
        "available": 2,
        "updated": 1,
        "generation": 4,
        "observed_generation": 4,
        "revision": "3",
        "template": template_hash(DEPLOYMENT),
        "conditions": {
            "Progressing": {
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": "it timed out",
                "since": since,
            }
        },
        "deadline": 8,
        "progressed": None,
    }


@pytest.mark.parametrize(("spec", "first"), [({}, 0), ({"ordinals": {"start": 5}}, 5)])
def test_first_number_of_a_stateful_set(spec: dict[str, Any], first: int) -> None:
    item = {"metadata": {"name": "db"}, "spec": spec}
    assert seen(STATEFUL_SETS, item).value["first_ordinal"] == first
    assert "first_ordinal" not in seen(DEPLOYMENTS, item).value


def test_progress_of_a_rollout_is_that_of_its_condition() -> None:
    condition = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
    stamps = {"lastTransitionTime": "2026-11-23T07:20:00Z", "lastUpdateTime": "2026-11-23T07:23:00Z"}
    value = seen(DEPLOYMENTS, DEPLOYMENT | {"status": {"conditions": [condition | stamps]}}).value
    assert value["progressed"] == parse_kubernetes_time("2026-11-23T07:23:00Z")


COUNTS = ("desired", "replicas", "ready", "available", "updated")


def test_counts_that_the_server_leaves_out_are_zero() -> None:
    item = {"metadata": {"name": "web"}, "spec": {}, "status": {"observedGeneration": 1}}
    value = seen(DEPLOYMENTS, item).value
    assert [value[key] for key in COUNTS] == [1, 0, 0, 0, 0]


def test_unset_counts_are_unknown() -> None:
    value = seen(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": {}}).value
    assert [value[key] for key in COUNTS] == [1, None, None, None, None]
    assert value["observed_generation"] is None
    daemons = seen(DAEMON_SETS, {"metadata": {"name": "agent"}, "spec": {}}).value
    assert [daemons[key] for key in COUNTS] == [None] * 5


def test_a_stateful_set_has_the_hash_of_its_update_as_revision() -> None:
    item = {
        "metadata": {"name": "db"},
        "spec": {"replicas": 2},
        "status": {"updateRevision": "db-7f", "readyReplicas": 2},
    }
    sighting = seen(STATEFUL_SETS, item)
    assert sighting.subject == "statefulset/db"
    assert (sighting.value["revision"], sighting.value["ready"]) == ("db-7f", 2)


def test_a_daemon_set_counts_nodes() -> None:
    status = {
        "desiredNumberScheduled": 5,
        "currentNumberScheduled": 4,
        "numberReady": 3,
        "numberAvailable": 2,
        "updatedNumberScheduled": 1,
    }
    value = seen(DAEMON_SETS, {"metadata": {"name": "agent"}, "spec": {}, "status": status}).value
    assert [value[key] for key in ("desired", "replicas", "ready", "available", "updated")] == [5, 4, 3, 2, 1]


def test_deleted_workload_has_zero_actual_and_desired() -> None:
    value = seen(DEPLOYMENTS, DEPLOYMENT, "DELETED").value
    assert [value[key] for key in ("desired", "replicas", "ready", "available", "updated")] == [0] * 5


def test_template_hash_identifies_each_template() -> None:
    broken = deepcopy(DEPLOYMENT)
    broken["spec"]["template"]["spec"]["containers"][0]["image"] = "web:none"
    scaled = deepcopy(DEPLOYMENT)
    scaled["spec"]["replicas"] = 9
    scaled["spec"]["template"] = dict(reversed(scaled["spec"]["template"].items()))
    assert template_hash(broken) != template_hash(DEPLOYMENT)
    assert template_hash(scaled) == template_hash(DEPLOYMENT)


def test_a_rollout_of_argo() -> None:
    status = {
        "observedGeneration": "4",
        "phase": "Degraded",
        "message": "RolloutAborted: errors",
        "abort": True,
        "pauseConditions": [{"reason": "CanaryPauseStep", "startTime": "2026-11-23T07:24:00Z"}],
        "stableRS": "old",
        "currentPodHash": "new",
        "replicas": 3,
        "updatedReplicas": 1,
    }
    annotations = {"rollout.argoproj.io/revision": "2"}
    item = {**DEPLOYMENT, "metadata": {**DEPLOYMENT["metadata"], "annotations": annotations}, "status": status}
    value = seen(ROLLOUTS, item).value
    assert value["delivery"] == {
        "phase": "Degraded",
        "message": "RolloutAborted: errors",
        "aborted": True,
        "paused": ["CanaryPauseStep"],
        "stable": "old",
        "current": "new",
    }
    assert (value["observed_generation"], value["revision"], value["updated"], value["ready"]) == (4, "2", 1, 0)


def test_rollouts_are_watched_only_if_the_workload_has_one() -> None:
    def watched(kind: str) -> set[str]:
        return {probe.resource.kind for probe in standard_probes([{"kind": kind}])}

    assert watched("Rollout") - watched("Deployment") == {"Rollout"}
