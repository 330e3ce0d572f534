"""The user clock: outages seen by the probes or, without a prober, by the requests of the load.

An outage lasts from the last good request before the first failure to the first of several good ones in a row after the
last failure. Let the service be down from D until U. Each request, sent at s and finished at f, gives bounds:

* a failed request proves that the service was down at some time in [s, f], since a service that is up would answer.
  So D ≤ f and U ≥ s. (f is not a lower bound of U: the cause of the failure may have ended before f.)
* a good request proves that the service was up at some time in [s, f]: before the outage D ≥ s, after it U ≤ f.

So D is between the latest start of a good request before the first failure and the earliest end of a failed one, and U
is between the latest start of a failed request and the earliest end of a good one after it. Before and after refer to
the order of sending: in the order of ends, the timeouts of an outage would be among the good requests after it. With
refused connections both bounds are one period wide, with dropped packets one timeout more.

This assumes that requests were sent all the time. During a silence (no requests were sent, or their results were lost)
the service may have been up between two failed requests, or down between two good ones. So an outage with a silence in
it may be two outages, and the later one may not belong to the fault; a silence after an outage may hide another one.
Both widen the bounds, and so do a few failures among many good requests at the end of an outage (``strays``).

The most likely D is halfway between the two starts around it. So is U, unless good requests waited for it: they were
sent before U and answered right after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import numpy as np

from harness.model.phase_names import RECOVERY
from harness.model.quantities import show_seconds
from harness.model.request_store import Floats, Indexes
from harness.model.requests import Requests
from harness.model.timeline import Interval, ProbeStream, Timeline
from harness.objectives.recovery.endpoints import services_of
from harness.objectives.recovery.outage import (
    Origin,
    Outage,
    Recovery,
    Since,
    conclude,
    no_data,
    not_disrupted,
    origin_of,
)
from harness.objectives.recovery.sent import Sent
from harness.objectives.recovery.strays import back_at_least_since

CLOCK: Final = "user"
_DOWN = ("recovered", "not recovered")
GOOD_IN_A_ROW = 10
# With slow probes ten good responses would take too long: the number of probes in half a second is enough, at least 3.
LEAST_IN_A_ROW = 3
# A request has waited for the service if it took this many times as long as usual, and at least this much longer.
WAITED, WAITED_SECONDS = 3.0, 0.005
# A silence is a gap of more than SILENCE_SECONDS that is SILENCE times as long as the median of the AROUND gaps on each
# side. The threshold is high since the last arrivals may still be in flight, and local since a load may slow down.
SILENCE, SILENCE_SECONDS, AROUND = 10.0, 1.0, 6


def user(timeline: Timeline, workload: str, origin: Origin) -> list[Recovery]:
    """Return the recovery seen by each stream of probes of the workload's Services; without any, that of the load."""
    streams = _streams_of(timeline, workload, origin)
    if not streams:
        return [_by_load(timeline, workload, origin)]
    return [_by_probes(timeline, workload, origin, stream) for stream in streams]


def disagreement(timeline: Timeline, workload: str, since: Since) -> str:
    """Describe a contradiction: only one of load and prober saw an outage. Empty without one, or without data.

    They may use different paths: an application that is not ready for its probes may still serve its users.
    """
    origin = origin_of(timeline, since)
    if isinstance(origin, str):
        return ""
    probed = [_by_probes(timeline, workload, origin, stream) for stream in _streams_of(timeline, workload, origin)]
    load = _by_load(timeline, workload, origin)
    down = [clock for clock in probed if clock.state in _DOWN]
    if down and load.state == "not disrupted":
        return f"the prober saw an outage ({_reasons(down)}), but the load did not ({load.reason})"
    if load.state in _DOWN and probed and all(clock.state == "not disrupted" for clock in probed):
        return f"the load saw an outage ({load.reason}), but the prober did not ({_reasons(probed)})"
    return ""


def _reasons(clocks: Sequence[Recovery]) -> str:
    return "; ".join(f"{clock.subject}: {clock.reason}" for clock in clocks)


def _by_load(timeline: Timeline, workload: str, origin: Origin) -> Recovery:
    return _recovery(timeline, origin, _Source(workload, "requests", timeline.requests, GOOD_IN_A_ROW))


def _by_probes(timeline: Timeline, workload: str, origin: Origin, stream: ProbeStream) -> Recovery:
    subject = f"{workload} by {stream.name}"
    return _recovery(timeline, origin, _Source(subject, "probes", stream.seen, in_a_row(stream.period)))


def in_a_row(period: float) -> int:
    """Return how many good probes in a row are a recovery; ``period`` is in seconds."""
    return min(GOOD_IN_A_ROW, max(LEAST_IN_A_ROW, round(0.5 / period)))


def outages(requests: Requests, after: float, in_a_row: int = GOOD_IN_A_ROW) -> list[Outage]:
    """Return the outages shown by failed requests at or after the instant ``after``, in order of time."""
    return _outages(Sent.of(requests, after), after, in_a_row)


def _outages(sent: Sent, after: float, in_a_row: int) -> list[Outage]:
    failed = sent.failed
    groups = np.split(failed, np.flatnonzero(np.diff(failed) > in_a_row) + 1) if len(failed) else []
    return [_outage(sent, failures, after, in_a_row) for failures in groups]


def _streams_of(timeline: Timeline, workload: str, origin: Origin) -> list[ProbeStream]:
    services = services_of(timeline, workload, origin)
    # If the Service of a stream or those of the workload are unknown, the stream is still of this experiment.
    return [stream for stream in timeline.probes if stream.service in {*services, ""} or not services]


@dataclass(frozen=True, slots=True)
class _Silence:
    """A gap in the requests: when the last one before it started, and whether it was good; the times of the next."""

    start: float
    good: bool
    end: float
    answered: float


@dataclass(frozen=True, slots=True)
class _Source:
    """A source of requests: the subject of its recovery, their noun, and how many good ones in a row are a recovery."""

    subject: str
    noun: str
    requests: Requests
    in_a_row: int


def _recovery(timeline: Timeline, origin: Origin, source: _Source) -> Recovery:
    start, subject, noun = origin.disrupted.low, source.subject, source.noun
    sent = Sent.of(source.requests, start)
    later = sent.since(start)
    if len(later) < 2:
        return no_data(CLOCK, subject, f"no {noun} were sent after the fault")
    found = _outages(sent, start, source.in_a_row)
    if found:
        silences = _silences(later)
        least, most = _apart(found, silences, later), _with_hidden(found, silences, origin)
        return conclude(
            CLOCK,
            subject,
            found,
            origin,
            least=least,
            most=most,
            since=lambda outage: back_at_least_since(sent, outage.ended.low, source.in_a_row),
        )
    recovery = timeline.phase(RECOVERY)
    quiet = min(recovery.end, origin.until) - float(later.started[-1]) if recovery else 0.0
    if _is_silence(quiet, np.diff(later.started[-2 * AROUND :])):
        reason = f"none of the {noun} failed, but the last one was sent {show_seconds(quiet)} before the end"
        return no_data(CLOCK, subject, reason)
    return not_disrupted(CLOCK, subject, _blind(later, start), f"none of {len(later)} {noun} failed")


def _silences(sent: Sent) -> list[_Silence]:
    gaps = np.diff(sent.started)
    long = np.flatnonzero(gaps > SILENCE_SECONDS).tolist()
    return [
        _Silence(
            float(sent.started[index]),
            bool(sent.ok[index]),
            float(sent.started[index + 1]),
            float(sent.finished[index + 1]),
        )
        for index in long
        if _is_silence(float(gaps[index]), gaps[max(0, index - AROUND) : index + AROUND + 1])
    ]


def _is_silence(gap: float, around: Floats) -> bool:
    return gap > SILENCE_SECONDS and gap > SILENCE * median(around.tolist())


def _apart(found: Sequence[Outage], silences: Sequence[_Silence], sent: Sent) -> list[Outage]:
    """Return the outages if the service was up during all silences: each is split at the silences in it."""
    split: list[Outage] = []
    failed = sent.failed
    started, finished = sent.started[failed], sent.finished[failed]
    for outage in found:
        rest = outage
        for silence in silences:
            if rest.sign <= silence.start and silence.end <= outage.ended.low:
                down = float(started[np.searchsorted(started, silence.start, side="right") - 1])
                later = int(np.searchsorted(started, silence.end))
                split.append(replace(rest, ended=Interval(down, down), likely=None))
                began = Interval(down, float(finished[later:].min()))
                rest = replace(rest, began=began, sign=float(started[later]))
        split.append(rest)
    return split


def _with_hidden(found: Sequence[Outage], silences: Sequence[_Silence], origin: Origin) -> list[Outage]:
    """Return the outages if the service was down during all silences."""
    hidden: list[Outage] = []
    for silence in silences:
        within = any(outage.sign <= silence.start and silence.end <= outage.ended.low for outage in found)
        if not silence.good or within or silence.start < found[0].sign:
            continue
        gone = Interval(silence.start, silence.answered)
        # An outage that may have started in the settle phase belongs to the fault, like any outage seen there.
        sign = silence.end if silence.end >= origin.settling else silence.start
        hidden.append(Outage(gone, gone, sign))
    return sorted([*found, *hidden], key=lambda outage: outage.began.low)


def _outage(sent: Sent, failures: Indexes, after: float, in_a_row: int) -> Outage:
    first, last = int(failures[0]), int(failures[-1])
    good = sent.finished[last + 1 : last + 1 + in_a_row]
    whole = len(good) == in_a_row
    back = float(good.min()) if whole else math.inf
    # Requests overlap: a later one may fail before the first one does, and the service may be back before a timeout.
    failed = min(back, float(sent.finished[failures].min()))
    good_before = float(sent.started[first - 1]) if first else after
    began = Interval(min(max(good_before, after), failed), failed)
    ended = Interval(float(sent.started[last]), back)
    likely = Interval(_likely_start(sent, first, began), _likely_end(sent, first, last, ended)) if whole else None
    return Outage(began, ended, float(sent.started[first]), likely)


def _likely_start(sent: Sent, first: int, began: Interval) -> float:
    """Return the most likely start: halfway between the last good start and the first failed one."""
    return min(began.high, max(began.low, (began.low + float(sent.started[first])) / 2))


def _likely_end(sent: Sent, first: int, last: int, ended: Interval) -> float:
    """Return the most likely end of an outage.

    It is halfway between the start of the last request that failed or had to wait, and the time when the service must
    have started to process the first good one: its end minus the usual duration, but not before its start.
    """
    until = int(np.searchsorted(sent.started, ended.high, side="right"))
    good = _good(sent, last + 1, until)
    before = _good(sent, max(0, first - 100), first) or good
    usual = median(end - start for start, end in before)
    served = min(max(start, end - usual) for start, end in good)
    patience = max(WAITED * usual, usual + WAITED_SECONDS)
    waited = [start for start, end in good if end - start > patience and start < served]
    return min(ended.high, max(ended.low, (max([ended.low, *waited]) + max(ended.low, served)) / 2))


def _good(sent: Sent, first: int, end: int) -> list[tuple[float, float]]:
    """Return the start and the end of the good requests from an index on."""
    part = slice(first, end)
    ok = sent.ok[part]
    return list(zip(sent.started[part][ok].tolist(), sent.finished[part][ok].tolist(), strict=True))


def _blind(good: Sent, start: float) -> float:
    """Return the longest outage that could have gone unnoticed between good requests, in seconds.

    It lasts from the start of a request to the end of the next one, since that one may have waited for the service.
    """
    return max(float(good.finished[0]) - start, float((good.finished[1:] - good.started[:-1]).max()))
