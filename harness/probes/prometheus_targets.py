"""Whether the targets whose series a query selects were scraped all through a phase.

That the server scraped something says nothing of them: a scrape that fails leaves a fresh ``up`` of zero behind, and a
hole in the series of the target. Not every end of scrapes is a hole. A pod that is killed takes its target with it,
after some scrapes that fail since the server hears of it late, and a new pod fails some before it listens. So what
counts is the time between two scrapes that succeeded, and at the end of a phase only for targets that are still there.

A target that was never scraped has no series that would tie it to a query. But others of its kind have: of pods in the
experiment's namespace those of the same workload, of other targets those of the same job and namespace. A pod that was
ready for longer than it takes Prometheus to hear of it must have been scraped meanwhile, and any other target must have
been scraped once. In a foreign namespace one job may hold whatever is there, dead things that nobody asks about, too:
there a target is of a kind only with those whose labels say that they are the same thing (``_WHAT``), and is no matter
of the query's where none says so. The query's own matchers say which are not meant. What this cannot see: a workload of
which no pod at all has ever been scraped, and one elsewhere whose targets carry no such label.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from harness.observation import Phase
from harness.probes.prometheus import Prometheus, Sample, escape
from harness.probes.prometheus_health import GAP, Frame
from harness.probes.prometheus_text import SCRAPES_PER_WINDOW, Reading, Selector
from harness.quantities import show_seconds

FAILED = -1
# Within so many seconds Prometheus hears of a new pod.
HEARD = 5.0
# Labels that by custom say what a target is, and are the same for all replicas of one thing.
_WHAT = {
    *("app", "app_kubernetes_io_name", "app_kubernetes_io_component", "component", "k8s_app", "name"),
    *("service", "deployment", "statefulset", "daemonset", "container"),
}
# Of every target that had such series: how long ago it was scraped, or that the last scrape failed.
_SCRAPES = (
    f"((time() - timestamp(up) and up == 1) or (up == 0) + {FAILED})"
    " and on(job, instance) count by(job, instance) (count_over_time({}))"
)
# Of all pods' targets in the jobs that had such series: how long ago they were scraped.
_SCRAPED_PODS = (
    'time() - timestamp(up{{namespace="{namespace}",pod!=""}}) and up == 1 and on(job) count by(job) ({series})'
)
# The targets in the jobs that had such series which are there, and of which every scrape failed; a pod may have several
# targets, such as one for each of its ports.
_FAILING = (
    "(max_over_time(up[{run}s]) == 0 and up and up offset {least}s)"
    ' unless on(job, namespace, pod) (max_over_time(up{{pod!=""}}[{run}s]) == 1)'
    " and on(job) count by(job) ({series})"
)


def unscraped(prometheus: Prometheus, query: str, phase: Phase, frame: Frame) -> str:
    """Which target of a query was not scraped for how long, in words; empty when none was missed. Raises
    PrometheusError. Series without a target of their own, recorded or pushed ones, are not suspected."""
    start, end = frame.theirs(phase.start + frame.interval), frame.theirs(phase.end)
    for selector in {one.text: one for one in Reading(query, 0).selectors}.values():
        scrapes = prometheus.range(scrapes_query(selector.text, phase), start, end, frame.interval)
        targets = _by_target(scrapes)
        for labels, samples in targets:
            interval = max(frame.interval, frame.intervals.get((labels["job"], labels["instance"]), 0.0))
            who = labels.get("pod") or f"{labels['job']} at {labels['instance']}"
            if phase.end - phase.start < SCRAPES_PER_WINDOW * interval:
                return f"{who} is scraped every {show_seconds(interval)}: too seldom for a phase this short"
            deaths = _deaths(labels, phase, frame)
            for last, first in _pauses(samples, start, end, interval):
                died = any(last - interval <= death <= first for death in deaths)
                if first - last > GAP * interval and not died:
                    due = f"every {show_seconds(interval)} was due"
                    return f"{who} was not scraped for {show_seconds(first - last)}, {due}"
        why = _never_scraped(prometheus, selector, [labels for labels, _ in targets], phase, frame)
        if why:
            return why
    return ""


def _never_scraped(
    prometheus: Prometheus, selector: Selector, sources: Sequence[Mapping[str, str]], phase: Phase, frame: Frame
) -> str:
    """Which target that series of the selector could come from was not scraped at all, in words. ``sources`` are the
    labels of the targets that they do come from."""
    if not sources:
        return ""
    own = [frame.intervals.get((labels["job"], labels["instance"]), 0.0) for labels in sources]
    least = HEARD + GAP * max(frame.interval, *own)
    run, end = math.ceil(phase.end), frame.theirs(phase.end)
    series = f"count_over_time({selector.text}[{run}s])"
    for target in prometheus.instant(_FAILING.format(run=run, least=math.ceil(least), series=series), end):
        labels = target.labels
        # What became of the pods in the own namespace is known better than Prometheus could tell.
        ours = labels.get("namespace") == frame.namespace and "pod" in labels
        akin = any(_akin(labels, source, frame.namespace) for source in sources)
        if akin and not ours and selector.may_select(labels):
            who = labels.get("pod") or f"{labels.get('job')} at {labels.get('instance')}"
            return f"{who} was never scraped: every scrape failed"
    pods = _mates(sources, selector, frame)
    if not pods:
        return ""
    asked = _SCRAPED_PODS.format(namespace=escape(frame.namespace), series=series)
    scraped = defaultdict(list)
    for sample in prometheus.range(asked, frame.theirs(phase.start), end, frame.interval):
        scraped[sample.labels["pod"]].append(frame.at(sample.at - sample.value))
    for pod in pods:
        for since, until in _ready_spans(pod, phase, frame):
            if until - since > least and not any(since <= at <= until for at in scraped[pod]):
                return f"{pod} was never scraped in the {show_seconds(until - since)} that it was ready"
    return ""


def _akin(target: Mapping[str, str], source: Mapping[str, str], own: str) -> bool:
    """Whether two targets are of one kind: of one job and namespace, and in a namespace that is not our own of all
    those labels that say what they are and that both have, at least one, with the same values."""
    if any(target.get(label) != source.get(label) for label in ("job", "namespace")):
        return False
    if target.get("namespace") in {None, own}:
        return True
    told = _WHAT & target.keys() & source.keys()
    return bool(told) and all(target[label] == source[label] for label in told)


def _mates(sources: Sequence[Mapping[str, str]], selector: Selector, frame: Frame) -> list[str]:
    """All pods of the workloads whose pods' targets had series of a selector, as far as it may select them."""
    seen = [one for one in frame.timeline.observations("pods") if one.error is None]
    names = {labels.get("pod") for labels in sources if labels.get("namespace") == frame.namespace}
    workloads = {one.value["owner"] for one in seen if one.subject in names}
    mates = sorted({one.subject for one in seen if one.value["owner"] in workloads - {""}})
    return [pod for pod in mates if selector.may_select({"namespace": frame.namespace, "pod": pod})]


def _ready_spans(pod: str, phase: Phase, frame: Frame) -> list[tuple[float, float]]:
    """From when to when within a phase a pod was ready and not on its way out, on the timeline."""
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
    return [(max(start, phase.start), end) for start, end in spans if end > phase.start]


def scrapes_query(selector: str, phase: Phase) -> str:
    """Asks for the scrapes of the targets that have had series of this selector since the run began."""
    return _SCRAPES.format(f"{selector}[{math.ceil(phase.end)}s]")


def _by_target(scrapes: Sequence[Sample]) -> list[tuple[Mapping[str, str], list[Sample]]]:
    found: dict[tuple[tuple[str, str], ...], list[Sample]] = defaultdict(list)
    for sample in scrapes:
        if {"job", "instance"} <= sample.labels.keys():
            found[tuple(sorted(sample.labels.items()))].append(sample)
    return [(samples[0].labels, samples) for samples in found.values()]


def _pauses(samples: Sequence[Sample], start: float, end: float, interval: float) -> Iterable[tuple[float, float]]:
    """From one scrape that succeeded to the next, while the target was there, by Prometheus' clock."""
    good = sorted({sample.at - sample.value for sample in samples if sample.value >= 0})
    # Only targets that have been scraped before are asked for: one whose first scrape here failed was there all along.
    if samples[0].value < 0:
        good.insert(0, start)
    if samples[-1].at > end - interval:
        good.append(end)
    return pairwise(good)


def _deaths(labels: Mapping[str, str], phase: Phase, frame: Frame) -> list[float]:
    """When the target's pod was seen to go, by Prometheus' clock; until the end of the phase while it still goes."""
    if labels.get("namespace") != frame.namespace or "pod" not in labels:
        return []
    seen = frame.timeline.observations("pods", labels["pod"])
    seen = [one for one in seen if one.error is None and one.at <= phase.end]
    going = [bool(one.value.get("deleting")) or one.value.get("event") == "DELETED" for one in seen]
    deaths = [frame.theirs(one.at) for one, goes in zip(seen, going, strict=True) if goes]
    return [*deaths, frame.theirs(phase.end)] if going and going[-1] else deaths
