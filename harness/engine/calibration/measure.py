"""Compute the errors of the recovery clocks from a timeline and the true outages. Pure functions.

Each outage is measured like the fault of a run: its true start takes the place of the disrupting call, and the clock
gets only the observations between the previous outage and the next one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Literal

from harness.engine.calibration.truth import Truth
from harness.model.clock_errors import ClockError
from harness.model.timeline import Injection, Interval, ProbeStream, Timeline
from harness.objectives.recovery import ClockName, in_a_row, outages, recoveries
from harness.objectives.recovery.sent import Sent
from harness.objectives.recovery.strays import back_at_least_since
from harness.stats.bounds import percentile

# The rows of the table: the recovery measured by each clock, and the complete outage measured by the prober.
ROWS = ("user", "user, whole outage", "endpoints", "control plane")
# Seconds after the end of an outage within which the clocks must have measured it.
AFTER = 2.0
# Empty bounds, which contain no length.
NOTHING = Interval(float("inf"), float("-inf"))


@dataclass(frozen=True, slots=True)
class Sample:
    """One outage measured by one clock. ``low`` and ``high`` are the bounds of its length in seconds; ``likely`` is the
    most likely length, None if the clock saw no outage or not its end."""

    row: str
    truth: Truth
    low: float
    high: float
    likely: float | None

    @property
    def error(self) -> float | None:
        """The measured length minus the true one, in seconds."""
        return None if self.likely is None else self.likely - self.truth.seconds

    @property
    def covered(self) -> bool:
        """Whether the true length is within the bounds, allowing for its own uncertainty."""
        return self.low - self.truth.doubt <= self.truth.seconds <= self.high + self.truth.doubt


def of_probes(stream: ProbeStream, truths: Sequence[Truth]) -> list[Sample]:
    """Return the samples of the user clock for one stream of probes and the true outages of its target."""
    samples = []
    for truth, begin, end in _spans(truths):
        within = (stream.seen.started >= begin) & (stream.seen.finished < end)
        seen = replace(stream, seen=stream.seen.where(within))
        samples.append(_recovery("user", truth, Timeline(0.0, 0.0, probes=[seen])))
        samples.append(_whole(truth, seen))
    return samples


def of_watch(
    timeline: Timeline, clock: Literal["control plane", "endpoints"], name: str, truths: Sequence[Truth]
) -> list[Sample]:
    """Return the samples of a clock that watches the API, for one switch's pod or endpoint and its true changes."""
    if clock == "endpoints":
        seen = timeline.observations("endpoints", name)
    else:
        seen = [one for one in timeline.observations("pods") if (one.value or {}).get("owner") == f"deployment/{name}"]
    samples = []
    for truth, begin, end in _spans(truths):
        part = Timeline(0.0, timeline.wall_origin)
        # The state at the start of the span, and every change within it.
        for one in [*[one for one in seen if one.at < begin][-1:], *(one for one in seen if begin <= one.at < end)]:
            part.add(one)
        samples.append(_recovery(clock, truth, part, name))
    return samples


def errors(samples: Iterable[Sample]) -> list[ClockError]:
    """Return the errors, one entry for each row of the table that has samples."""
    found = list(samples)
    return [_error(row, of_row) for row in ROWS if (of_row := [sample for sample in found if sample.row == row])]


def _spans(truths: Sequence[Truth]) -> list[tuple[Truth, float, float]]:
    """Return each truth with the span of the observations that belong to it.

    A span starts halfway after the previous outage and ends before the next one, at most AFTER seconds after the end.
    """
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
    """Measure the complete outage from the probes alone, without the true start."""
    found = outages(stream.seen, float("-inf"), in_a_row(stream.period))
    overlapping = [
        one
        for one in found
        # Without a successful probe before it the start of the outage is unknown.
        if one.over and one.likely and math.isfinite(one.likely.low)
        if one.ended.high > truth.began.low and one.began.low < truth.ended.high
    ]
    if not overlapping:
        return Sample("user, whole outage", truth, NOTHING.low, NOTHING.high, None)
    began, ended = overlapping[0], overlapping[-1]
    assert began.likely is not None
    assert ended.likely is not None
    back = min(ended.ended.low, back_at_least_since(Sent.of(stream.seen), ended.ended.low, in_a_row(stream.period)))
    length = Interval(max(0.0, back - began.began.high), ended.ended.high - began.began.low)
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
        # If a clock measured no outage, its error is their whole length.
        typical=median(absolute) if absolute else median(lengths),
        spread=percentile(signed, 0.95) - percentile(signed, 0.05) if signed else 0.0,
        worst=absolute[-1] if absolute else max(lengths),
        coverage=sum(sample.covered for sample in samples) / len(samples),
        shortest=min(lengths),
        longest=max(lengths),
    )
