"""The prometheus clock: recovered when as many scrape targets are up as before. It is the least precise clock.

A sample is the result of a scrape up to one interval earlier, and a target that has recovered is only seen at its next
scrape, so both bounds are one scrape interval wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from harness.model.quantities import show_seconds
from harness.model.timeline import Interval, Observation, Timeline
from harness.objectives.recovery.outage import Origin, Outage, Recovery, conclude, no_data, not_disrupted, since_last

CLOCK: Final = "prometheus"


def prometheus(timeline: Timeline, workload: str, origin: Origin, interval: float | None = None) -> Recovery:
    """Return the recovery of a workload's scrape targets (series ``prometheus``, subject ``up:<workload>``).

    ``interval`` is the scrape interval in seconds, by default the median distance between two samples.
    """
    samples = sorted(timeline.observations("prometheus", f"up:{workload}"), key=lambda sample: sample.at)
    before = [sample for sample in samples if sample.at < origin.disrupted.low]
    later = [sample for sample in samples if sample.at >= origin.disrupted.low]
    if not before or not later:
        return no_data(CLOCK, workload, "no samples before and after the fault")
    need = _count(before[-1])
    if need is None or need == 0:
        return no_data(CLOCK, workload, "no target was known to be up just before the fault")
    # The median, since a missed scrape makes single distances twice as long.
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
    """Describe the first gap before the recovery: a failed query, no number, or two samples too far apart."""
    for earlier, sample in pairwise(samples):
        if earlier.at > end:
            return None
        if _count(sample) is None:
            return sample.error or "a sample is not a number"
        # As GAP in harness.probes.prometheus.health: one scrape may be late.
        if sample.at - earlier.at > 2.5 * every:
            distance = show_seconds(sample.at - earlier.at)
            return f"{distance} between two samples, with a scrape interval of {show_seconds(every)}"
    return None


def _count(sample: Observation) -> float | None:
    value = sample.value
    if sample.error is not None or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
