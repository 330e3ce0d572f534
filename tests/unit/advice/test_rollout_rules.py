"""Rules on rollouts and on room for pods."""

from __future__ import annotations

from harness.advice.rule import Strength
from harness.model.timeline import Victim
from tests.unit.advice.test_rules import BAD, found, ranked, rolled, shop, workload
from tests.unit.timelines import PODINFO


def test_missing_replicas_are_not_explained_by_the_deadline() -> None:
    objects = workload(shop(), strategy={"rollingUpdate": {"maxUnavailable": 1}})
    advice = found(objects, BAD, rolled(), "rolloutHalts", limit=3.0, unit="replicas")["rollout-limits"]
    assert (advice.evidence, advice.strength) == ("maxUnavailable is 1", Strength.OBSERVED)


def test_rollout_without_a_pause_of_a_wrong_version() -> None:
    wrong = BAD.model_copy(update={"bad_though_ready": True})
    advice = found(workload(shop()), wrong, rolled(), "latency")["no-pause"]
    assert advice.evidence == "minReadySeconds is 0; 1 pod of the wrong version became ready"
    assert advice.patch[PODINFO]["spec"]["minReadySeconds"] == 30
    assert "no-pause" not in found(workload(shop(), minReadySeconds=20), wrong, rolled(), "latency")
    assert "no-pause" not in found(workload(shop()), BAD, rolled(), "latency")


def test_pods_without_room_beside_a_namespace_without_quota() -> None:
    story = rolled().struck(Victim("Deployment", "batch", "b"))
    message = {"reason": "FailedScheduling", "message": "2 Insufficient cpu", "type": "Warning", "count": 1}
    story.add("events", "pod/podinfo-d", 12.0, message)
    batch = {
        "kind": "Deployment",
        "metadata": {"name": "batch", "namespace": "batch"},
        "spec": workload(shop())[0]["spec"],
    }
    advice = found([*workload(shop()), batch], BAD, story, "replicas")["no-room"]
    assert advice.evidence == "2 Insufficient cpu"
    assert advice.cause.endswith("no ResourceQuota limits what deployment/batch reserves in its namespace")
    quota = {"kind": "ResourceQuota", "metadata": {"name": "batch", "namespace": "batch"}}
    advice = found([*workload(shop()), batch, quota], BAD, story, "replicas")["no-room"]
    assert advice.cause == "no node had room for a pod of deployment/podinfo"
    assert "no-room" not in found(workload(shop()), BAD, rolled(), "replicas")
    # The pods of the batch wait too, which explains nothing about podinfo.
    story.pod(11.0, "batch-a", "z", owner="deployment/batch").add("events", "pod/batch-a", 12.0, message)
    objects = [*workload(shop()), batch]
    rules = [rule for rule, _ in ranked(objects, BAD, story, "replicas", about=f"of {PODINFO}")]
    assert rules.count("no-room") == 1
