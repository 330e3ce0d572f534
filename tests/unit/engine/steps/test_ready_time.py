"""How long a workload may take to become ready: what it allows itself, or what the experiment says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import Object
from harness.common.clock import FakeClock
from harness.common.errors import Inconclusive, InputError
from harness.engine.preflight.requirements import require
from harness.engine.steps import deploy
from harness.engine.steps.ready_time import ready_time
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from tests.fake_run import EXPERIMENT, Stage, write_project
from tests.fake_world import NAMESPACE, bare_pod, deployment


def allowed(tmp_path: Path, item: Object, **changes: Any) -> deploy.ReadyTime:
    return ready_time(replace(Stage(tmp_path).experiment(), **changes), [item])


def workload(kind: str, container: Object | None = None, **spec: Any) -> Object:
    made = deployment("shop")
    made["kind"] = kind
    made["spec"]["template"]["spec"]["containers"][0] |= container or {}
    made["spec"] |= spec
    return made


STARTUP = {"startupProbe": {"failureThreshold": 30, "periodSeconds": 5, "initialDelaySeconds": 10}}


@pytest.mark.parametrize(
    ("item", "seconds", "because"),
    [
        (workload("Deployment"), 120, "120 s for any workload"),
        (
            workload("Deployment", STARTUP),
            280,
            "120 s for any workload + 160 s for the probes of a pod of deployment/shop",
        ),
        (workload("Deployment", {"startupProbe": {}}), 120, ""),
        (workload("Deployment", {"startupProbe": {"tcpSocket": {}}}), 150, "30 s for the probes"),
        (workload("Deployment", {"readinessProbe": {"initialDelaySeconds": 140}}), 260, "140 s for the probes"),
        (workload("Deployment", minReadySeconds=40), 160, "40 s of minReadySeconds"),
        (workload("Deployment", progressDeadlineSeconds=900), 900, "progressDeadlineSeconds of deployment/shop"),
        (workload("Deployment", progressDeadlineSeconds=15), 120, "for any workload"),
        (workload("StatefulSet", replicas=5), 180, "4 × 15 s for its other pods, started one by one"),
        (workload("StatefulSet", STARTUP, replicas=3), 630, "2 × 175 s for its other pods"),
        (workload("StatefulSet", replicas=5, podManagementPolicy="Parallel"), 120, "for any workload"),
        (workload("DaemonSet", STARTUP), 280, "120 s for any workload + 160 s"),
    ],
)  # fmt: skip
def test_ready_time_follows_the_workload_deadlines(tmp_path: Path, item: Object, seconds: float, because: str) -> None:
    found = allowed(tmp_path, item)
    assert found.seconds == seconds
    assert because in found.because


def test_experiment_sets_its_ready_time(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("phases:", "readyTimeout: 30s\nphases:")
    experiment = load_experiment(write_project(tmp_path, text), Sources.for_root(tmp_path))
    found = ready_time(experiment, [workload("StatefulSet", STARTUP)])
    assert str(found) == "30 s (readyTimeout of the experiment)"


def waited(cluster: FakeCluster, clock: FakeClock) -> str:
    began = clock.monotonic()
    allowed = deploy.ReadyTime(150, "what it allows itself")
    with pytest.raises(Inconclusive) as caught:
        deploy.wait_for_workload(cluster.api, NAMESPACE, [deployment()], clock, allowed=allowed)
    return f"{clock.monotonic() - began:.0f} s: {caught.value}"


def test_late_workload_is_reported_with_the_reason() -> None:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    cluster.server.seed(deployment(), namespace=NAMESPACE)
    expected = "150 s: the workload did not become ready within 150 s (what it allows itself): deployment/podinfo is"
    assert waited(cluster, clock).startswith(expected)


NOT_FOUND = 'Back-off pulling image "main:1": ErrImagePull: rpc error: code = NotFound desc = failed to pull: not found'


@pytest.mark.parametrize(
    ("reason", "message", "final"),
    [
        ("ImagePullBackOff", NOT_FOUND, True),
        ("ErrImagePull", "pull access denied, repository does not exist or may require authorization", True),
        ("ErrImagePull", "failed to authorize: 401 Unauthorized", True),
        ("ErrImagePull", "dial tcp: lookup registry.example: no such host", True),
        ("InvalidImageName", 'couldn\'t parse image reference "A:b:c"', True),
        ("ErrImagePull", "dial tcp 10.0.0.1:443: i/o timeout", False),
        ("ImagePullBackOff", 'Back-off pulling image "main:1"', False),
        ("ContainerCreating", "", False),
        ("CrashLoopBackOff", "the binary was not found", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("statuses", ["containerStatuses", "initContainerStatuses"])
def test_only_a_permanent_image_error_ends_the_wait(reason: str, message: str, final: bool, statuses: str) -> None:
    clock = FakeClock()
    cluster = FakeCluster(clock)
    cluster.server.seed(deployment(), namespace=NAMESPACE)
    pod = bare_pod("podinfo-1", phase="Pending")
    waiting = {"reason": reason, "message": message}
    pod["status"][statuses] = [{"name": "main", "image": "main:1", "state": {"waiting": waiting}}]
    cluster.server.seed(pod, namespace=NAMESPACE)
    why = f"the workload cannot become ready: pod podinfo-1 cannot pull the image main:1 ({reason}): {message}"
    assert waited(cluster, clock).startswith(f"0 s: {why}" if final else "150 s: ")


def test_failed_pull_of_a_published_image_has_a_hint() -> None:
    waiting = {"reason": "ErrImagePull", "message": "dial tcp: lookup ghcr.io: no such host"}
    pod = bare_pod("podinfo-1", phase="Pending")
    status = {"name": "main", "image": "ghcr.io/stefanprodan/podinfo:6.9.2", "state": {"waiting": waiting}}
    pod["status"]["containerStatuses"] = [status]
    (reason,) = deploy.never_pulled(pod)
    assert "--harness-images=build" in reason
    status["image"] = "ghcr.io/shop/podinfo:6.9.2"
    (reason,) = deploy.never_pulled(pod)
    assert "--harness-images" not in reason


def test_an_image_that_the_cluster_cannot_get_is_reported(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    experiment = stage.experiment()
    stage.cluster.unreachable = {"fake.invalid/podinfo:test": "it reaches no registry"}
    with pytest.raises(
        InputError, match=r"found fake.invalid/podinfo:test, which is not available: it reaches no registry"
    ):
        require(stage.run(), experiment)
    assert not [call for call in stage.cluster.server.calls if call.writes]
