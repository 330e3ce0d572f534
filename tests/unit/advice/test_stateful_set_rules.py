"""Rules about StatefulSets find what the twins of the catalogue lack, and stay silent about their originals."""

from __future__ import annotations

import pytest

from harness.advice.rule import Strength
from harness.model.timeline import Injection, Interval, Victim
from tests.unit.advice.test_rules import KILL, LABELS, found, shop
from tests.unit.advice.test_rules_on_twins import advice
from tests.unit.timelines import Story

SET = "statefulset/podinfo"


def changed(fault: str) -> Story:
    story = Story()
    victim = Victim("StatefulSet", "podinfo", "s")
    story.timeline.injections.append(Injection(fault, (victim,), Interval(10.0, 10.1), None, True, "seen"))
    return story


ROWS = [
    (
        "ordered-scaling",
        "parallel",
        "scale",
        "parallel-members",
        "statefulset/podinfo starts and stops its pods at once: podManagementPolicy is Parallel",
        {"podManagementPolicy": "OrderedReady"},
    ),
    (
        "partitioned-update",
        "no-partition",
        "rollout",
        "update-reach",
        "a rolling update of statefulset/podinfo goes on to pod number 1 and below: partition is 0",
        {"updateStrategy": {"rollingUpdate": {"partition": 2}}},
    ),
    (
        "on-delete-update",
        "rolling-update",
        "rollout",
        "update-reach",
        "statefulset/podinfo replaces all its pods by itself: updateStrategy is RollingUpdate",
        {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}},
    ),
    (
        "claims-retained",
        "deleted-when-scaled",
        "scale",
        "claim-retention",
        "statefulset/podinfo deletes the claims of pods that are scaled away: whenScaled is Delete",
        {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Retain"}},
    ),
    (
        "claims-deleted",
        "retained",
        "scale",
        "claim-retention",
        "statefulset/podinfo keeps the claims of pods that are scaled away: whenScaled is Retain",
        {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}},
    ),
    (
        "members-keep-identity",
        "no-headless-service",
        "podKill",
        "governing-service",
        "there is no Service elsewhere, which serviceName of statefulset/podinfo names: its pods have no DNS records",
        {"serviceName": "podinfo"},
    ),
    (
        "members-keep-identity",
        "ephemeral-volume",
        "podKill",
        "storage-lost",
        "volume data of statefulset/podinfo is a generic ephemeral volume, whose data end with the pod",
        {
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
                }
            ]
        },
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_what_the_twin_lacks_is_found(row: tuple[str, str, str, str, str, dict[str, object]]) -> None:
    name, twin, fault, rule, cause, change = row
    advised = advice(f"state/{name}.yaml", twin, changed(fault))[rule]
    assert (advised.cause, advised.strength) == (cause, Strength.OBSERVED)
    assert advised.patch == {SET: {"spec": change}}


@pytest.mark.parametrize(("name", "fault", "rule"), [(name, fault, rule) for name, _, fault, rule, *_ in ROWS])
def test_original_of_the_twin_is_sound(name: str, fault: str, rule: str) -> None:
    assert rule not in advice(f"state/{name}.yaml", "", changed(fault))


def test_volume_that_several_pods_may_write_to() -> None:
    story = Story().struck(Victim("Deployment", "podinfo", "d"))
    file, mode = "state/volume-of-one-pod.yaml", {"accessModes": ["ReadWriteOncePod"]}
    advised = advice(file, "read-write-once", story, "<=")["several-writers"]
    assert (advised.cause, advised.evidence) == (
        "every pod of deployment/podinfo may write to claim data at the same time",
        "accessModes is ReadWriteOnce",
    )
    assert advised.patch == {"pvc/data": {"spec": mode}}
    assert "several-writers" not in advice(file, "", story, "<=")
    assert "several-writers" not in advice(file, "read-write-once", story, ">=")


def test_missing_service_is_given_whole_if_there_is_no_other() -> None:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [shop()]}}
    item = {
        "kind": "StatefulSet",
        "metadata": {"name": "podinfo"},
        "spec": {"serviceName": "gone", "template": template},
    }
    advised = found([item], KILL, changed("podKill"), "identity")["governing-service"]
    spec = {"clusterIP": "None", "selector": LABELS, "ports": [{"name": "http", "port": 9898}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "gone"}, "spec": spec}
    assert advised.patch == {"service/gone": service}
