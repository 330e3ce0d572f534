"""The model of a plan holds a workload of any kind, and the pods that Kubernetes' own controllers make of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube import published
from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import API_SERVICES, PODS, Resource
from harness.experiment.forecast.model import model_of
from harness.faults.metrics_outage import MetricsOutage
from tests.fake_metrics import METRIC, api_service
from tests.fake_metrics import autoscaler as measured
from tests.fake_world import World, machine

NAMESPACE = "rh-shop"
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}}


def cluster(*extra: Resource) -> FakeCluster:
    made = FakeCluster(extra=extra)
    made.server.seed(machine("node-1"), machine("node-2"))
    return made


def pods(*objects: Object) -> dict[str, dict[str, str]]:
    """The labels of every pod of a workload in the model, by the pods' names."""
    model = model_of(cluster(), objects, NAMESPACE)
    listed = model.server.store.list(PODS, NAMESPACE)
    return {pod["metadata"]["name"]: pod["metadata"].get("labels") or {} for pod in listed}


def owner(api_version: str, kind: str, **spec: object) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": {"template": TEMPLATE, **spec}}


@pytest.mark.parametrize(("api_version", "kind"), sorted(published.kinds()))
def test_the_model_stores_every_kind_of_kubernetes(api_version: str, kind: str) -> None:
    item = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}
    model = model_of(cluster(), [item], NAMESPACE)
    place = NAMESPACE if published.kinds()[api_version, kind].namespaced else ""
    assert model.server.store.get(model.server.resource_of(api_version, kind), place, "a")["kind"] == kind


def test_custom_resource_scope_comes_from_its_definition() -> None:
    definition = yaml.safe_load("""
        apiVersion: apiextensions.k8s.io/v1
        kind: CustomResourceDefinition
        metadata: {name: oxen.example.org}
        spec: {group: example.org, names: {kind: Ox, plural: oxen}, scope: Cluster, versions: [{name: v1}]}
    """)
    ox = {"apiVersion": "example.org/v1", "kind": "Ox", "metadata": {"name": "a"}}
    found = model_of(cluster(), [ox, definition], NAMESPACE).server.resource_of("example.org/v1", "Ox")
    assert (found.plural, found.namespaced) == ("oxen", False)


def test_custom_resource_scope_comes_from_the_cluster() -> None:
    oxen = Resource("example.org/v1", "oxen", "Ox")
    ox = {"apiVersion": "example.org/v1", "kind": "Ox", "metadata": {"name": "a"}}
    assert model_of(cluster(oxen), [ox], NAMESPACE).server.resource_of("example.org/v1", "Ox") == oxen


@pytest.mark.parametrize(
    ("item", "names"),
    [
        (owner("apps/v1", "StatefulSet", replicas=2), ["a-0", "a-1"]),
        (owner("apps/v1", "StatefulSet", replicas=1, ordinals={"start": 5}), ["a-5"]),
        (owner("apps/v1", "DaemonSet"), ["a-00000", "a-00001"]),
        (owner("apps/v1", "ReplicaSet", replicas=2), ["a-00000", "a-00001"]),
        (owner("v1", "ReplicationController", replicas=1), ["a-00000"]),
        (owner("batch/v1", "Job", parallelism=3, completions=2), ["a-00000", "a-00001"]),
        (owner("batch/v1", "Job", suspend=True), []),
        (owner("batch/v1", "CronJob", schedule="* * * * *"), []),
    ],
)  # fmt: skip
def test_pods_of_a_workload(item: Object, names: list[str]) -> None:
    assert list(pods(item)) == names


def test_pods_have_the_labels_that_controllers_add() -> None:
    assert pods(owner("apps/v1", "StatefulSet"))["a-0"] == {
        "app": "a",
        "statefulset.kubernetes.io/pod-name": "a-0",
        "apps.kubernetes.io/pod-index": "0",
        "controller-revision-hash": "model",
    }
    assert pods(owner("batch/v1", "Job"))["a-00000"]["batch.kubernetes.io/job-name"] == "a"


HOLES = st.sampled_from([None, {}, {"labels": None}, {"spec": None}, {"metadata": None}, {"containers": None}])


@given(
    kind=st.sampled_from([key for key in published.kinds() if key[0] in {"v1", "apps/v1", "batch/v1", "policy/v1"}]),
    template=HOLES,
    spec=HOLES,
    labels=st.sampled_from([None, {}, {"app": "a"}]),
)
def test_missing_fields_do_not_break_the_model(
    kind: tuple[str, str], template: Object | None, spec: Object | None, labels: dict[str, str] | None
) -> None:
    whole = spec if spec is None else {**spec, "template": template, "replicas": None, "selector": None}
    metadata = {"name": "a", "labels": labels, "annotations": None, "ownerReferences": None}
    model = model_of(cluster(), [{"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, "spec": whole}], "x")
    assert model.server.store.list(model.server.resource_of(*kind))


@pytest.mark.parametrize("permitted", [True, False])
def test_outage_of_metrics_can_be_planned(permitted: bool, world: World) -> None:
    real = cluster()
    real.server.seed(api_service())
    if not permitted:
        real.server.fail_next(403, path="/apiservices")
    scaler = {**measured(), "status": {}}
    scaler["spec"] = {**scaler["spec"], "metrics": [METRIC]}
    model = model_of(real, [scaler], NAMESPACE)
    context = replace(world.context(NAMESPACE), cluster=model)
    assert len(model.server.store.list(API_SERVICES)) == permitted
    if permitted:
        assert MetricsOutage(of="hpa/podinfo").choose(context)
