"""The blast radius: all that an experiment's faults hit together, compared with what the guard allows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.conditions import has_ended, holds
from harness.cluster.kube.owners import controller_kind, is_static, workload_of
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import BUDGETS, NAMESPACES, NODES, PODS
from harness.model.timeline import Victim
from harness.safety.guard import budgets
from harness.safety.guard.policy import OPT_IN_LABEL, Policy
from harness.safety.guard.replacement import unreplaced
from harness.safety.guard.safety import ALLOW_LAST_REPLICA, ALLOW_METRICS_API, Cap, Caps, Safety

# Nodes are read only if a fault hits nodes (which needs that permission anyway) or if there is a cap on zones.
PERMISSIONS = allow(BUDGETS, "list") | allow(PODS, "list", place="cluster")
_ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class Strike:
    """The planned effect of one fault. ``taken`` is how many pods it removes from each workload that is its victim.

    ``obeys_budgets``: the API server itself checks disruption budgets for this fault. ``may_be_refused``: the
    experiment expects that it refuses. ``spares_pods_of_nodes``: a node that is a victim keeps its pods, unless they
    are victims too.
    """

    fault: str
    victims: tuple[Victim, ...]
    taken: Mapping[Victim, int] = field(default_factory=dict)
    obeys_budgets: bool = False
    may_be_refused: bool = False
    spares_pods_of_nodes: bool = False


@dataclass(frozen=True, slots=True)
class Blast:
    """The pods and nodes that are hit, among all pods and nodes. Pods are identified by UID.

    ``must_return`` are the pods that must be replaced: victims, and pods of the experiment that are never restarted and
    are hit along with their node. ``unchecked`` are hit by faults whose disruption budgets the API server does not
    check, ``evicted`` by faults whose budgets it does check and that need its consent.
    """

    pods: dict[str, Object]
    hit: frozenset[str]
    must_return: frozenset[str]
    unchecked: frozenset[str]
    evicted: frozenset[str]
    nodes: dict[str, Object]
    hit_nodes: frozenset[str]

    def taken(self, uids: Iterable[str]) -> list[Object]:
        """Return the pods with these UIDs, sorted by UID."""
        return [self.pods[uid] for uid in sorted(uids)]

    def of(self, group: Callable[[Object], str | None]) -> Iterator[tuple[str, int, int]]:
        """Yield each group of pods that is hit: its name, the number of pods hit, and the total."""
        total = Counter(group(pod) for pod in self.pods.values())
        struck = Counter(group(self.pods[uid]) for uid in self.hit)
        yield from ((name, count, total[name]) for name, count in sorted(struck.items(), key=str) if name is not None)


def refusals(
    api: KubeApi,
    namespaces: str | Sequence[str],
    strikes: Sequence[Strike],
    policy: Policy,
    safety: Safety,
    *,
    now: float,
) -> list[str]:
    """Return why the guard refuses these faults together, one sentence per reason; empty if it allows them.

    ``namespaces`` are those of the experiment. ``now`` is in Unix seconds. Raises ApiError.
    """
    own = (namespaces,) if isinstance(namespaces, str) else tuple(namespaces)
    blast = _measure(api, own, strikes, with_zones=any(caps.zone for caps in (policy.caps, safety.caps)))
    found = list(policy.safety_refusals(safety))
    found += _namespaces(api, own, blast, policy)
    for caps, owner in ((policy.caps, "the guard"), (safety.caps, "the experiment")):
        found += (f"{text}, and {owner} allows {cap}" for cap, text in _over(blast, caps))
    if safety.last_replica == "spared":
        found += _last_replicas(blast)
    found += unreplaced(api, blast.taken(blast.must_return), list(blast.pods.values()), safety, now=now)
    if safety.budgets == "respected":
        found += budgets.exceeded(api, blast.taken(blast.unchecked))
    found += budgets.ambiguous(api, blast.taken(blast.evicted))
    if safety.metrics_api == "spared":
        found += _metrics_apis(strikes)
    return found


def _measure(api: KubeApi, namespaces: Sequence[str], strikes: Sequence[Strike], *, with_zones: bool) -> Blast:
    hit_nodes = {victim.name for strike in strikes for victim in strike.victims if victim.kind == "Node"}
    pods = {pod["metadata"]["uid"]: pod for pod in api.list(PODS).items if _counts(pod)}
    hit: set[str] = set()
    # Not disjoint: the same pod may be evicted by one fault and killed by another.
    unchecked: set[str] = set()
    evicted: set[str] = set()
    for strike in strikes:
        own = set(_hit(strike, pods, namespaces))
        hit |= own
        if not strike.obeys_budgets:
            unchecked.update(own)
        elif not strike.may_be_refused:
            evicted.update(own)
    chosen = {victim.uid for strike in strikes for victim in strike.victims if victim.kind == "Pod"} & pods.keys()
    # The kubelet restarts pods when their node comes back, except those with restartPolicy Never: they are lost.
    chosen |= {uid for uid in hit if _runs_once(pods[uid]) and pods[uid]["metadata"]["namespace"] in namespaces}
    listed = api.list(NODES).items if hit_nodes or with_zones else ()
    nodes = {node["metadata"]["name"]: node for node in listed}
    return Blast(
        pods=pods,
        hit=frozenset(hit),
        must_return=frozenset(chosen),
        unchecked=frozenset(unchecked),
        evicted=frozenset(evicted),
        nodes=nodes,
        hit_nodes=frozenset(hit_nodes),
    )


def _counts(pod: Object) -> bool:
    """Return whether a pod can be lost: not finished, not being deleted, and not the mirror of a static pod."""
    return not (has_ended(pod) or "deletionTimestamp" in pod["metadata"] or is_static(pod))


def _runs_once(pod: Object) -> bool:
    return bool(pod["spec"].get("restartPolicy") == "Never")


def _hit(strike: Strike, pods: Mapping[str, Object], namespaces: Sequence[str]) -> Iterator[str]:
    for victim in strike.victims:
        if victim.kind == "Pod":
            yield from {victim.uid} & pods.keys()
        elif victim.kind == "Node":
            if not strike.spares_pods_of_nodes:
                yield from (uid for uid, pod in pods.items() if pod["spec"].get("nodeName") == victim.name)
        else:
            # The name is unique among the namespaces of one experiment.
            of = {f"{namespace}/{victim.kind.lower()}/{victim.name}" for namespace in namespaces}
            own = [uid for uid, pod in pods.items() if workload(pod) in of]
            # Ready pods first, as the worst case: during a rollout there are more pods than replicas.
            own.sort(key=lambda uid: not holds(pods[uid], "Ready"))
            yield from own[: strike.taken.get(victim, 0)]


def workload(pod: Object) -> str | None:
    """Return ``namespace/kind/name`` of the workload that a pod belongs to, or None."""
    of = workload_of(pod)
    return f"{pod['metadata']['namespace']}/{of}" if of else None


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
        # A DaemonSet's pod serves only its node, so losing both together is not the loss of a last replica.
        if of and holds(pod, "Ready") and controller_kind(pod) != "DaemonSet":
            healthy[of].add(uid)
    for of, uids in sorted(healthy.items()):
        if uids <= blast.hit:
            yield (f"no healthy pod of {of} would be left ({len(uids)} of {len(uids)} hit): {ALLOW_LAST_REPLICA}")


def _metrics_apis(strikes: Iterable[Strike]) -> Iterator[str]:
    for name in sorted({victim.name for strike in strikes for victim in strike.victims if victim.kind == "APIService"}):
        yield f"every autoscaler of the cluster would lose {name}: {ALLOW_METRICS_API}"


def _namespaces(api: KubeApi, own: Sequence[str], blast: Blast, policy: Policy) -> Iterator[str]:
    yield from filter(None, map(policy.namespace_refusal, own))
    others = {str(blast.pods[uid]["metadata"]["namespace"]) for uid in blast.hit if _has_owner(blast.pods[uid])}
    labels = {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in _listed(api, others - {*own})}
    for name in sorted(labels):
        refused = policy.namespace_refusal(name)
        if refused:
            yield refused
        elif policy.opt_in and labels[name].get(OPT_IN_LABEL) != "true":
            yield f"pods of namespace {name} would be hit, which does not have the label {OPT_IN_LABEL}=true"


def _has_owner(pod: Object) -> bool:
    """Return whether a pod belongs to a user's workload, not to a DaemonSet, whose pods belong to their node."""
    return controller_kind(pod) != "DaemonSet"


def _listed(api: KubeApi, names: Iterable[str]) -> Iterator[Object]:
    for name in names:
        found = api.find(NAMESPACES, name)
        if found is not None:
            yield found
