"""The namespaces in which the parts of an experiment find their objects, by the workload's manifests."""

from __future__ import annotations

from collections.abc import Iterator

from harness.common.labels import parse_selector
from harness.experiment.manifests import Workload
from harness.experiment.workload_checks.pods import pod_sources


def home_of(name: str, workload: Workload) -> str:
    """Return the published namespace of the object ``kind/name``; the main one if the workload has no such object."""
    found = workload.find(name)
    return workload.layout.main if found is None else workload.layout.home(found)


def homes_of(part: object, workload: Workload) -> list[str]:
    """Return the published namespaces of what a fault, probe or objective refers to, by name or by label selector.

    The main namespace if nothing in the manifests shows another one. A fault or probe works in one namespace, so more
    than one is a mistake.
    """
    found = list(dict.fromkeys(_homes(part, workload)))
    return found or [workload.layout.main]


def _homes(part: object, workload: Workload) -> Iterator[str]:
    named = [*getattr(part, "workloads", ()), *filter(None, [getattr(part, "of", None)])]
    for name in named:
        if workload.find(name) is not None:
            yield home_of(name, workload)
    # Of a fault those of pods: the `selector` of a fault on nodes is that of the nodes.
    selectors = getattr(part, "selectors", None)
    selectors = filter(None, [getattr(part, "selector", None)]) if selectors is None else selectors
    for selector in map(parse_selector, selectors):
        for source in pod_sources(workload.objects):
            if source.may_match(selector):
                yield workload.layout.home(source.item)
