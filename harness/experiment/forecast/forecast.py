"""Predict, without a cluster, which faults will find no victims and what the guard will refuse.

The faults' own selection and the guard's own checks run on an in-memory model of the workload. Anything that is only
known at run time is left out: what depends on nodes, on commands in pods, on autoscalers or on operators. So a forecast
may miss a refusal, but never reports a false one; the guard checks again before the injection.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.cluster.kube.owners import workload_of
from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import ExecResult
from harness.common.clock import FakeClock
from harness.common.errors import ClusterRefused, HarnessError, Inconclusive
from harness.common.labels import parse_selector
from harness.experiment import registry
from harness.experiment.forecast.model import model_of
from harness.experiment.isolation import isolated
from harness.experiment.manifests import Workload
from harness.experiment.places import homes_of
from harness.experiment.workload_checks.pods import PodSource, makes_unknown_pods, pod_sources
from harness.faults.base import Fault, FaultContext
from harness.faults.targets import PodTarget, WorkloadTarget
from harness.safety.guard.blast import Strike, refusals
from harness.safety.guard.policy import Policy
from harness.safety.guard.safety import Cap, Caps, Safety
from harness.safety.undo.journal import Journal

# How often victims are drawn if the selection depends on the seed. What is refused in every draw counts as certain.
_DRAWS = 24
# Larger workloads are not modelled, since that would add seconds to every validation.
_MOST_PODS = 300
# Kinds whose number of pods depends on the cluster or on the time.
_UNCERTAIN = frozenset({"CronJob", "DaemonSet"})
_NODE: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}


@dataclass(frozen=True, slots=True)
class Forecast:
    """``impossible``: fault index to the reason why it finds no victims; ``refused``: the guard's reasons to refuse."""

    impossible: Mapping[int, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


def forecast(
    workload: Workload,
    faults: Sequence[Fault],
    safety: Safety,
    policy: Policy,
    *,
    namespace: str,
    rng: Callable[[], random.Random] | None = None,
    without: Container[int] = (),
    later: Container[int] = (),
) -> Forecast:
    """Return what is certain about an experiment's faults. ``rng`` returns the run's random source, if it is known.

    ``without`` has the indexes of faults to leave out, because they are known to be impossible for another reason;
    ``later`` those of faults that are not injected together with the others, so that each is checked alone.
    The result is empty if the manifests are too malformed to be modelled, which other checks report.
    """
    with suppress(ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError, HarnessError):
        return _forecast(workload, faults, safety, policy, namespace=namespace, rng=rng, without=without, later=later)
    return Forecast()


def _forecast(
    workload: Workload,
    faults: Sequence[Fault],
    safety: Safety,
    policy: Policy,
    *,
    namespace: str,
    rng: Callable[[], random.Random] | None,
    without: Container[int],
    later: Container[int],
) -> Forecast:
    certain = {
        number: fault
        for number, fault in enumerate(faults)
        if number not in without and _is_certain(fault, workload.objects)
    }
    if not certain or sum(map(_size, pod_sources(workload.objects))) > _MOST_PODS:
        return Forecast()
    if rng and len(certain) == len(faults):
        draws = [rng()]
    else:
        # One draw is enough for a single fault on a single workload, whose pods are interchangeable.
        alike = len(certain) == 1 and all(
            len(list(_candidates(fault, workload.objects))) == 1 for fault in certain.values()
        )
        draws = [random.Random(seed) for seed in range(1 if alike else _DRAWS)]  # noqa: S311 - no secret
    apart = frozenset(number for number in certain if number in later)
    return _Model(workload, certain, safety, _certain_caps(policy), namespace).play(draws, apart)


class _Model:
    """The workload in memory, and the faults whose victims are known from the manifests."""

    def __init__(
        self, workload: Workload, faults: Mapping[int, Fault], safety: Safety, policy: Policy, namespace: str
    ) -> None:
        self._faults = {number: registry.render_fault(fault, _image) for number, fault in faults.items()}
        self._safety = safety.model_copy(update={"caps": _countable(safety.caps)})
        self._policy = policy
        self._namespace = namespace
        empty = FakeCluster(FakeClock())
        empty.server.seed(_NODE)
        deployed = isolated(workload.rendered(_image), namespace, workload.layout)
        self._cluster = model_of(empty, deployed.objects, namespace)
        self._places = {own.replaces: own.name for own in deployed.namespaces}
        self._workload = workload
        listed = self._cluster.server.store.list
        pods = [pod for place in self._places.values() for pod in listed(PODS, place)]
        self._names = {pod["metadata"]["name"]: f"{workload_of(pod).rpartition('/')[2]}-…" for pod in pods}

    def play(self, sources: Sequence[random.Random], apart: frozenset[int]) -> Forecast:
        """Let the faults select victims with each random source, and keep the refusals that occur every time.

        The guard checks each fault of ``apart`` alone."""
        draws = [self._draw(rng, apart) for rng in sources]
        refused = [text for text in draws[0].refused if all(text in draw.refused for draw in draws)]
        return Forecast(draws[0].impossible, tuple(refused))

    def _draw(self, rng: random.Random, apart: frozenset[int]) -> Forecast:
        cluster = self._cluster
        # Selecting victims only reads, so this journal is never written.
        journal = Journal(cluster, Path("forecast.jsonl"), "forecast", self._namespace, cluster.clock)
        context = FaultContext(cluster, self._namespace, rng, cluster.clock, journal)
        impossible: dict[int, str] = {}
        refused: list[str] = []
        # All faults choose before the guard checks any of them, since it counts the hits of each group together.
        strikes: dict[int, list[Strike]] = {}
        for number, fault in self._faults.items():
            cluster.server.exec = _pretender(fault)
            place = self._places[homes_of(fault, self._workload)[0]]
            try:
                victims = fault.choose(replace(context, namespace=place))
            except Inconclusive as error:
                impossible[number] = self._read(str(error))
            except ClusterRefused as error:
                refused.append(self._read(str(error)))
            else:
                strikes.setdefault(number if number in apart else -1, []).append(fault.strike(victims))
        for group in strikes.values():
            now = cluster.clock.wall()
            found = refusals(cluster.api, [*self._places.values()], group, self._policy, self._safety, now=now)
            refused += map(self._read, found)
        return Forecast(impossible, tuple(dict.fromkeys(refused)))

    def _read(self, text: str) -> str:
        # The cluster will give the pods other names than the model did.
        for name, shown in self._names.items():
            text = text.replace(name, shown)
        return text


def _is_certain(fault: Fault, objects: Sequence[Object]) -> bool:
    """Return whether a fault's candidates are known from the manifests alone."""
    if makes_unknown_pods(objects):
        return False
    candidates = list(_candidates(fault, objects))
    scaled = set(_scaled(objects))
    return bool(candidates) and not any(
        source.item["kind"] in _UNCERTAIN or (source.item["kind"], source.item["metadata"]["name"]) in scaled
        for source in candidates
    )


def _candidates(fault: Fault, objects: Sequence[Object]) -> Iterator[PodSource]:
    """Yield the pods that a fault may hit; none if that depends on labels outside the manifests, or on commands."""
    sources = pod_sources(objects)
    if isinstance(fault, PodTarget) and not (fault.where or fault.older_than or fault.node or fault.zone):
        selector = parse_selector(fault.label_selector)
        found = [source for source in sources if source.may_match(selector)]
        if fault.owner:
            found = [source for source in found if reference(source.item) == fault.owner]
        if fault.hits_init_containers and any(
            fault.container == each.get("name") for it in found for each in it.initial
        ):
            # Only a run shows when an init container runs.
            return
        keys = {requirement.key for requirement in selector.requirements}
        if all(keys <= source.labels.keys() for source in found):
            yield from found
    elif isinstance(fault, WorkloadTarget):
        yield from (source for source in sources if reference(source.item) == fault.of)


def _scaled(objects: Sequence[Object]) -> Iterator[tuple[str, str]]:
    """Yield kind and name of each workload that an autoscaler scales."""
    for item in objects:
        target = (item.get("spec") or {}).get("scaleTargetRef")
        if isinstance(target, dict):
            yield str(target.get("kind")), str(target.get("name"))


def _size(source: PodSource) -> int:
    spec = source.item.get("spec") or {}
    counts = (spec.get(key, 1) for key in ("replicas", "parallelism"))
    return max(count if isinstance(count, int) else 1 for count in counts)


def _certain_caps(policy: Policy) -> Policy:
    # Opt-in concerns other namespaces, which only node faults hit, and these are never certain.
    return policy.model_copy(update={"caps": _countable(policy.caps), "opt_in": False})


def _countable(caps: Caps) -> Caps:
    """Return the caps that need no cluster: the number and the nodes of other pods are unknown."""
    return Caps(workload=caps.workload, namespace=_count_of(caps.namespace), cluster=_count_of(caps.cluster))


def _count_of(cap: Cap | None) -> Cap | None:
    return None if cap is None or cap.count is None else Cap(count=cap.count)


def _pretender(fault: Fault) -> Callable[..., ExecResult]:
    def answer(_namespace: str, _pod: str, _container: str | None, command: Sequence[str]) -> ExecResult:
        return fault.pretend(command)

    return answer


def _image(name: str) -> str:
    # Reserved by RFC 2606, so that no reference of the model can name a real image.
    return f"{name}.invalid"
