"""The blast radius: what all faults of an experiment hit together, held against what the guard allows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.cluster.api import KubeApi, Object
from harness.cluster.conditions import holds
from harness.cluster.permissions import allow
from harness.cluster.resources import BUDGETS, NAMESPACES, NODES, PODS
from harness.guard.policy import OPT_IN_LABEL, Policy
from harness.guard.safety import Cap, Caps, Safety
from harness.labels import matches_labels
from harness.observation import Victim

# Nodes are looked at besides where nodes are hit, whose faults say so, or what a zone may lose is capped.
PERMISSIONS = allow(BUDGETS, "list") | allow(PODS, "list", place="cluster")
_ZONE = "topology.kubernetes.io/zone"
_HASH = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class Strike:
    """What one fault is about to do. ``taken`` says how many pods it takes from a workload that is its victim;
    ``asks_budgets`` that the API server holds disruption budgets against it anyway."""

    fault: str
    victims: tuple[Victim, ...]
    taken: Mapping[Victim, int] = field(default_factory=dict)
    asks_budgets: bool = False


@dataclass(frozen=True, slots=True)
class Blast:
    """The pods and nodes that are hit, among all that there are. Keys of pods are UIDs. ``unasked``: those of the pods
    that are hit by something against which the API server holds no disruption budgets."""

    pods: dict[str, Object]
    hit: frozenset[str]
    unasked: frozenset[str]
    nodes: dict[str, Object]
    hit_nodes: frozenset[str]

    def of(self, group: Callable[[Object], str | None]) -> Iterator[tuple[str, int, int]]:
        """For each group of pods that is hit: its name, how many are hit, and how many there are."""
        total = Counter(group(pod) for pod in self.pods.values())
        struck = Counter(group(self.pods[uid]) for uid in self.hit)
        yield from ((name, count, total[name]) for name, count in sorted(struck.items(), key=str) if name is not None)


def refusals(api: KubeApi, namespace: str, strikes: Sequence[Strike], policy: Policy, safety: Safety) -> list[str]:
    """Everything that the guard has against these faults together, each in one sentence. Raises ApiError."""
    blast = _measure(api, namespace, strikes, with_zones=any(caps.zone for caps in (policy.caps, safety.caps)))
    found = list(policy.safety_refusals(safety))
    found += _namespaces(api, namespace, blast, policy)
    for caps, whose in ((policy.caps, "the guard"), (safety.caps, "the experiment")):
        found += (f"{text}, and {whose} allows {cap}" for cap, text in _over(blast, caps))
    if safety.last_replica == "spared":
        found += _last_replicas(blast)
    if safety.budgets == "respected":
        found += _budgets(api, blast)
    return found


def _measure(api: KubeApi, namespace: str, strikes: Sequence[Strike], *, with_zones: bool) -> Blast:
    hit_nodes = {victim.name for strike in strikes for victim in strike.victims if victim.kind == "Node"}
    pods = {pod["metadata"]["uid"]: pod for pod in api.list(PODS).items if _counts(pod)}
    hit: set[str] = set()
    unasked: set[str] = set()
    for strike in strikes:
        own = set(_hit(strike, pods, namespace))
        hit |= own
        # Not what is left when the others are taken away: whoever is evicted politely may be killed as well.
        if not strike.asks_budgets:
            unasked |= own
    listed = api.list(NODES).items if hit_nodes or with_zones else ()
    nodes = {node["metadata"]["name"]: node for node in listed}
    return Blast(pods, frozenset(hit), frozenset(unasked), nodes, frozenset(hit_nodes))


def _counts(pod: Object) -> bool:
    """Whether a pod is one that could be lost: not finished, not on its way out, and no mirror of a static one."""
    over = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"} or "deletionTimestamp" in pod["metadata"]
    return not over and _owner_kind(pod) != "Node"


def _hit(strike: Strike, pods: Mapping[str, Object], namespace: str) -> Iterator[str]:
    for victim in strike.victims:
        if victim.kind == "Pod":
            yield from {victim.uid} & pods.keys()
        elif victim.kind == "Node":
            yield from (uid for uid, pod in pods.items() if pod["spec"].get("nodeName") == victim.name)
        else:
            of = f"{namespace}/{victim.kind.lower()}/{victim.name}"
            own = [uid for uid, pod in pods.items() if workload(pod) == of]
            # The worst that can come of it: in the middle of a rollout there are more pods than replicas.
            own.sort(key=lambda uid: not holds(pods[uid], "Ready"))
            yield from own[: strike.taken.get(victim, 0)]


def workload(pod: Object) -> str | None:
    """``namespace/kind/name`` of the workload that a pod belongs to; None for one that belongs to none."""
    metadata = pod["metadata"]
    owner = next((owner for owner in metadata.get("ownerReferences") or () if owner.get("controller")), None)
    if owner is None:
        return None
    kind, name = str(owner["kind"]).lower(), str(owner["name"])
    revision = (metadata.get("labels") or {}).get(_HASH)
    if kind == "replicaset" and revision:
        kind, name = "deployment", name.removesuffix(f"-{revision}")
    return f"{metadata['namespace']}/{kind}/{name}"


def _over(blast: Blast, caps: Caps) -> Iterator[tuple[Cap, str]]:
    zones = {name: (node["metadata"].get("labels") or {}).get(_ZONE) for name, node in blast.nodes.items()}
    groups: list[tuple[Cap | None, str, Callable[[Object], str | None]]] = [
        (caps.workload, "pods of {}", workload),
        (caps.namespace, "pods of namespace {}", lambda pod: str(pod["metadata"]["namespace"])),
        (caps.zone, "pods in zone {}", lambda pod: zones.get(pod["spec"].get("nodeName"))),
        (caps.cluster, "pods of {}", lambda _pod: "the cluster"),
    ]
    for cap, what, group in groups:
        for name, hit, total in blast.of(group) if cap else ():
            if cap and not cap.allows(hit, total):
                yield cap, f"{hit} of {total} {what.format(name)} would be hit"
    hit_nodes, total_nodes = len(blast.hit_nodes), len(blast.nodes)
    if caps.nodes and not caps.nodes.allows(hit_nodes, total_nodes):
        yield caps.nodes, f"{hit_nodes} of {total_nodes} nodes would be hit"


def _last_replicas(blast: Blast) -> Iterator[str]:
    healthy: dict[str, set[str]] = defaultdict(set)
    for uid, pod in blast.pods.items():
        of = workload(pod)
        # A DaemonSet's pod serves its node alone, and goes with it.
        if of and holds(pod, "Ready") and _owner_kind(pod) != "DaemonSet":
            healthy[of].add(uid)
    for of, uids in sorted(healthy.items()):
        if uids <= blast.hit:
            yield (
                f"no healthy pod of {of} would be left ({len(uids)} of {len(uids)} hit): "
                "an experiment that means to must say safety.lastReplica: allowed"
            )


def _budgets(api: KubeApi, blast: Blast) -> Iterator[str]:
    asked = [blast.pods[uid] for uid in blast.unasked]
    for namespace in sorted({str(pod["metadata"]["namespace"]) for pod in asked}):
        for budget in api.list(BUDGETS, namespace).items:
            selector = (budget.get("spec") or {}).get("selector") or {}
            own = [
                pod
                for pod in asked
                if pod["metadata"]["namespace"] == namespace
                and matches_labels(selector, pod["metadata"].get("labels") or {})
            ]
            allowed = int((budget.get("status") or {}).get("disruptionsAllowed", 0))
            if len(own) > allowed:
                yield (
                    f"{len(own)} pods would be hit and poddisruptionbudget/{budget['metadata']['name']} in {namespace} "
                    f"allows {allowed}: an experiment that means to must say safety.budgets: ignored"
                )


def _namespaces(api: KubeApi, own: str, blast: Blast, policy: Policy) -> Iterator[str]:
    refused = policy.namespace_refusal(own)
    if refused:
        yield refused
    others = {str(blast.pods[uid]["metadata"]["namespace"]) for uid in blast.hit if _is_somebody_s(blast.pods[uid])}
    labels = {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in _listed(api, others - {own})}
    for name in sorted(labels):
        refused = policy.namespace_refusal(name)
        if refused:
            yield refused
        elif policy.opt_in and labels[name].get(OPT_IN_LABEL) != "true":
            yield f"pods of namespace {name} would be hit, which has no label {OPT_IN_LABEL}=true"


def _is_somebody_s(pod: Object) -> bool:
    """Whether a pod is somebody's work, and not the cluster's own, which is there for its node."""
    return _owner_kind(pod) != "DaemonSet"


def _listed(api: KubeApi, names: Iterable[str]) -> Iterator[Object]:
    for name in names:
        found = api.find(NAMESPACES, name)
        if found is not None:
            yield found


def _owner_kind(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((str(owner["kind"]) for owner in owners if owner.get("controller")), "")
