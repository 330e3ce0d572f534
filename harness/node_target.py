"""Which nodes a fault is aimed at: by their labels, their zone, and the pods of the experiment that they host.

Only workers that are Ready are chosen from, with a seeded choice. Fewer than asked for is Inconclusive.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, Field, model_validator

from harness.cluster.api import Object
from harness.cluster.conditions import holds
from harness.cluster.permissions import Permission, allow
from harness.cluster.protocol import Cluster
from harness.cluster.resources import NODES, PODS
from harness.errors import CapabilityMissing, Inconclusive
from harness.guard import check_nodes, is_control_plane
from harness.target import Count, PodTarget, Selector, how_many

ZONE = "topology.kubernetes.io/zone"
# Any port will do: asked for is the host that the load dials.
_ANY_PORT = 30000


class NodeTarget(BaseModel):
    """Fields of a fault that hits nodes."""

    hosting: Selector | None = Field(
        None, description="label selector of the experiment's pods: nodes that run such a pod, such as app=shop"
    )
    selector: Selector | None = Field(None, description="label selector of the nodes to choose from")
    zone: str | None = Field(None, min_length=1, description=f"nodes of this zone, as their label {ZONE} says")
    where: list[str] | None = Field(
        None, min_length=1, description="a command run in each pod of `hosting`; those in which it exits with 0 count"
    )
    container: str | None = Field(None, description="the container to run `where` in; the pod's first one by default")
    count: Count = Field(1, description="how many of them: a number, a percentage (rounded up) or all")
    also_protected: bool = Field(
        False, strict=True, description="also nodes that run DNS, metrics, Prometheus or a pod labelled protected"
    )

    @model_validator(mode="after")
    def _check_aim(self) -> Self:
        if self.hosting is None and self.selector is None and self.zone is None:
            raise ValueError("found none of hosting, selector and zone, expected at least one: any node is too many")
        if self.hosting is None and (self.where is not None or self.container is not None):
            raise ValueError("found where or container without hosting: they are about its pods")
        return self

    @property
    def selectors(self) -> Sequence[str]:
        """The pods that must be part of the workload."""
        return (self.hosting,) if self.hosting is not None else ()

    @property
    def target_permissions(self) -> frozenset[Permission]:
        """What choosing needs."""
        pods = self._pods().target_permissions if self.hosting is not None else frozenset()
        return pods | allow(NODES, "list", place="cluster") | allow(PODS, "list", place="cluster")

    def choose_nodes(self, cluster: Cluster, namespace: str, rng: random.Random) -> list[Object]:
        """The nodes to hit, sorted by name. Raises Inconclusive when fewer match than asked for, ClusterRefused when
        the guard forbids one of those chosen."""
        matching = sorted(cluster.api.list(NODES, selector=self.selector or "").items, key=_name)
        matching = [node for node in matching if self._is_meant(node)]
        if self.hosting is not None:
            hosts = self._hosts(cluster, namespace, rng)
            matching = [node for node in matching if _name(node) in hosts]
        candidates = [node for node in matching if not is_control_plane(node) and holds(node, "Ready")]
        wanted = how_many(self.count, len(candidates))
        if len(candidates) < wanted:
            found = f"{self._aim()} matches {_listed(matching)}, of which {_listed(candidates)} are workers and Ready"
            raise Inconclusive(f"{wanted} nodes wanted, {len(candidates)} found: {found}, in namespace {namespace}")
        chosen = sorted(rng.sample(candidates, wanted), key=_name)
        check_nodes(chosen, cluster.api.list(PODS).items, _dialled(cluster), also_protected=self.also_protected)
        return chosen

    def _is_meant(self, node: Object) -> bool:
        return self.zone is None or (node["metadata"].get("labels") or {}).get(ZONE) == self.zone

    def _hosts(self, cluster: Cluster, namespace: str, rng: random.Random) -> set[str]:
        # All of those pods are hit with their node, so all of them pass the guard.
        pods = self._pods().choose_pods(cluster.api, namespace, rng)
        return {str(pod["spec"].get("nodeName")) for pod in pods}

    def _pods(self) -> PodTarget:
        return PodTarget(selector=self.hosting or "", count="all", where=self.where, container=self.container)

    def _aim(self) -> str:
        parts = {"hosting": self.hosting, "selector": self.selector, "zone": self.zone}
        return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)


def _dialled(cluster: Cluster) -> str:
    try:
        return cluster.node_port(_ANY_PORT).host
    except CapabilityMissing:
        return ""


def _listed(nodes: Sequence[Object]) -> str:
    return f"{len(nodes)} ({', '.join(map(_name, nodes))})" if nodes else "none"


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])
