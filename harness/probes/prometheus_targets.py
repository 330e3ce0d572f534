"""Whether the targets whose series a query selects were scraped all through a phase.

That the server scraped something says nothing of them: a scrape that fails leaves a fresh ``up`` of zero behind, and a
hole in the series of the target. Not every end of scrapes is a hole. A pod that is killed takes its target with it,
after some scrapes that fail since the server hears of it late, and a new pod fails some before it listens. So what
counts is the time between two scrapes that succeeded, and at the end of a phase only for targets that are still there.

What this cannot see: a target that was never scraped successfully, since nothing ties it to the query.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from harness.observation import Phase
from harness.probes.prometheus import Prometheus, Sample
from harness.probes.prometheus_health import GAP, Frame
from harness.probes.prometheus_text import SCRAPES_PER_WINDOW, Reading
from harness.quantities import show_seconds

FAILED = -1
# Of every target that had such series: how long ago it was scraped, or that the last scrape failed.
_SCRAPES = (
    f"((time() - timestamp(up) and up == 1) or (up == 0) + {FAILED})"
    " and on(job, instance) count by(job, instance) (count_over_time({}))"
)


def unscraped(prometheus: Prometheus, query: str, phase: Phase, frame: Frame) -> str:
    """Which target of a query was not scraped for how long, in words; empty when none was missed. Raises
    PrometheusError. Series without a target of their own, recorded or pushed ones, are not suspected."""
    start, end = frame.theirs(phase.start + frame.interval), frame.theirs(phase.end)
    for selector in dict.fromkeys(one.text for one in Reading(query, 0).selectors):
        scrapes = prometheus.range(scrapes_query(selector, phase), start, end, frame.interval)
        for labels, samples in _by_target(scrapes):
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
    return ""


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
