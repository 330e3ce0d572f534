"""Proving that an experiment left nothing behind in the cluster: what is different from before it began.

Looked at is what outlives a namespace: nodes (labels, taints, cordons, readiness), persistent volumes, definitions,
webhooks, cluster roles, classes and the like, namespaces, and how many replicas of which images the workloads of
everybody else have. Pods, statuses, events, endpoints and Leases are not: others change
them all the time, and there are many. A dozen small lists, so a look takes well under a second on a large cluster.

On a cluster of ours every difference counts. On any other, a difference is ours only when it carries the run's label,
or stands on an object that the harness was the last to change; what else changed meanwhile is told as a note.

What may not be listed is told, and not looked at.

Where the machines of the nodes are here (a cluster of ours, seen from where it runs), they are looked at, too: see
``harness.cluster.node_traces``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.clock import Clock
from harness.cluster import node_traces
from harness.cluster.api import FIELD_MANAGER, KubeApi, Object
from harness.cluster.conditions import holds
from harness.cluster.nodes import NodeControl, NodeTraces
from harness.cluster.permissions import allow
from harness.cluster.resources import (
    API_SERVICES,
    AUTOSCALERS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    Resource,
)
from harness.errors import ApiError, LeftBehind, TimedOut
from harness.naming import EXPERIMENT_LABEL, RUN_LABEL, SYSTEM_NAMESPACE
from harness.timeouts import RESIDUE_GONE
from harness.waiting import wait_until

Facts = dict[str, Any]


def _cluster_wide(group_version: str, plural: str, kind: str) -> Resource:
    return Resource(group_version, plural, kind, namespaced=False)


_VOLUMES = _cluster_wide("v1", "persistentvolumes", "PersistentVolume")
_REGISTRATION = "admissionregistration.k8s.io/v1"
_RBAC = "rbac.authorization.k8s.io/v1"
# Of these it counts that they are there, and in which generation.
_CLUSTER_WIDE = (
    _VOLUMES,
    STORAGE_CLASSES,
    API_SERVICES,
    _cluster_wide("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition"),
    _cluster_wide(_REGISTRATION, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
    _cluster_wide(_REGISTRATION, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
    _cluster_wide(_RBAC, "clusterroles", "ClusterRole"),
    _cluster_wide(_RBAC, "clusterrolebindings", "ClusterRoleBinding"),
    _cluster_wide("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass"),
)
_WORKLOADS = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)
_KINDS = (NODES, NAMESPACES, *_CLUSTER_WIDE, *_WORKLOADS, AUTOSCALERS)
PERMISSIONS = frozenset().union(*(allow(resource, "list", place="cluster") for resource in _KINDS))
# Labels and taints by which the cluster itself tells how a node is doing: its readiness says the same.
_CONDITIONS = ("node.kubernetes.io/",)
_OF_NODES = f"{NODES.plural}/"


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose residue it is: an experiment of a run, with its namespaces. ``strict``: nobody else uses the cluster."""

    run: str
    experiment: str
    namespaces: tuple[str, ...]
    strict: bool


@dataclass(frozen=True, slots=True)
class Item:
    """An object as far as it counts."""

    uid: str
    facts: Facts
    ours: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was seen: objects by ``kind/namespace/name``, and the kinds that could not be looked at.

    ``elsewhere`` are the namespaces of other experiments, ``pod_networks`` the CIDRs of all nodes' pods.
    """

    items: dict[str, Item] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    elsewhere: frozenset[str] = frozenset()
    pod_networks: frozenset[str] = frozenset()


class LeakCheck:
    """Looks when it is made, and again when it is asked whether anything was left behind.

    ``nodes`` are the machines, None where they are not here. Raises ApiError, and TimedOut when a machine could not be
    looked at.
    """

    def __init__(self, api: KubeApi, scope: Scope, clock: Clock, nodes: NodeControl | None = None) -> None:
        self._api, self._scope, self._clock, self._nodes = api, scope, clock, nodes
        self._before = look(api, scope)
        self._machines = wait_until("a look at the machines", self._look_at_machines, RESIDUE_GONE, clock, every=1.0)

    def nothing_left(self, within: float = RESIDUE_GONE, *, kept: bool = False) -> list[str]:
        """Notes of what could not be looked at, and of what others seem to have changed meanwhile.

        ``kept``: what was made stays on purpose, so that only machines are looked at.

        Raises LeftBehind when something is still different after ``within`` seconds: controllers need a moment;
        TimedOut or ApiError when it could not be looked at.
        """
        notes: list[str] = []
        left: list[str] = []

        def see() -> tuple[bool | None, str]:
            machines, why = self._look_at_machines()
            after = look(self._api, self._scope)
            left[:], others = ([], []) if kept else compare(self._before, after, strict=self._scope.strict)
            left.extend(node_traces.differences(self._machines, machines or {}, after.pod_networks, after.elsewhere))
            hidden = sorted({*self._before.unseen, *after.unseen})
            notes[:] = [f"not checked for residue, since it may not be listed: {', '.join(hidden)}"] if hidden else []
            notes.extend(["what the API shows was not checked for residue, since it was kept"] if kept else [])
            notes.extend(f"changed meanwhile, not by this run: {text}" for text in others)
            return (None if left or machines is None else True), "; ".join(left) or why

        try:
            wait_until("nothing left behind", see, within, self._clock, every=1.0)
        except TimedOut as error:
            if not left:
                # Nothing was seen at all: that is the API's failure and no residue.
                raise
            raise LeftBehind(f"LEFT BEHIND: {'; '.join(left)}") from error
        return notes

    def _look_at_machines(self) -> tuple[dict[str, NodeTraces] | None, str]:
        names = (name.removeprefix(_OF_NODES) for name in self._before.items if name.startswith(_OF_NODES))
        return node_traces.look(self._nodes, names) if self._nodes else ({}, "")


def look(api: KubeApi, scope: Scope) -> Snapshot:
    """Look once. Raises ApiError, but not for what may not be listed or is not served here."""
    items: dict[str, Item] = {}
    unseen: list[str] = []
    listed: dict[Resource, list[Object]] = {}
    for resource in _KINDS:
        try:
            listed[resource] = api.list(resource).items
        except ApiError as error:
            if error.status == 403:
                unseen.append(resource.plural)
            elif not error.not_found:
                raise
    scaled = _scaled(listed.pop(AUTOSCALERS, []))
    places = _Places.of([*listed.get(NAMESPACES, []), *_namespaces_now(api, listed)], scope)
    for resource, found in listed.items():
        for item in found:
            if not _of_another(item, scope) and places.counts(resource, item):
                facts = _facts(resource, item, scope, scaled)
                if facts is not None:
                    items[_name(resource, item)] = Item(item["metadata"]["uid"], facts, _is_ours(item, scope))
    networks = (cidr for node in listed.get(NODES, []) for cidr in node.get("spec", {}).get("podCIDRs") or ())
    return Snapshot(items, tuple(unseen), places.others, frozenset(networks))


@dataclass(frozen=True, slots=True)
class _Places:
    """Which namespaces there are, and which of them are an experiment's. ``None``: they may not be listed."""

    scope: Scope
    there: frozenset[str] | None
    others: frozenset[str]

    @classmethod
    def of(cls, namespaces: Sequence[Object], scope: Scope) -> _Places:
        others = {item["metadata"]["name"] for item in namespaces if _of_another(item, scope)}
        there = frozenset(item["metadata"]["name"] for item in namespaces)
        return cls(scope, there or None, frozenset(others))

    def counts(self, resource: Resource, item: Object) -> bool:
        """Whether an object's place is no other experiment's: what is in there comes and goes with it."""
        if resource != _VOLUMES:
            return item["metadata"].get("namespace") not in self.others
        claimed = (item["spec"].get("claimRef") or {}).get("namespace")
        if claimed is None or claimed in self.scope.namespaces:
            return True
        # A volume goes a moment after the namespace that claimed it.
        return claimed not in self.others and (self.there is None or claimed in self.there)


def _namespaces_now(api: KubeApi, listed: dict[Resource, list[Object]]) -> list[Object]:
    """The namespaces again, after all else: one that another run has made meanwhile was not there before."""
    return api.list(NAMESPACES).items if NAMESPACES in listed else []


def compare(before: Snapshot, after: Snapshot, *, strict: bool) -> tuple[list[str], list[str]]:
    """What is left behind, and what else has changed meanwhile (always nothing when ``strict``)."""
    left: list[str] = []
    notes: list[str] = []
    hidden = {*before.unseen, *after.unseen}
    for name in sorted({*before.items, *after.items}):
        one, other = before.items.get(name), after.items.get(name)
        if name.split("/")[0] in hidden:
            continue
        text = _difference(name, one, other)
        if text:
            ours = strict or (other is not None and other.ours)
            (left if ours else notes).append(text)
    return left, notes


def _difference(name: str, before: Item | None, after: Item | None) -> str:
    if before is None:
        return f"{name} was not there before"
    if after is None:
        return f"{name} is gone"
    if before.uid != after.uid:
        return f"{name} is another object of that name"
    changed = [
        f"{key}: {before.facts.get(key)} → {after.facts.get(key)}"
        for key in sorted({*before.facts, *after.facts})
        # A node that has become ready meanwhile is no damage.
        if before.facts.get(key) != after.facts.get(key) and (key, after.facts.get(key)) != ("ready", True)
    ]
    return f"{name} has changed: {'; '.join(changed)}" if changed else ""


def _facts(resource: Resource, item: Object, scope: Scope, scaled: set[tuple[str, str, str]]) -> Facts | None:
    """What of an object counts; None when nothing does."""
    if resource == NODES:
        return _node(item)
    if resource == NAMESPACES:
        ours = scope.strict or item["metadata"]["name"] in scope.namespaces
        return {} if ours and item["metadata"]["name"] != SYSTEM_NAMESPACE else None
    if resource == _VOLUMES:
        claimed = (item["spec"].get("claimRef") or {}).get("namespace", "")
        return {"claimed by": claimed} if claimed in scope.namespaces or scope.strict else None
    if resource in _WORKLOADS:
        return _workload(resource, item, scope, scaled)
    return {"generation": item["metadata"].get("generation", 1)}


def _node(item: Object) -> Facts:
    spec, metadata = item.get("spec") or {}, item["metadata"]
    return {
        "labels": {key: value for key, value in (metadata.get("labels") or {}).items() if _lasting(key)},
        "taints": sorted(
            f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
            for taint in spec.get("taints") or []
            if _lasting(taint["key"])
        ),
        "cordoned": bool(spec.get("unschedulable")),
        "ready": holds(item, "Ready"),
    }


def _lasting(key: str) -> bool:
    return not key.startswith(_CONDITIONS)


def _workload(resource: Resource, item: Object, scope: Scope, scaled: set[tuple[str, str, str]]) -> Facts | None:
    metadata, spec = item["metadata"], item["spec"]
    if metadata["namespace"] in scope.namespaces:
        return None
    pod = spec["template"]["spec"]
    facts: Facts = {"images": [container.get("image") for container in pod.get("containers") or []]}
    if (metadata["namespace"], resource.kind, metadata["name"]) not in scaled:
        facts["replicas"] = spec.get("replicas", 1)
    return facts


def _scaled(autoscalers: list[Object]) -> set[tuple[str, str, str]]:
    """Whose number of replicas is an autoscaler's business: (namespace, kind, name)."""
    targets = [(item["metadata"]["namespace"], item["spec"]["scaleTargetRef"]) for item in autoscalers]
    return {(namespace, target["kind"], target["name"]) for namespace, target in targets}


def _of_another(item: Object, scope: Scope) -> bool:
    """Whether it belongs to another experiment, of this run or another, or lives in the namespace of one."""
    labels = item["metadata"].get("labels") or {}
    if RUN_LABEL not in labels:
        return False
    if item["kind"] == NAMESPACES.kind:
        # By name: the twin of an experiment has the same labels.
        return item["metadata"]["name"] not in scope.namespaces
    return (labels[RUN_LABEL], labels.get(EXPERIMENT_LABEL)) != (scope.run, scope.experiment)


def _is_ours(item: Object, scope: Scope) -> bool:
    metadata = item["metadata"]
    if metadata["name"] in scope.namespaces or (metadata.get("labels") or {}).get(RUN_LABEL) == scope.run:
        return True
    if item["kind"] == _VOLUMES.kind:
        return (item["spec"].get("claimRef") or {}).get("namespace") in scope.namespaces
    written = [entry for entry in metadata.get("managedFields") or [] if entry.get("subresource") != "status"]
    last = max(written, key=lambda entry: str(entry.get("time", "")), default=None)
    return last is not None and last.get("manager") == FIELD_MANAGER


def _name(resource: Resource, item: Object) -> str:
    place = item["metadata"].get("namespace")
    return "/".join(filter(None, (resource.plural, place, item["metadata"]["name"])))
