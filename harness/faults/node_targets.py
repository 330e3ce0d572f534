"""Which nodes a fault may hit: by their labels, their zone, and the pods of the experiment that they host.

The choice is seeded, and the candidates are the workers that are Ready. Fewer nodes than requested is Inconclusive.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

from pydantic import BaseModel, Field, model_validator

from harness.cluster.kube.client import Object
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import NODES, PODS
from harness.cluster.protocol import Cluster
from harness.common.errors import CapabilityMissing, Inconclusive
from harness.faults.needs import Need, WorkloadManifests, container_exists, selector_matches
from harness.faults.targets import ZONE, Count, PodTarget, Selector, how_many
from harness.safety.guard import check_nodes, is_control_plane

# The port does not matter: only the host that the load connects to is used.
_ANY_PORT = 30000


class NodeTarget(BaseModel):
    """Fields of a fault that hits nodes."""

    # What the candidates are, for messages, and whether every pod on a node is hit with it, whatever its namespace.
    wanted: ClassVar[str] = "Ready workers"
    hits_all_pods: ClassVar[bool] = True

    hosting: Selector | None = Field(
        default=None,
        description="label selector of the experiment's pods, such as app=shop: only nodes that run such a pod",
    )
    selector: Selector | None = Field(default=None, description="label selector of the nodes")
    zone: str | None = Field(default=None, min_length=1, description=f"only nodes in this zone (label {ZONE})")
    where: list[str] | None = Field(
        default=None,
        min_length=1,
        description="a command run in each pod of `hosting`; only pods where it exits with 0 count",
    )
    container: str | None = Field(
        default=None, description="container to run `where` in; the first one of the pod by default"
    )
    count: Count = Field(default=1, description="how many of them to hit: a number, a percentage (rounded up) or all")
    also_protected: bool = Field(
        default=False,
        strict=True,
        description="whether nodes that run DNS, metrics, Prometheus or a pod labelled protected may be hit too",
    )

    @model_validator(mode="after")
    def _check_aim(self) -> Self:
        if self.hosting is None and self.selector is None and self.zone is None:
            raise ValueError("found none of hosting, selector and zone, expected at least one: any node could be hit")
        if self.hosting is None and (self.where is not None or self.container is not None):
            raise ValueError("found where or container without hosting: they apply to its pods")
        return self

    @property
    def selectors(self) -> Sequence[str]:
        """The selector of the pods that must be part of the workload."""
        return (self.hosting,) if self.hosting is not None else ()

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield a selector that matches no pod, and a container that its pods do not have."""
        if self.hosting is not None:
            yield from selector_matches("hosting", self.hosting, workload)
            yield from container_exists(self.container, workload.selected(self.hosting), workload)

    @property
    def target_permissions(self) -> frozenset[Permission]:
        """The permissions that choosing needs."""
        pods = self._pods().target_permissions if self.hosting is not None else frozenset()
        return pods | allow(NODES, "list", place="cluster") | allow(PODS, "list", place="cluster")

    def choose_nodes(self, cluster: Cluster, namespace: str, rng: random.Random) -> list[Object]:
        """Return the nodes to hit, sorted by name. Raises Inconclusive when fewer nodes match than requested,
        ClusterRefused when the guard forbids one of the chosen nodes."""
        matching = sorted(cluster.api.list(NODES, selector=self.selector or "").items, key=_name)
        matching = [node for node in matching if self._is_in_zone(node)]
        if self.hosting is not None:
            hosts = self._hosts(cluster, namespace, rng)
            matching = [node for node in matching if _name(node) in hosts]
        candidates = [node for node in matching if self.is_candidate(node)]
        wanted = how_many(self.count, len(candidates))
        if len(candidates) < wanted:
            found = f"{self._target()} matches {_listed(matching)}, of which {_listed(candidates)} are {self.wanted}"
            raise Inconclusive(f"{wanted} nodes wanted, {len(candidates)} found: {found}, in namespace {namespace}")
        chosen = sorted(rng.sample(candidates, wanted), key=_name)
        # The pods of all namespaces, since most node faults hit every pod on the node.
        spared = self.also_protected or not self.hits_all_pods
        check_nodes(chosen, cluster.api.list(PODS).items, _load_host(cluster), also_protected=spared)
        return chosen

    def is_candidate(self, node: Object) -> bool:
        """Return whether a node may be hit: a worker that is Ready."""
        return not is_control_plane(node) and holds(node, "Ready")

    def _is_in_zone(self, node: Object) -> bool:
        return self.zone is None or (node["metadata"].get("labels") or {}).get(ZONE) == self.zone

    def _hosts(self, cluster: Cluster, namespace: str, rng: random.Random) -> set[str]:
        # Every one of these pods is hit together with its node, so every one must pass the guard.
        pods = self._pods().choose_pods(cluster.api, namespace, rng)
        return {str(pod["spec"].get("nodeName")) for pod in pods}

    def _pods(self) -> PodTarget:
        return PodTarget(selector=self.hosting or "", count="all", where=self.where, container=self.container)

    def _target(self) -> str:
        parts = {"hosting": self.hosting, "selector": self.selector, "zone": self.zone}
        return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)


def _load_host(cluster: Cluster) -> str:
    """Return the host that the load connects to; empty if the cluster has no node ports."""
    try:
        return cluster.node_port(_ANY_PORT).host
    except CapabilityMissing:
        return ""


def _listed(nodes: Sequence[Object]) -> str:
    return f"{len(nodes)} ({', '.join(map(_name, nodes))})" if nodes else "none"


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])
