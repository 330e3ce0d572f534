"""Rolling out what cannot work, and rolling it back."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.cluster.kube.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from harness.common.errors import Inconclusive
from harness.faults.bad_rollout import BadRollout
from harness.faults.base import Evidence
from harness.faults.rollout_trouble import UNREADY_SECONDS, troubles
from tests.fake_world import NAMESPACE, World, deployment
from tests.unit.faults.rolling_out import image_of, roll_out

BAD = "podinfo:bad"


def _evidence(world: World, **fields: Any) -> Evidence:
    fault, context, victims = roll_out(world, **fields)
    return fault.evidence(context, victims)


@pytest.mark.parametrize(("trouble", "said"), [("missing", "ImagePullBackOff"), ("crashing", "CrashLoopBackOff")])
def test_evidence_names_what_the_new_pods_wait_for(world: World, trouble: str, said: str) -> None:
    getattr(world.kubelet, trouble).add(BAD)
    evidence = _evidence(world, image=BAD)
    assert evidence.proven
    assert said in evidence.text
    assert "revision 2" in evidence.text


def test_a_version_that_works_is_no_evidence(world: World) -> None:
    evidence = _evidence(world, image="podinfo:2")
    assert not evidence.proven
    assert "3 pods, none in trouble" in evidence.text


def test_a_pod_that_has_just_started_is_not_yet_in_trouble(world: World) -> None:
    world.kubelet.unready.add(BAD)
    fault, context, victims = roll_out(world, image=BAD)
    assert not fault.evidence(context, victims).proven
    world.clock.advance(UNREADY_SECONDS + 1)
    evidence = fault.evidence(context, victims)
    assert evidence.proven
    assert "is not ready" in evidence.text


@pytest.mark.parametrize(
    ("probes", "started", "given"),
    [
        ({"readinessProbe": {"initialDelaySeconds": 20, "periodSeconds": 1}}, True, 21),
        ({"readinessProbe": {}}, True, 0),
        ({"readinessProbe": {"httpGet": {"port": 80}}}, True, 10),
        ({"readinessProbe": {"periodSeconds": 2, "successThreshold": 3}}, True, 6),
        ({"startupProbe": {"initialDelaySeconds": 5, "httpGet": {"port": 80}}}, False, 35),
        ({"startupProbe": {"periodSeconds": 10, "failureThreshold": 30}}, False, 300),
        ({"startupProbe": {"failureThreshold": 30}, "readinessProbe": {"periodSeconds": 1}}, True, 1),
    ],
)
@pytest.mark.parametrize("sidecar", [False, True])
def test_pod_within_its_probe_grace_is_not_yet_in_trouble(
    probes: dict[str, Any], started: bool, given: float, sidecar: bool
) -> None:
    status = {"name": "c", "state": {"running": {"startedAt": "2023-11-14T22:13:20Z"}}, "started": started}
    kind, statuses = ("initContainers", "initContainerStatuses") if sidecar else ("containers", "containerStatuses")
    pod = {"metadata": {"name": "p"}, "spec": {kind: [{"name": "c"} | probes]}, "status": {statuses: [status]}}
    began = 1_700_000_000.0
    assert not list(troubles(pod, began + UNREADY_SECONDS + given - 0.5))
    assert list(troubles(pod, began + UNREADY_SECONDS + given))


def test_the_old_version_s_troubles_are_not_the_fault_s(world: World) -> None:
    """An unready pod of the revision before must not pass for a rollout that bit."""
    context = world.context()
    fault = BadRollout(of="deployment/podinfo", image=BAD)
    victims = fault.choose(context)
    (name, *_) = world.pods()
    world.restart_container(name, waiting="CrashLoopBackOff")
    world.api.patch(PODS, name, {"status": {"conditions": []}}, NAMESPACE, subresource="status")
    assert not fault.evidence(context, victims).proven


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"conditions": [{"type": "PodScheduled", "status": "False", "message": "no node fits"}]}, "no node fits"),
        ({"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 3}}}]}, "ended with exit code 3"),
        (
            {"containerStatuses": [{"name": "c", "state": {}, "lastState": {"terminated": {"exitCode": 137}}}]},
            "ended with exit code 137",
        ),
        (
            {"initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "CreateContainerConfigError"}}}]},
            "CreateContainerConfigError",
        ),
    ],
)
def test_trouble_has_many_faces(world: World, status: dict[str, Any], said: str) -> None:
    world.kubelet.missing.add(BAD)
    fault, context, victims = roll_out(world, image=BAD)
    bad = [pod for pod in world.api.list(PODS, NAMESPACE).items if pod["spec"]["containers"][0]["image"] == BAD]
    patch = {"status": {"containerStatuses": None, **status}}
    world.api.patch(PODS, bad[0]["metadata"]["name"], patch, NAMESPACE, subresource="status")
    evidence = fault.evidence(context, victims)
    assert evidence.proven
    assert said in evidence.text


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_starting_is_no_trouble(world: World, reason: str) -> None:
    world.kubelet.missing.add(BAD)
    fault, context, victims = roll_out(world, image=BAD)
    bad = [pod for pod in world.api.list(PODS, NAMESPACE).items if pod["spec"]["containers"][0]["image"] == BAD]
    status = {"status": {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": reason}}}]}}
    world.api.patch(PODS, bad[0]["metadata"]["name"], status, NAMESPACE, subresource="status")
    assert not fault.evidence(context, victims).proven


def test_pods_that_cannot_even_be_made_are_evidence(world: World) -> None:
    fault, context, victims = roll_out(world, image="podinfo:2")
    newest = max(world.api.list(REPLICA_SETS, NAMESPACE).items, key=lambda item: item["spec"]["replicas"])
    condition = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    status = {"status": {"conditions": [condition]}}
    world.api.patch(REPLICA_SETS, newest["metadata"]["name"], status, NAMESPACE, subresource="status")
    evidence = fault.evidence(context, victims)
    assert evidence.proven
    assert "exceeded quota" in evidence.text


@pytest.mark.parametrize(
    ("replicas", "strategy", "taken"),
    [
        (3, None, 0),
        (4, None, 1),
        (3, {"type": "Recreate"}, 3),
        (1, {"rollingUpdate": {"maxUnavailable": 1}}, 1),
        (1, {"rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}}, 1),
        (1, {"rollingUpdate": {"maxUnavailable": "50%", "maxSurge": 0}}, 1),
        (3, {"rollingUpdate": {"maxUnavailable": "50%"}}, 1),
        (3, {"rollingUpdate": {"maxUnavailable": 7}}, 3),
        (3, {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}, 0),
        (0, {"type": "Recreate"}, 0),
    ],
)
def test_victims_follow_the_rollout_strategy(
    world: World, replicas: int, strategy: dict[str, Any] | None, taken: int
) -> None:
    item = deployment("other", replicas)
    world.cluster.server.seed({**item, "spec": {**item["spec"], "strategy": strategy}}, namespace=NAMESPACE)
    fault = BadRollout(of="deployment/other", image=BAD)
    (victim,) = fault.choose(world.context())
    assert fault.takes(victim) == taken


@pytest.mark.parametrize("fields", [{"image": "podinfo:1"}, {"patch": {"metadata": {"labels": {"app": "podinfo"}}}}])
def test_a_rollout_that_changes_nothing_is_inconclusive(world: World, fields: dict[str, Any]) -> None:
    with pytest.raises(Inconclusive, match="changed nothing"):
        roll_out(world, **fields)


def test_concurrent_status_update_does_not_block_the_change(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes the version that was looked at an old one, and is nobody's change of what is asked for."""
    patch, busy = world.api.patch, [1, 2]

    def contended(*args: Any, **fields: Any) -> Any:
        if busy:
            patch(DEPLOYMENTS, "podinfo", {"status": {"replicas": 30 + busy.pop()}}, NAMESPACE, subresource="status")
        return patch(*args, **fields)

    monkeypatch.setattr(world.api, "patch", contended)
    roll_out(world, image=BAD)
    assert image_of(world) == BAD
    assert busy == []


def test_container_is_required_when_there_are_several(world: World) -> None:
    item = deployment("two")
    item["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "s:1"})
    world.cluster.server.seed(item, namespace=NAMESPACE)
    context = world.context()
    with pytest.raises(Inconclusive, match="several containers, set `container`: two, sidecar"):
        BadRollout(of="deployment/two", image=BAD).choose(context)
    with pytest.raises(Inconclusive, match="no container third: two, sidecar"):
        BadRollout(of="deployment/two", image=BAD, container="third").choose(context)
    fault = BadRollout(of="deployment/two", image=BAD, container="sidecar")
    fault.inject(context, fault.choose(context))
    containers = world.api.get(DEPLOYMENTS, "two", NAMESPACE)["spec"]["template"]["spec"]["containers"]
    assert [container["image"] for container in containers] == ["podinfo:1", BAD]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "found neither of image and patch, expected exactly one"),
        ({"image": "a", "patch": {"spec": {}}}, "found both of image and patch, expected exactly one"),
        ({"patch": {"spec": {}}, "container": "a"}, "found container without image"),
        ({"of": "job/db", "image": "a"}, "expected deployment/<name> or statefulset/<name>"),
        ({"image": ""}, "at least 1 character"),
        ({"patch": {}}, "at least 1 item"),
    ],
)
def test_unsupported_rollout_target_is_refused(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        BadRollout.model_validate({"of": "deployment/podinfo", **parameters})


HARMLESS = {"metadata": {"annotations": {"revision": "bad"}}}


def test_patched_revision_with_ready_pods_is_no_evidence(world: World) -> None:
    evidence = _evidence(world, patch=HARMLESS)
    assert not evidence.proven
    assert "none in trouble, 3 ready, as after a harmless change" in evidence.text


@pytest.mark.parametrize("how", [{"patch": HARMLESS}, {"image": "podinfo:2"}])
def test_bad_revision_counting_as_ready_is_evidence(world: World, how: dict[str, Any]) -> None:
    """Without a readiness probe a revision that cannot serve counts as ready: that is the harm, not the lack of one."""
    evidence = _evidence(world, **how, bad_though_ready=True)
    assert evidence.proven
    assert "counts as ready: nothing stopped it" in evidence.text


def test_bad_revision_without_a_ready_pod_is_no_evidence(world: World) -> None:
    world.kubelet.unready.add(BAD)
    assert not _evidence(world, image=BAD, bad_though_ready=True).proven


@pytest.mark.parametrize(("of_the_new", "proven"), [(True, True), (False, False)])
def test_a_rollout_that_has_stalled_is_evidence(
    world: World, monkeypatch: pytest.MonkeyPatch, of_the_new: bool, proven: bool
) -> None:
    """Its pods may wait for something that looks like starting, such as a volume that does not exist."""
    fault, context, victims = roll_out(world, patch=HARMLESS)
    newest = max(world.api.list(REPLICA_SETS, NAMESPACE).items, key=lambda item: item["spec"]["replicas"])
    name = newest["metadata"]["name"] if of_the_new else "podinfo-before"
    message = f'ReplicaSet "{name}" has timed out progressing.'
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": message}
    found = fault.find_workload(context.api, NAMESPACE)
    told = {**found, "status": {"conditions": [condition]}}
    monkeypatch.setattr(BadRollout, "find_workload", lambda *_: told)
    evidence = fault.evidence(context, victims)
    assert evidence.proven is proven
    assert ("has timed out progressing" in evidence.text) is proven
