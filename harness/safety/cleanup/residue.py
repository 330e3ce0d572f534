"""Check for leftovers: compare the cluster before and after an experiment.

The comparison covers what outlives a namespace: nodes (labels, taints, cordons, readiness), persistent volumes, custom
resource definitions, webhooks, cluster roles, classes and similar kinds, namespaces, and the replicas and images of
workloads in other namespaces. Pods, statuses, events, endpoints and Leases are left out: there are many, and other
users change them all the time. About a dozen small lists keep one snapshot well under a second on a large cluster.

On an owned cluster every difference is a leftover. On a foreign cluster, a new object is a leftover only if it has the
run's label or belongs to one of its namespaces, and a change only if the harness made it last. All else is a note.

Kinds that may not be listed are reported as a note and skipped.

If the nodes' machines are on this host (an owned cluster, seen from where it runs), they are compared as well: see
``harness.cluster.nodes.traces``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.kube.client import FIELD_MANAGER, KubeApi, Object
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import (
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
from harness.cluster.nodes import traces
from harness.cluster.nodes.control import NodeControl, NodeTraces
from harness.common.clock import Clock
from harness.common.errors import ApiError, LeftBehind, TimedOut
from harness.common.naming import EXPERIMENT_LABEL, RUN_LABEL, SYSTEM_NAMESPACE
from harness.common.timeouts import RESIDUE_GONE
from harness.common.waiting import wait_until

Facts = dict[str, Any]


def _cluster_wide(group_version: str, plural: str, kind: str) -> Resource:
    return Resource(group_version, plural, kind, namespaced=False)


_VOLUMES = _cluster_wide("v1", "persistentvolumes", "PersistentVolume")
_REGISTRATION = "admissionregistration.k8s.io/v1"
_RBAC = "rbac.authorization.k8s.io/v1"
# Compared by existence and generation only, and an APIService also by its Service.
_CLUSTER_WIDE = (
    _VOLUMES,
    STORAGE_CLASSES,
    API_SERVICES,
    _cluster_wide("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition"),
    _cluster_wide(_REGISTRATION, "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
    _cluster_wide(_REGISTRATION, "mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
    _cluster_wide(_REGISTRATION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
    _cluster_wide(_REGISTRATION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
    _cluster_wide(_RBAC, "clusterroles", "ClusterRole"),
    _cluster_wide(_RBAC, "clusterrolebindings", "ClusterRoleBinding"),
    _cluster_wide("scheduling.k8s.io/v1", "priorityclasses", "PriorityClass"),
)
_WORKLOADS = (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)
_KINDS = (NODES, NAMESPACES, *_CLUSTER_WIDE, *_WORKLOADS, AUTOSCALERS)
PERMISSIONS = frozenset().union(*(allow(resource, "list", place="cluster") for resource in _KINDS))
# Labels and taints that the cluster derives from a node's conditions: comparing its readiness covers them.
_CONDITIONS = ("node.kubernetes.io/",)
_OF_NODES = f"{NODES.plural}/"


@dataclass(frozen=True, slots=True)
class Scope:
    """The experiment to check, with its run and namespaces. ``strict``: nothing else uses the cluster.

    ``apart`` is an existing namespace whose objects are compared by ``namespace_state``.
    """

    run: str
    experiment: str
    namespaces: tuple[str, ...]
    strict: bool
    apart: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """The compared facts of an object. ``of_run``: this run created it; ``by_harness``: a run changed it last.

    Another run may have created or changed it too: its namespaces are unknown if namespaces may not be listed.
    """

    uid: str
    facts: Facts
    of_run: bool
    by_harness: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the cluster at one time: objects by ``kind/namespace/name``.

    ``unseen`` are the kinds that may not be listed, ``elsewhere`` the namespaces of other experiments, and
    ``pod_networks`` the pod CIDRs of all nodes.
    """

    items: dict[str, Item] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    elsewhere: frozenset[str] = frozenset()
    pod_networks: frozenset[str] = frozenset()


class LeakCheck:
    """Takes a snapshot when created, and compares later ones with it.

    ``nodes`` controls the nodes' machines; None if they are not on this host. Creating it raises ApiError, and TimedOut
    if a machine cannot be inspected.
    """

    def __init__(self, api: KubeApi, scope: Scope, clock: Clock, nodes: NodeControl | None = None) -> None:
        self._api, self._scope, self._clock, self._nodes = api, scope, clock, nodes
        self._before = look(api, scope)
        self._machines = wait_until(
            "inspection of the nodes' machines", self._look_at_machines, RESIDUE_GONE, clock, every=1.0
        )

    def nothing_left(self, within: float = RESIDUE_GONE, *, kept: bool = False) -> list[str]:
        """Wait up to ``within`` seconds until nothing is left behind, since controllers need a moment to clean up.

        Return notes of what could not be checked, and of what others seem to have changed during the run. ``kept``: the
        experiment's objects are kept on purpose, so only the machines are checked. Raises LeftBehind if a difference
        remains; TimedOut or ApiError if the state could not be read.
        """
        notes: list[str] = []
        left: list[str] = []

        def see() -> tuple[bool | None, str]:
            machines, why = self._look_at_machines()
            after = look(self._api, self._scope)
            left[:], others = ([], []) if kept else compare(self._before, after, strict=self._scope.strict)
            left.extend(traces.differences(self._machines, machines or {}, after.pod_networks, after.elsewhere))
            hidden = sorted({*self._before.unseen, *after.unseen})
            notes[:] = [f"not checked for leftovers, list permission denied: {', '.join(hidden)}"] if hidden else []
            notes.extend(["API objects were not checked for leftovers, because they were kept"] if kept else [])
            notes.extend(f"changed during the run, not by it: {text}" for text in others)
            return (None if left or machines is None else True), "; ".join(left) or why

        try:
            wait_until("nothing left behind", see, within, self._clock, every=1.0)
        except TimedOut as error:
            if not left:
                # The state was never read: that is a failure of the API or a machine, not a leftover.
                raise
            raise LeftBehind(f"LEFT BEHIND: {'; '.join(left)}") from error
        return notes

    def _look_at_machines(self) -> tuple[dict[str, NodeTraces] | None, str]:
        names = (name.removeprefix(_OF_NODES) for name in self._before.items if name.startswith(_OF_NODES))
        return traces.look(self._nodes, names) if self._nodes else ({}, "")


def look(api: KubeApi, scope: Scope) -> Snapshot:
    """Take one snapshot. Raises ApiError, except for kinds that may not be listed or that the server does not have."""
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
    # An autoscaler may change the replicas of its target at any time, so those are not compared.
    scaled = _scaled(listed.pop(AUTOSCALERS, []))
    places = _Places.of([*listed.get(NAMESPACES, []), *_namespaces_now(api, listed)], scope)
    for resource, found in listed.items():
        for item in found:
            if not _of_another(item, scope) and places.counts(resource, item):
                facts = _facts(resource, item, scope, scaled)
                if facts is not None:
                    made, changed = _is_of_run(item, scope), _is_by_harness(item)
                    items[_name(resource, item)] = Item(item["metadata"]["uid"], facts, made, changed)
    networks = (cidr for node in listed.get(NODES, []) for cidr in node.get("spec", {}).get("podCIDRs") or ())
    return Snapshot(items, tuple(unseen), places.others, frozenset(networks))


@dataclass(frozen=True, slots=True)
class _Places:
    """The existing namespaces, and those of other experiments. ``there`` is None if they may not be listed."""

    scope: Scope
    there: frozenset[str] | None
    others: frozenset[str]

    @classmethod
    def of(cls, namespaces: Sequence[Object], scope: Scope) -> _Places:
        others = {item["metadata"]["name"] for item in namespaces if _of_another(item, scope)}
        there = frozenset(item["metadata"]["name"] for item in namespaces)
        return cls(scope, there or None, frozenset(others))

    def counts(self, resource: Resource, item: Object) -> bool:
        """Return whether an object is compared: objects in another experiment's namespace come and go with it."""
        if resource != _VOLUMES:
            return item["metadata"].get("namespace") not in self.others
        claimed = (item["spec"].get("claimRef") or {}).get("namespace")
        if claimed is None or claimed in self.scope.namespaces:
            return True
        # A volume is deleted shortly after the namespace that claimed it.
        return claimed not in self.others and (self.there is None or claimed in self.there)


def _namespaces_now(api: KubeApi, listed: dict[Resource, list[Object]]) -> list[Object]:
    """List the namespaces again after all other kinds, to include one that another run has just created."""
    return api.list(NAMESPACES).items if NAMESPACES in listed else []


def compare(before: Snapshot, after: Snapshot, *, strict: bool) -> tuple[list[str], list[str]]:
    """Return the leftovers, and the changes made by others (none if ``strict``)."""
    left: list[str] = []
    notes: list[str] = []
    hidden = {*before.unseen, *after.unseen}
    for name in sorted({*before.items, *after.items}):
        one, other = before.items.get(name), after.items.get(name)
        if name.split("/")[0] in hidden:
            continue
        text = _difference(name, one, other)
        if text:
            by_run = other is not None and (other.of_run or (one is not None and other.by_harness))
            (left if strict or by_run else notes).append(text)
    return left, notes


def _difference(name: str, before: Item | None, after: Item | None) -> str:
    if before is None:
        return f"{name} was not there before"
    if after is None:
        return f"{name} is gone"
    if before.uid != after.uid:
        return f"{name} was replaced by another object with the same name"
    changed = [
        f"{key}: {before.facts.get(key)} → {after.facts.get(key)}"
        for key in sorted({*before.facts, *after.facts})
        # A node that has become ready is not damage.
        if before.facts.get(key) != after.facts.get(key) and (key, after.facts.get(key)) != ("ready", True)
    ]
    return f"{name} has changed: {'; '.join(changed)}" if changed else ""


def _facts(resource: Resource, item: Object, scope: Scope, scaled: set[tuple[str, str, str]]) -> Facts | None:
    """Return the facts of an object to compare; None to skip the object."""
    if resource == NODES:
        return _node(item)
    if resource == NAMESPACES:
        # The harness creates its own namespace once and keeps it, so it is not a leftover.
        compared = scope.strict or item["metadata"]["name"] in scope.namespaces
        return {} if compared and item["metadata"]["name"] not in {SYSTEM_NAMESPACE, scope.apart} else None
    if resource == _VOLUMES:
        claimed = (item["spec"].get("claimRef") or {}).get("namespace", "")
        if claimed and claimed == scope.apart:
            return None
        return {"claimed by": claimed} if claimed in scope.namespaces or scope.strict else None
    if resource in _WORKLOADS:
        return _workload(resource, item, scope, scaled)
    facts: Facts = {"generation": item["metadata"].get("generation", 1)}
    if resource == API_SERVICES:
        # The API server does not count the generations of these objects.
        facts["service"] = "/".join(str((item["spec"].get("service") or {}).get(key)) for key in ("namespace", "name"))
    return facts


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
    if metadata["namespace"] in {*scope.namespaces, scope.apart}:
        return None
    pod = spec["template"]["spec"]
    facts: Facts = {"images": [container.get("image") for container in pod.get("containers") or []]}
    if (metadata["namespace"], resource.kind, metadata["name"]) not in scaled:
        facts["replicas"] = spec.get("replicas", 1)
    return facts


def _scaled(autoscalers: list[Object]) -> set[tuple[str, str, str]]:
    """Return the workloads whose replicas an autoscaler sets, as (namespace, kind, name)."""
    targets = [(item["metadata"]["namespace"], item["spec"]["scaleTargetRef"]) for item in autoscalers]
    return {(namespace, target["kind"], target["name"]) for namespace, target in targets}


def _of_another(item: Object, scope: Scope) -> bool:
    """Return whether an object belongs to another experiment, of this run or of another one."""
    labels = item["metadata"].get("labels") or {}
    if RUN_LABEL not in labels:
        return False
    if item["kind"] == NAMESPACES.kind:
        # Compared by name, since an experiment and its twins have the same labels.
        return item["metadata"]["name"] not in scope.namespaces
    return (labels[RUN_LABEL], labels.get(EXPERIMENT_LABEL)) != (scope.run, scope.experiment)


def _is_of_run(item: Object, scope: Scope) -> bool:
    metadata = item["metadata"]
    if metadata["name"] in scope.namespaces or (metadata.get("labels") or {}).get(RUN_LABEL) == scope.run:
        return True
    if item["kind"] == _VOLUMES.kind:
        return (item["spec"].get("claimRef") or {}).get("namespace") in scope.namespaces
    return False


def _is_by_harness(item: Object) -> bool:
    # Controllers update the status after every change, which would hide who changed the object itself.
    written = [entry for entry in item["metadata"].get("managedFields") or [] if entry.get("subresource") != "status"]
    last = max(written, key=lambda entry: str(entry.get("time", "")), default=None)
    return last is not None and last.get("manager") == FIELD_MANAGER


def _name(resource: Resource, item: Object) -> str:
    place = item["metadata"].get("namespace")
    return "/".join(filter(None, (resource.plural, place, item["metadata"]["name"])))
