"""Check without a cluster that the containers whose resources objectives judge exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.cluster.kube.objects import reference
from harness.common.documents import Place
from harness.common.shapes import mapping
from harness.common.suggestions import one_of
from harness.experiment.manifests import Workload
from harness.experiment.workload_checks.pods import pod_sources
from harness.objectives.base import Objective
from harness.objectives.pod_resources import PodResources
from harness.objectives.recommendation import Recommendation


def unknown_containers(objectives: Sequence[Objective], workload: Workload) -> Iterator[tuple[Place, str]]:
    """Yield the objectives that name no container of their workload, each with its place below the experiment."""
    sources = {reference(source.item): source for source in pod_sources(workload.objects)}
    for index, objective in enumerate(objectives):
        if not isinstance(objective, PodResources | Recommendation):
            continue
        source = sources.get(_target(objective.of, workload))
        known = [str(each.get("name")) for each in source.serving] if source else []
        if known and objective.container not in known:
            found = f"found the unknown container {objective.container!r}{one_of(objective.container, known)}"
            yield ("objectives", index, objective.kind, "container"), found


def _target(of: str, workload: Workload) -> str:
    """Return the workload that an objective is about: that of the autoscaler, if it names one."""
    target = mapping(mapping((workload.find(of) or {}).get("spec")).get("targetRef"))
    return f"{str(target.get('kind', '')).lower()}/{target.get('name')}" if target else of
