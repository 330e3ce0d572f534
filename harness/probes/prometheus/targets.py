"""Check that the targets of a query were scraped throughout a phase.

That the server scraped something does not cover them: a failed scrape leaves a fresh ``up`` of zero, and a gap in the
target's series. But not every pause is a gap. Some scrapes of a killed pod fail before Prometheus removes its target,
and some of a new pod fail before it listens. So the check measures the time between two successful scrapes, and at the
end of a phase only for targets that still exist.

A target that was never scraped has no series that relates it to a query, but similar targets have: for pods in the
experiment's namespace, those of the same workload; for other targets, those of the same job and namespace. A pod that
was ready for longer than discovery takes (``DISCOVERED_WITHIN``, plus a tolerated gap) must have been scraped in the
phase, and any other target at least once. What a newer pod counts before its first scrape is lost; to limit this, the
baseline and the settle phase begin only when all pods are scraped (see ``ready``).

In other namespaces one job may include unrelated targets, even dead ones. There, targets are similar only if their
identifying labels (``_IDENTITY``) agree, and a target without such labels is ignored, as are targets that the query's
matchers exclude. Not detected: a workload none of whose pods was ever scraped, and targets in other namespaces without
identifying labels.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from harness.model.quantities import show_seconds
from harness.model.timeline import Phase
from harness.probes.prometheus.health import GAP, Frame
from harness.prometheus.answers import Sample, escape
from harness.prometheus.promql import SCRAPES_PER_WINDOW, Reading, Selector

if TYPE_CHECKING:
    # Not imported at run time: it loads an HTTP client, which commands without a cluster do not need.
    from harness.prometheus.client import Prometheus

# An age is never negative, so this value cannot be one.
FAILED = -1
# Seconds until Prometheus discovers a new pod: its discovery manager applies changes every 5 s (not configurable), and
# skips one update while scrape pools still stop the targets of deleted pods.
DISCOVERED_WITHIN = 10.0
# Labels that by convention identify an application and are equal for all of its replicas.
_IDENTITY = {
    *("app", "app_kubernetes_io_name", "app_kubernetes_io_component", "component", "k8s_app", "name"),
    *("service", "deployment", "statefulset", "daemonset", "container"),
}
# For every target that had such series: the seconds since its last scrape, or FAILED.
_SCRAPES = (
    f"((time() - timestamp(up) and up == 1) or (up == 0) + {FAILED})"
    " and on(job, instance) count by(job, instance) (count_over_time({}))"
)
# For all pod targets of the jobs that had such series: the seconds since their last scrape.
_SCRAPED_PODS = (
    'time() - timestamp(up{{namespace="{namespace}",pod!=""}}) and up == 1 and on(job) count by(job) ({series})'
)
# The existing targets of the jobs that had such series, if every scrape of the target failed. For a pod with several
# targets, such as one per port, only if every scrape of all of them failed.
_FAILING = (
    "(max_over_time(up[{run}s]) == 0 and up and up offset {least}s)"
    ' unless on(job, namespace, pod) (max_over_time(up{{pod!=""}}[{run}s]) == 1)'
    " and on(job) count by(job) ({series})"
)


def unscraped(prometheus: Prometheus, query: str, phase: Phase, frame: Frame) -> str:
    """Return which target of a query was not scraped, and for how long; empty if there is no gap.

    Series without a target, such as recorded or pushed ones, are not checked. Raises PrometheusError.
    """
    start, end = frame.theirs(phase.start + frame.interval), frame.theirs(phase.end)
    for selector in {one.text: one for one in Reading(query, 0).selectors}.values():
        scrapes = prometheus.range(scrapes_query(selector.text, phase), start, end, frame.interval)
        targets = _by_target(scrapes)
        for labels, samples in targets:
            interval = max(frame.interval, frame.intervals.get((labels["job"], labels["instance"]), 0.0))
            who = labels.get("pod") or f"{labels['job']} at {labels['instance']}"
            if phase.end - phase.start < SCRAPES_PER_WINDOW * interval:
                length = show_seconds(phase.end - phase.start)
                return f"{who} is scraped every {show_seconds(interval)}, which is too seldom for a phase of {length}"
            deaths = _deaths(labels, phase, frame)
            for last, first in _pauses(samples, start, end, interval):
                died = any(last - interval <= death <= first for death in deaths)
                if first - last > GAP * interval and not died:
                    expected = f"expected a scrape every {show_seconds(interval)}"
                    return f"{who} was not scraped for {show_seconds(first - last)}, {expected}"
        why = _never_scraped(prometheus, selector, [labels for labels, _ in targets], phase, frame)
        if why:
            return why
    return ""


def _never_scraped(
    prometheus: Prometheus, selector: Selector, sources: Sequence[Mapping[str, str]], phase: Phase, frame: Frame
) -> str:
    """Return which target of a selector was not scraped at all, or an empty text.

    ``sources`` are the labels of the targets that have series of the selector.
    """
    if not sources:
        return ""
    own = [frame.intervals.get((labels["job"], labels["instance"]), 0.0) for labels in sources]
    gap = GAP * max(frame.interval, *own)
    least = DISCOVERED_WITHIN + gap
    run, end = math.ceil(phase.end), frame.theirs(phase.end)
    series = f"count_over_time({selector.text}[{run}s])"
    for target in prometheus.instant(_FAILING.format(run=run, least=math.ceil(least), series=series), end):
        labels = target.labels
        # Pods in the experiment's namespace are checked below, by their observed readiness.
        own_pod = labels.get("namespace") == frame.namespace and "pod" in labels
        similar = any(_is_similar(labels, source, frame.namespace) for source in sources)
        if similar and not own_pod and selector.may_select(labels):
            who = labels.get("pod") or f"{labels.get('job')} at {labels.get('instance')}"
            return f"{who} was never scraped: every scrape failed"
    pods = _sibling_pods(sources, selector, frame)
    if not pods:
        return ""
    query = _SCRAPED_PODS.format(namespace=escape(frame.namespace), series=series)
    scraped = defaultdict(list)
    for sample in prometheus.range(query, frame.theirs(phase.start), end, frame.interval):
        scraped[sample.labels["pod"]].append(frame.at(sample.at - sample.value))
    for pod in pods:
        for since, until in _ready_spans(pod, phase, frame):
            # Time before the phase counts for the discovery of the pod, but a scrape must be due within the phase.
            begin = max(since, phase.start)
            discovered, due = until - since > least, until - begin > gap
            if discovered and due and not any(begin <= at <= until for at in scraped[pod]):
                return f"{pod} was not scraped in the {show_seconds(until - begin)} while it was ready in the phase"
    return ""


def _is_similar(target: Mapping[str, str], source: Mapping[str, str], own: str) -> bool:
    """Return whether two targets belong to the same application: the same job and namespace.

    Outside of the experiment's namespace they must also share at least one identifying label, with equal values in all
    that they share.
    """
    if any(target.get(label) != source.get(label) for label in ("job", "namespace")):
        return False
    if target.get("namespace") in {None, own}:
        return True
    shared = _IDENTITY & target.keys() & source.keys()
    return bool(shared) and all(target[label] == source[label] for label in shared)


def _sibling_pods(sources: Sequence[Mapping[str, str]], selector: Selector, frame: Frame) -> list[str]:
    """Return all pods of the workloads that have targets with series of a selector, if it may select them."""
    seen = [one for one in frame.timeline.observations("pods") if one.error is None]
    names = {labels.get("pod") for labels in sources if labels.get("namespace") == frame.namespace}
    workloads = {one.value["owner"] for one in seen if one.subject in names}
    siblings = sorted({one.subject for one in seen if one.value["owner"] in workloads - {""}})
    return [pod for pod in siblings if selector.may_select({"namespace": frame.namespace, "pod": pod})]


def _ready_spans(pod: str, phase: Phase, frame: Frame) -> list[tuple[float, float]]:
    """Return the time spans, on the timeline, when a pod was ready and not being deleted, if they reach the phase."""
    seen = [one for one in frame.timeline.observations("pods", pod) if one.error is None and one.at < phase.end]
    there = [
        bool(one.value.get("ready")) and not one.value.get("deleting") and one.value.get("event") != "DELETED"
        for one in seen
    ]
    ends = [*(one.at for one in seen[1:]), phase.end]
    spans: list[tuple[float, float]] = []
    for one, end, ready in zip(seen, ends, there, strict=False):
        if ready and spans and spans[-1][1] == one.at:
            spans[-1] = (spans[-1][0], end)
        elif ready:
            spans.append((one.at, end))
    return [(start, end) for start, end in spans if end > phase.start]


def scrapes_query(selector: str, phase: Phase) -> str:
    """Return a query for the scrapes of the targets that have had series of this selector since the run began."""
    return _SCRAPES.format(f"{selector}[{math.ceil(phase.end)}s]")


def _by_target(scrapes: Sequence[Sample]) -> list[tuple[Mapping[str, str], list[Sample]]]:
    found: dict[tuple[tuple[str, str], ...], list[Sample]] = defaultdict(list)
    for sample in scrapes:
        if {"job", "instance"} <= sample.labels.keys():
            found[tuple(sorted(sample.labels.items()))].append(sample)
    return [(samples[0].labels, samples) for samples in found.values()]


def _pauses(samples: Sequence[Sample], start: float, end: float, interval: float) -> Iterable[tuple[float, float]]:
    """Return the pauses between successful scrapes while the target existed, by Prometheus' clock."""
    good = sorted({sample.at - sample.value for sample in samples if sample.value >= 0})
    # A target that begins with a failed scrape existed before, since only targets with earlier series are queried.
    if samples[0].value < 0:
        good.insert(0, start)
    if samples[-1].at > end - interval:
        good.append(end)
    return pairwise(good)


def _deaths(labels: Mapping[str, str], phase: Phase, frame: Frame) -> list[float]:
    """Return when the target's pod was observed being deleted, by Prometheus' clock.

    The end of the phase is added while the deletion is not complete.
    """
    if labels.get("namespace") != frame.namespace or "pod" not in labels:
        return []
    seen = frame.timeline.observations("pods", labels["pod"])
    seen = [one for one in seen if one.error is None and one.at <= phase.end]
    going = [bool(one.value.get("deleting")) or one.value.get("event") == "DELETED" for one in seen]
    deaths = [frame.theirs(one.at) for one, goes in zip(seen, going, strict=True) if goes]
    return [*deaths, frame.theirs(phase.end)] if going and going[-1] else deaths
