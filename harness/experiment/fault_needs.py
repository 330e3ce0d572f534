"""The manifests of a workload as the faults' own checks read them (see ``harness/faults/needs.py``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.cluster.kube.objects import reference
from harness.common.labels import parse_selector
from harness.experiment.manifests import Workload
from harness.experiment.workload_checks.pods import PodSource, makes_unknown_pods, pod_sources
from harness.faults.base import Effect, Fault
from harness.safety.guard.safety import Safety


class Manifests:
    """Implements ``WorkloadManifests`` for a workload that was read from a folder."""

    def __init__(self, workload: Workload) -> None:
        self._names = workload.names()
        self._sources = pod_sources(workload.objects)
        self._makes_unknown_pods = makes_unknown_pods(workload.objects)

    @property
    def makes_unknown_pods(self) -> bool:
        return self._makes_unknown_pods

    def names(self) -> Sequence[str]:
        return self._names

    def selected(self, selector: str) -> Sequence[PodSource]:
        requirements = parse_selector(selector)
        return [source for source in self._sources if source.may_match(requirements)]

    def of(self, name: str) -> Sequence[PodSource]:
        return [source for source in self._sources if reference(source.item) == name]


def undeclared_reach(fault: Fault, *, disruptive: bool, safety: Safety) -> Iterator[str]:
    """Yield what an experiment must declare because a fault hits more than the experiment's own namespace."""
    if fault.disruptive and not disruptive:
        hits = f"{fault.kind} hits more than the experiment's own namespace"
        yield f"{hits}: expected disruptive: true at the top level"
    if getattr(fault, "effect", None) is Effect.METRICS_API and safety.metrics_api == "spared":
        hits = f"{fault.kind} takes metrics away from every autoscaler of the cluster"
        yield f"{hits}: expected safety: {{metricsApi: allowed}} at the top level"
