"""Namespaces with a workload that the harness did not deploy, and whether they are as before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.namespaces import remove_namespace
from harness.cluster.kube.resources import DEPLOYMENTS, NAMESPACES
from harness.cluster.kube.transport import Request
from harness.cluster.protocol import Cluster
from harness.common.waiting import wait_until
from harness.experiment.live.kinds import read_state
from harness.experiment.manifests import render
from harness.safety.cleanup.namespace_state import compare_objects
from harness.safety.guard.policy import OPT_IN_LABEL
from tests.live.killed import CLOCK, WORKLOAD, stopped_processes

READY_SECONDS = 120.0


@contextmanager
def namespaces_with_a_workload(cluster: Cluster, number: int) -> Iterator[tuple[str, ...]]:
    """Make namespaces that have opted in, each with the workload of killed runs, and delete them at the end."""
    names = tuple(f"kills-{index}" for index in range(number))
    deployment: Object = render(yaml.safe_load(WORKLOAD), cluster.image)
    for name in names:
        metadata = {"name": name, "labels": {OPT_IN_LABEL: "true"}}
        cluster.api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        apply_as_user(cluster.api, deployment, name)
    try:
        wait_ready(cluster.api, names)
        yield names
    finally:
        for name in names:
            remove_namespace(cluster.api, name, CLOCK)


def apply_as_user(api: KubeApi, item: Object, namespace: str) -> None:
    """Apply an object under another field manager than the harness's, like a tool that deploys from a repository."""
    resource = api.discover(item["apiVersion"], item["kind"])
    path = resource.path(namespace, item["metadata"]["name"])
    query = {"fieldManager": "gitops", "force": "true"}
    request = Request("PATCH", path, query, item, "application/apply-patch+yaml")
    api.patience.send(api._transport, request)


def wait_ready(api: KubeApi, names: Sequence[str]) -> None:
    """Wait until every workload has all of its pods."""

    def look() -> tuple[bool | None, str]:
        missing = [name for name in names if not _is_ready(api, name)]
        return (None if missing else True), f"not ready: {missing}"

    wait_until("the workloads", look, READY_SECONDS, CLOCK)


def _is_ready(api: KubeApi, name: str) -> bool:
    found = api.get(DEPLOYMENTS, "target", name)
    status, wanted = found.get("status", {}), found["spec"]["replicas"]
    observed = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
    return observed and status.get("availableReplicas", 0) == status.get("replicas", 0) == wanted


@dataclass(frozen=True)
class States:
    """The objects of some namespaces at one time."""

    objects: dict[str, list[Object]]

    @classmethod
    def of(cls, api: KubeApi, names: Sequence[str]) -> States:
        return cls({name: read_state(api, name)[0] for name in names})

    def differences(self, api: KubeApi) -> list[str]:
        """Return every difference to the objects now, whoever made it, and the pods with a stopped process."""
        found = []
        for name, before in self.objects.items():
            differ = compare_objects(before, read_state(api, name)[0])
            found += [f"{name}: {text}" for text in (*differ.left, *differ.others)]
        return found + stopped_processes(api, list(self.objects))
