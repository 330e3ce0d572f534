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
from itertools import pairwise
from statistics import median
from typing import Final

from harness.model.quantities import show_seconds
from harness.model.timeline import RECOVERY, Interval, ProbeStream, RequestSample, Timeline
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


def outages(requests: Sequence[RequestSample], after: float, in_a_row: int = GOOD_IN_A_ROW) -> list[Outage]:
    """Return the outages shown by failed requests at or after the instant ``after``, in order of time."""
    sent = _sent(requests, after)
    found: list[Outage] = []
    failures: list[int] = []
    for index, request in enumerate(sent):
        if request.ok:
            continue
        if failures and index - failures[-1] > in_a_row:
            found.append(_outage(sent, failures, after, in_a_row))
            failures = []
        failures.append(index)
    if failures:
        found.append(_outage(sent, failures, after, in_a_row))
    return found


def _streams_of(timeline: Timeline, workload: str, origin: Origin) -> list[ProbeStream]:
    services = services_of(timeline, workload, origin)
    # If the Service of a stream or those of the workload are unknown, the stream is still of this experiment.
    return [stream for stream in timeline.probes if stream.service in {*services, ""} or not services]


# The last request before a silence, and the first one after it.
_Silence = tuple[RequestSample, RequestSample]


@dataclass(frozen=True, slots=True)
class _Source:
    """A source of requests: the subject of its recovery, their noun, and how many good ones in a row are a recovery."""

    subject: str
    noun: str
    requests: Sequence[RequestSample]
    in_a_row: int


def _recovery(timeline: Timeline, origin: Origin, source: _Source) -> Recovery:
    start, subject, noun = origin.disrupted.low, source.subject, source.noun
    sent = _sent(source.requests, start)
    later = [request for request in sent if request.started >= start]
    if len(later) < 2:
        return no_data(CLOCK, subject, f"no {noun} were sent after the fault")
    found = outages(sent, start, source.in_a_row)
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
    quiet = min(recovery.end, origin.until) - later[-1].started if recovery else 0.0
    if _is_silence(quiet, [after.started - before.started for before, after in pairwise(later[-2 * AROUND :])]):
        reason = f"none of the {noun} failed, but the last one was sent {show_seconds(quiet)} before the end"
        return no_data(CLOCK, subject, reason)
    return not_disrupted(CLOCK, subject, _blind(later, start), f"none of {len(later)} {noun} failed")


def _silences(sent: Sequence[RequestSample]) -> list[_Silence]:
    gaps = [after.started - before.started for before, after in pairwise(sent)]
    return [
        (sent[index], sent[index + 1])
        for index, gap in enumerate(gaps)
        if _is_silence(gap, gaps[max(0, index - AROUND) : index + AROUND + 1])
    ]


def _is_silence(gap: float, around: Sequence[float]) -> bool:
    return gap > SILENCE_SECONDS and gap > SILENCE * median(around)


def _apart(found: Sequence[Outage], silences: Sequence[_Silence], sent: Sequence[RequestSample]) -> list[Outage]:
    """Return the outages if the service was up during all silences: each is split at the silences in it."""
    split: list[Outage] = []
    failed = [request for request in sent if not request.ok]
    for outage in found:
        rest = outage
        for before, after in silences:
            if rest.sign <= before.started and after.started <= outage.ended.low:
                down = max(request.started for request in failed if request.started <= before.started)
                later = [request for request in failed if request.started >= after.started]
                split.append(replace(rest, ended=Interval(down, down), likely=None))
                began = Interval(down, min(request.finished for request in later))
                rest = replace(rest, began=began, sign=later[0].started)
        split.append(rest)
    return split


def _with_hidden(found: Sequence[Outage], silences: Sequence[_Silence], origin: Origin) -> list[Outage]:
    """Return the outages if the service was down during all silences."""
    hidden: list[Outage] = []
    for before, after in silences:
        within = any(outage.sign <= before.started and after.started <= outage.ended.low for outage in found)
        if not before.ok or within or before.started < found[0].sign:
            continue
        gone = Interval(before.started, after.finished)
        # An outage that may have started in the settle phase belongs to the fault, like any outage seen there.
        sign = after.started if after.started >= origin.settling else before.started
        hidden.append(Outage(gone, gone, sign))
    return sorted([*found, *hidden], key=lambda outage: outage.began.low)


def _sent(requests: Sequence[RequestSample], after: float) -> list[RequestSample]:
    """Sort the requests by start, without failures that ended before ``after``: the fault did not cause those."""
    return sorted(
        (request for request in requests if request.ok or request.finished >= after),
        key=lambda request: request.started,
    )


def _outage(sent: Sequence[RequestSample], failures: Sequence[int], after: float, in_a_row: int) -> Outage:
    first, last = failures[0], failures[-1]
    good = sent[last + 1 : last + 1 + in_a_row]
    whole = len(good) == in_a_row
    back = min(request.finished for request in good) if whole else math.inf
    # Requests overlap: a later one may fail before the first one does, and the service may be back before a timeout.
    failed = min(back, *(sent[index].finished for index in failures))
    good_before = sent[first - 1].started if first else after
    began = Interval(min(max(good_before, after), failed), failed)
    ended = Interval(sent[last].started, back)
    likely = Interval(_likely_start(sent, first, began), _likely_end(sent, first, last, ended)) if whole else None
    return Outage(began, ended, sent[first].started, likely)


def _likely_start(sent: Sequence[RequestSample], first: int, began: Interval) -> float:
    """Return the most likely start: halfway between the last good start and the first failed one."""
    return min(began.high, max(began.low, (began.low + sent[first].started) / 2))


def _likely_end(sent: Sequence[RequestSample], first: int, last: int, ended: Interval) -> float:
    """Return the most likely end of an outage.

    It is halfway between the start of the last request that failed or had to wait, and the time when the service must
    have started to process the first good one: its end minus the usual duration, but not before its start.
    """
    good = [request for request in sent[last + 1 :] if request.ok and request.started <= ended.high]
    before = [request for request in sent[max(0, first - 100) : first] if request.ok] or good
    usual = median(request.finished - request.started for request in before)
    served = min(max(request.started, request.finished - usual) for request in good)
    patience = max(WAITED * usual, usual + WAITED_SECONDS)
    waited = [r.started for r in good if r.finished - r.started > patience and r.started < served]
    return min(ended.high, max(ended.low, (max([ended.low, *waited]) + max(ended.low, served)) / 2))


def _blind(good: Sequence[RequestSample], start: float) -> float:
    """Return the longest outage that could have gone unnoticed between good requests, in seconds.

    It lasts from the start of a request to the end of the next one, since that one may have waited for the service.
    """
    room = [after.finished - before.started for before, after in pairwise(good)]
    return max(good[0].finished - start, *room)
