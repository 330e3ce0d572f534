"""Load from the cluster: the Job, its pods and their agents, and the reasons why there is none."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.controllers import Kubelet
from harness.cluster.kube.resources import CONFIG_MAPS, JOBS, NAMESPACES, PODS
from harness.cluster.protocol import Capability
from harness.common.errors import CapabilityMissing, ClusterRefused, Inconclusive
from harness.engine.plan.plan import plan
from harness.engine.preflight.requirements import permissions, require
from harness.engine.steps import load, load_pods
from harness.engine.steps.cluster_load import ClusterLoad, start_in_cluster
from harness.experiment.load_place import load_place
from harness.safety.guard.nodes import check_nodes
from harness.traffic.load.plan import LoadPlan
from tests.fake_run import EXPERIMENT, Stage, WatchedClock
from tests.unit.engine.steps.load_world import Agents, refusing
from tests.unit.traffic.load.test_plan import PLAN

LOADED = EXPERIMENT.replace("faults:", "load: {rate: 5/s, target: service/shop, from: cluster, workers: 2}\nfaults:", 1)
PLANNED: LoadPlan = replace(PLAN, workers=2, behaviour="http", options={"path": "/${env:SHOP_TOKEN}"})


class ThreadClock(WatchedClock):
    """Whoever sleeps gives the following threads a moment of real time."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        threading.Event().wait(0.002)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, ThreadClock())


@pytest.fixture
def agents(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agents:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    made = Agents(tmp_path / "pods")
    made.install(stage.cluster)
    for name in ("rh-load", "rh-shop"):
        stage.cluster.server.store.create(NAMESPACES, "", {"metadata": {"name": name}})
    return made


def begun(stage: Stage, tmp_path: Path) -> ClusterLoad:
    return start_in_cluster(stage.run(), PLANNED, namespace="rh-load", avoid="rh-shop", folder=tmp_path / "record")


def test_pods_run_under_the_restricted_pod_security_standard() -> None:
    body = load_pods.job("ns", "image", "run1", workers=3, seconds=60.0, avoid="shop", owned=False)
    spec = body["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {next(iter(set(volume) - {"name"})) for volume in spec["volumes"]} == {"emptyDir"}
    assert (body["spec"]["parallelism"], body["spec"]["completions"], body["spec"]["backoffLimit"]) == (3, 3, 0)
    (term,) = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["namespaces"] == ["shop"]
    assert spec["tolerations"] == []
    assert "nodeAffinity" not in spec["affinity"]


def test_whole_load_arrives_and_is_described(stage: Stage, agents: Agents, tmp_path: Path) -> None:
    running = begun(stage, tmp_path)
    running.running.phase("baseline", stage.clock.monotonic())
    summary = running.running.stop()
    assert (summary.error, summary.offered, summary.achieved) == ("", 6, 6)
    assert [request.key for request in sorted(running.running.requests(0.0), key=lambda one: one.intended)] == [
        *map(str, range(6))
    ]
    assert [process.settings.worker for process in agents.processes.values() if process.settings] == [0, 1]
    assert len({tuple(process.commands) for process in agents.processes.values()}) == 1
    first = "load: pod load-0-x on node node-1 (without pods of the workload); the same clock; "
    assert running.notes()[0].startswith(first)
    assert running.clock_error() == 0.0
    running.close()


def test_secret_reaches_the_process_and_nothing_else(stage: Stage, agents: Agents, tmp_path: Path) -> None:
    begun(stage, tmp_path).running.stop()
    assert {process.environ["SHOP_TOKEN"] for process in agents.processes.values()} == {"s3cret"}
    stored = [*(tmp_path / "record").rglob("*"), *(tmp_path / "pods").rglob("*")]
    assert not any(b"s3cret" in file.read_bytes() for file in stored if file.is_file())
    assert "s3cret" not in str([call.body for call in stage.cluster.server.calls])


@pytest.mark.parametrize("image", ["missing", "crashing"])
def test_pods_that_do_not_start_are_inconclusive(stage: Stage, agents: Agents, tmp_path: Path, image: str) -> None:
    (kubelet,) = (reactor for reactor in stage.cluster.server.store.reactors if isinstance(reactor, Kubelet))
    getattr(kubelet, image).add(stage.cluster.image("runner"))
    why = "ImagePullBackOff" if image == "missing" else "CrashLoopBackOff"
    with pytest.raises(Inconclusive, match=rf"did not start within 120 s: 0 of 2 pods are running \(.*{why}"):
        begun(stage, tmp_path)
    assert agents.processes == {}


def test_pod_that_no_node_takes_names_the_reason(stage: Stage, agents: Agents, tmp_path: Path) -> None:
    stage.cluster.server.store.reactors[:] = [
        reactor for reactor in stage.cluster.server.store.reactors if not isinstance(reactor, Kubelet)
    ]
    message = "0/3 nodes are available: 3 Insufficient cpu."
    condition = {"type": "PodScheduled", "status": "False", "message": message}

    class Scheduler:
        def react(self, store: Any, change: Any) -> None:
            if change.resource == PODS and "status" not in change.object:
                name = change.object["metadata"]["name"]
                status = {"phase": "Pending", "conditions": [condition]}
                store.update(PODS, change.namespace, name, lambda pod: {**pod, "status": status}, "status")

    stage.cluster.server.store.reactors.append(Scheduler())
    with pytest.raises(Inconclusive, match="3 Insufficient cpu"):
        begun(stage, tmp_path)


def test_agent_that_never_answers_is_inconclusive(stage: Stage, agents: Agents, tmp_path: Path) -> None:
    stage.cluster.server.forward = refusing
    with pytest.raises(Inconclusive, match=r"worker 1 of 2 \(pod load-0-x on node node-1\) does not answer"):
        begun(stage, tmp_path)


def test_deleted_pod_will_never_answer(stage: Stage, agents: Agents, tmp_path: Path) -> None:
    running = begun(stage, tmp_path)
    stage.cluster.api.delete(PODS, "load-1-x", "rh-load", grace_seconds=0)
    assert [link.gone() for link in running.links] == [None, "pod load-1-x was deleted"]
    for worker in running.workers:
        worker.abandon()
    running.close()


def test_each_of_several_loads_has_its_own_pods(stage: Stage, agents: Agents, tmp_path: Path) -> None:
    image = stage.cluster.image("runner")

    def names(load: str) -> list[str]:
        pods = load_pods.start_pods(stage.run(), "rh-load", image, workers=2, seconds=60.0, avoid="rh-shop", name=load)
        return [pod.name for pod in pods]

    assert names("browse") == ["load-browse-0-x", "load-browse-1-x"]
    assert names("buy") == ["load-buy-0-x", "load-buy-1-x"]


def test_experiment_makes_and_removes_the_namespace(stage: Stage, agents: Agents) -> None:
    experiment = stage.experiment(LOADED)
    seen: list[dict[str, Any]] = []
    forward = stage.cluster.server.forward

    def look(namespace: str, pod: str, port: int) -> Any:
        seen.append(stage.cluster.api.clone().get(NAMESPACES, namespace))
        return forward(namespace, pod, port)

    stage.cluster.server.forward = look
    record = stage.play(experiment)
    assert record.load is not None
    assert (record.load.offered, record.load.failed) == (6, 0)
    assert any(note.startswith("load: pod load-0-x on node node-1") for note in record.load.notes)
    metadata = seen[0]["metadata"]
    assert metadata["name"] == stage.run().load_namespace_of(experiment) != stage.run().namespace_of(experiment)
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert "resilience.harness/claim" in metadata["annotations"]
    assert set(stage.namespaces()) == {"rh-load", "rh-shop"}
    assert stage.cluster.api.list(CONFIG_MAPS).items == []


def test_missing_image_stops_before_anything_is_deployed(stage: Stage) -> None:
    experiment = stage.experiment(LOADED)
    stage.cluster._capabilities = frozenset(Capability) - {Capability.LOCAL_IMAGES}
    with pytest.raises(CapabilityMissing, match=r"the load must be generated in the cluster: .* no image"):
        require(stage.run(), experiment)
    require(replace(stage.run(), runner_image="shop.test/runner:1"), experiment)
    assert not [call for call in stage.cluster.server.calls if call.writes]


def test_permissions_for_jobs_are_derived_only_if_needed(stage: Stage) -> None:
    inside, outside = stage.experiment(LOADED), stage.experiment(LOADED.replace("from: cluster", "from: machine"))
    more = permissions(inside) - permissions(outside)
    assert {f"{each.verb} {each.resource}" for each in more} >= {
        "create jobs",
        "create pods/portforward",
        "get pods/portforward",
    }
    assert permissions(outside, "cluster") >= load.CLUSTER_PERMISSIONS


def test_plan_shows_the_pods_and_their_namespace(stage: Stage) -> None:
    experiment = stage.experiment(LOADED)
    planned = plan(stage.run(), experiment)
    assert planned.loads[0].endswith(", generated by 2 pods in the cluster")
    assert planned.namespaces == (stage.run().namespace_of(experiment), stage.run().load_namespace_of(experiment))
    assert set(planned.permissions) >= load.CLUSTER_PERMISSIONS
    outside = plan(replace(stage.run(), load_from="machine"), experiment)
    assert outside.loads[0].endswith(", generated by 2 processes on this machine")
    assert outside.namespaces == (stage.run().namespace_of(experiment),)


def test_auto_means_this_machine_if_it_can_reach_the_target(stage: Stage) -> None:
    experiment = stage.experiment(LOADED.replace("from: cluster, ", ""))
    assert experiment.load is not None
    assert stage.run().load_place(experiment) == "machine"
    assert replace(stage.run(), load_from="cluster").load_place(experiment) == "cluster"
    stage.cluster._capabilities = frozenset(Capability) - {Capability.LOAD_BALANCED_SERVICE}
    assert stage.run().load_place(experiment) == "cluster"
    assert replace(stage.run(), load_from="machine").load_place(experiment) == "machine"
    service = experiment.workload.find("service/shop")
    assert service is not None
    service["spec"]["type"] = "ClusterIP"
    assert load_place(experiment.load, experiment.workload) == "cluster"
    assert load_place(experiment.load, experiment.workload, "machine") == "machine"
    assert stage.run().load_place(stage.experiment()) is None


def test_node_of_the_load_is_never_hit() -> None:
    body = load_pods.job("ns", "image", "run1", workers=1, seconds=60.0, avoid="shop", owned=True)
    pod = {
        "metadata": {"name": "load-0", "namespace": "ns", "labels": body["spec"]["template"]["metadata"]["labels"]},
        "spec": {"nodeName": "worker-1"},
        "status": {"phase": "Running"},
    }
    node = {"metadata": {"name": "worker-1"}, "status": {}}
    with pytest.raises(ClusterRefused, match="node/worker-1 runs ns/load-0, which generates the load"):
        check_nodes([node], [pod], "", also_protected=True)
    check_nodes([{"metadata": {"name": "worker-2"}, "status": {}}], [pod], "")
    spec = body["spec"]["template"]["spec"]
    assert spec["tolerations"] == [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]


def test_job_belongs_to_the_run(stage: Stage, agents: Agents, tmp_path: Path) -> None:
    begun(stage, tmp_path).running.stop()
    found = stage.cluster.api.get(JOBS, "load", "rh-load")
    assert found["metadata"]["labels"]["resilience.harness/run"] == "run1"
