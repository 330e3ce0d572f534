"""Prometheus' clock: as many scrape targets up as before, after fewer were. It corroborates; it is never the truth.

A sample speaks for a scrape of up to one interval before it, and a target that came back is only seen at its next
scrape: so both bounds are one scrape interval wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from harness.observation import Interval, Observation, Timeline
from harness.quantities import show_seconds
from harness.recovery.outage import Origin, Outage, Recovery, conclude, no_data, not_disrupted, since_last

CLOCK: Final = "prometheus"


def prometheus(timeline: Timeline, workload: str, origin: Origin, interval: float | None = None) -> Recovery:
    """The recovery of a workload's scrape targets: samples of the series ``prometheus``, subject ``up:<workload>``.

    ``interval`` is the scrape interval in seconds; by default the usual distance between two samples is taken for it.
    """
    samples = sorted(timeline.observations("prometheus", f"up:{workload}"), key=lambda sample: sample.at)
    before = [sample for sample in samples if sample.at < origin.disrupted.low]
    later = [sample for sample in samples if sample.at >= origin.disrupted.low]
    if not before or not later:
        return no_data(CLOCK, workload, "no samples before and after the fault")
    need = _count(before[-1])
    if need is None or need == 0:
        return no_data(CLOCK, workload, "no target was known to be up just before the fault")
    every = interval or median(second.at - first.at for first, second in pairwise(samples))
    found = _outages(later, need, every, origin)
    end = found[-1].ended.high if found and found[-1].over else math.inf
    gap = _gap([before[-1], *later], end, every)
    if gap is not None:
        return no_data(CLOCK, workload, f"a gap in the samples: {gap}")
    if found:
        return conclude(CLOCK, workload, found, origin)
    return not_disrupted(CLOCK, workload, every, f"all of {len(later)} samples had {need:g} targets up")


def _outages(samples: Sequence[Observation], need: float, every: float, origin: Origin) -> list[Outage]:
    found: list[Outage] = []
    began: float | None = None
    down = 0.0
    for sample in samples:
        count = _count(sample)
        if count is None:
            continue
        if count < need:
            began = sample.at if began is None else began
            down = sample.at
        elif began is not None:
            ended = Interval(max(down - every, origin.disrupted.low), sample.at + every)
            found.append(Outage(Interval(since_last(found, origin), began), ended, began))
            began = None
    if began is not None:
        ended = Interval(max(down - every, origin.disrupted.low), math.inf)
        found.append(Outage(Interval(since_last(found, origin), began), ended, began))
    return found


def _gap(samples: Sequence[Observation], end: float, every: float) -> str | None:
    """The first hole up to the recovery: a failed query, no number, or two samples too far apart."""
    for earlier, sample in pairwise(samples):
        if earlier.at > end:
            return None
        if _count(sample) is None:
            return sample.error or "a sample is not a number"
        if sample.at - earlier.at > 2.5 * every:
            return f"{show_seconds(sample.at - earlier.at)} between two of them, scraped every {show_seconds(every)}"
    return None


def _count(sample: Observation) -> float | None:
    value = sample.value
    if sample.error is not None or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
