"""What the clocks say of outages whose truth is known. Pure: from a timeline and truths to errors.

Each outage is measured as a run measures its fault: the true beginning stands for the disrupting call, and the clock
under test sees only what was seen from the outage before it up to the one after it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Literal

from harness.accuracy import ClockError
from harness.calibration.truth import Truth
from harness.observation import Injection, Interval, ProbeStream, Timeline
from harness.recovery import ClockName, in_a_row, outages, recoveries
from harness.statistics import percentile

# What a row of the table is about: the recovery as a clock saw it, or the user's outage from end to end.
ROWS = ("user", "user, whole outage", "endpoints", "control plane")
# Seconds after the end of an outage in which its clocks must have seen it.
AFTER = 2.0
# Bounds that no length lies within.
NOTHING = Interval(float("inf"), float("-inf"))


@dataclass(frozen=True, slots=True)
class Sample:
    """One outage as one clock measured it. ``low`` and ``high`` bound its length, ``likely`` is the likeliest; None
    where the clock saw no outage, or no end of it."""

    row: str
    truth: Truth
    low: float
    high: float
    likely: float | None

    @property
    def error(self) -> float | None:
        """What was measured less the truth, in seconds."""
        return None if self.likely is None else self.likely - self.truth.seconds

    @property
    def covered(self) -> bool:
        """Whether the truth lies within the bounds, as far as it is known itself."""
        return self.low - self.truth.doubt <= self.truth.seconds <= self.high + self.truth.doubt


def of_probes(stream: ProbeStream, truths: Sequence[Truth]) -> list[Sample]:
    """The user's clock on one stream of probes, against the outages of its target; all on one axis."""
    samples = []
    for truth, begin, end in _apart(truths):
        seen = replace(stream, seen=[probe for probe in stream.seen if begin <= probe.started and probe.finished < end])
        samples.append(_recovery("user", truth, Timeline(0.0, 0.0, probes=[seen])))
        samples.append(_whole(truth, seen))
    return samples


def of_watch(
    timeline: Timeline, clock: Literal["control plane", "endpoints"], name: str, truths: Sequence[Truth]
) -> list[Sample]:
    """A clock that watches, on one switch's pod or endpoint, against the switch's own changes."""
    if clock == "endpoints":
        seen = timeline.observations("endpoints", name)
    else:
        seen = [one for one in timeline.observations("pods") if (one.value or {}).get("owner") == f"deployment/{name}"]
    samples = []
    for truth, begin, end in _apart(truths):
        part = Timeline(0.0, timeline.wall_origin)
        # The state in force when the span begins, and every change within it.
        for one in [*[one for one in seen if one.at < begin][-1:], *(one for one in seen if begin <= one.at < end)]:
            part.add(one)
        samples.append(_recovery(clock, truth, part, name))
    return samples


def errors(samples: Iterable[Sample]) -> list[ClockError]:
    """The table: one entry for each row that has samples."""
    found = list(samples)
    return [_error(row, of_row) for row in ROWS if (of_row := [sample for sample in found if sample.row == row])]


def _apart(truths: Sequence[Truth]) -> list[tuple[Truth, float, float]]:
    """Each truth with the span that is its own: from halfway after the last outage to just before the next one, or so
    long after its end that nothing of it can be left."""
    ordered = sorted(truths, key=lambda truth: truth.start)
    begins = [
        float("-inf"),
        *((before.ended.high + after.began.low) / 2 for before, after in pairwise(ordered)),
    ]
    ends = [
        min(truth.ended.high + AFTER, following)
        for truth, following in zip(ordered, [*(one.began.low for one in ordered[1:]), float("inf")], strict=True)
    ]
    return list(zip(ordered, begins, ends, strict=True))


def _recovery(clock: ClockName, truth: Truth, timeline: Timeline, name: str = "target") -> Sample:
    timeline.injections.append(Injection("calibration", (), truth.began, proven=True))
    (found,) = recoveries(timeline, f"deployment/{name}", services=[name], clocks=[clock])
    length = found.length or NOTHING
    return Sample(clock, truth, length.low, length.high, found.likely)


def _whole(truth: Truth, stream: ProbeStream) -> Sample:
    """The outage from end to end, with no knowledge of when it was begun."""
    found = outages(stream.seen, float("-inf"), in_a_row(stream.period))
    mine = [
        one
        for one in found
        # Without a good probe before it nobody knows when it began.
        if one.over and one.likely and math.isfinite(one.likely.low)
        if one.ended.high > truth.began.low and one.began.low < truth.ended.high
    ]
    if not mine:
        return Sample("user, whole outage", truth, NOTHING.low, NOTHING.high, None)
    began, ended = mine[0], mine[-1]
    assert began.likely is not None
    assert ended.likely is not None
    length = Interval(max(0.0, ended.ended.low - began.began.high), ended.ended.high - began.began.low)
    return Sample("user, whole outage", truth, length.low, length.high, ended.likely.high - began.likely.low)


def _error(row: str, samples: Sequence[Sample]) -> ClockError:
    signed = sorted(sample.error for sample in samples if sample.error is not None)
    absolute = sorted(abs(error) for error in signed)
    lengths = [sample.truth.seconds for sample in samples]
    return ClockError(
        clock=row,
        samples=len(samples),
        missed=len(samples) - len(signed),
        bias=median(signed) if signed else 0.0,
        # A clock that saw none of them erred by as much as they were long.
        typical=median(absolute) if absolute else median(lengths),
        spread=percentile(signed, 0.95) - percentile(signed, 0.05) if signed else 0.0,
        worst=absolute[-1] if absolute else max(lengths),
        coverage=sum(sample.covered for sample in samples) / len(samples),
        shortest=min(lengths),
        longest=max(lengths),
    )
