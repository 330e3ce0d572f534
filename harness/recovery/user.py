"""The users' clock: what probes saw, or the requests of the load where nothing is probed. The truth that counts.

An outage runs from the last good request before the first failure to the first of several good ones in a row after the
last failure. Let the service be down from D until U. What bounds both is what single requests prove, each sent at s and
ended at f:

* a failed one proves that the service was down at some time within [s, f], since one that is up throughout answers:
  so D ≤ f, and U ≥ s (a request may have failed for what happened before its end, so f bounds U not from below);
* a good one proves that it was up at some time within [s, f]: one from before the outage that D ≥ s, one from after it
  that U ≤ f.

Hence D lies from the latest start of a good request before the first failure to the earliest end of a failed one, and U
from the latest start of a failed request to the earliest end of a good one after it. Whether a good request is from
before or after is told by the order of sending: in the order of ends, the time-outs of an outage would fall among the
good ones after it. With refused connections both are one period wide; where requests are swallowed, one time-out more.

All this takes for granted that requests were sent all the time. Where none were, or what became of them is lost, the
service may have been up between two failed ones, and down between two good ones. So a silence within an outage may be
two outages, of which the later is perhaps no longer the fault's; one after it may hide another. Both widen the bounds.

Within these bounds, D most likely lies halfway between the two starts around it. So does U, save where good requests
waited for it: those were sent before it, and answered right after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Final

from harness.observation import RECOVERY, Interval, ProbeStream, RequestSeen, Timeline
from harness.quantities import show_seconds
from harness.recovery.endpoints import services_of
from harness.recovery.outage import Origin, Outage, Recovery, conclude, no_data, not_disrupted

CLOCK: Final = "user"
GOOD_IN_A_ROW = 10
# Slow probes cannot wait for ten good answers: half a second's worth is enough of a recovery, and never less than this.
LEAST_IN_A_ROW = 3
# What took this many times as long as usual, and as many seconds longer, has waited for the service.
WAITED, WAITED_SECONDS = 3.0, 0.005
# The last arrivals of a run may still be under way when it is read: only a silence beyond doubt counts, which is this
# many times as long as the gaps around it, and as many seconds. Around it, since a load may slow down on purpose.
SILENCE, SILENCE_SECONDS, AROUND = 10.0, 1.0, 6


def user(timeline: Timeline, workload: str, origin: Origin) -> list[Recovery]:
    """The recovery as each stream of probes of the workload's Services saw it; as the load did where there is none."""
    streams = _streams_of(timeline, workload, origin)
    if not streams:
        return [_as_seen(timeline, origin, _Witness(workload, "requests", timeline.requests, GOOD_IN_A_ROW))]
    return [
        _as_seen(
            timeline,
            origin,
            _Witness(f"{workload} by {stream.name}", "probes", stream.seen, in_a_row(stream.period)),
        )
        for stream in streams
    ]


def in_a_row(period: float) -> int:
    """How many good probes in a row are a recovery."""
    return min(GOOD_IN_A_ROW, max(LEAST_IN_A_ROW, round(0.5 / period)))


def outages(requests: Sequence[RequestSeen], after: float, in_a_row: int = GOOD_IN_A_ROW) -> list[Outage]:
    """The outages that failed requests show, of failures at or after the instant ``after``, in order of time."""
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
    # Where nobody saw which Services are in front of it, every stream was declared to matter.
    return [stream for stream in timeline.probes if stream.service in services or not services]


# The last request before a while in which none was sent, and the first after it.
_Silence = tuple[RequestSeen, RequestSeen]


@dataclass(frozen=True, slots=True)
class _Witness:
    """Whose requests are asked: what the recovery is called, what the requests are, and how many are a recovery."""

    subject: str
    noun: str
    requests: Sequence[RequestSeen]
    in_a_row: int


def _as_seen(timeline: Timeline, origin: Origin, witness: _Witness) -> Recovery:
    start, subject, noun = origin.disrupted.low, witness.subject, witness.noun
    sent = _sent(witness.requests, start)
    later = [request for request in sent if request.started >= start]
    if len(later) < 2:
        return no_data(CLOCK, subject, f"no {noun} were sent after the fault")
    found = outages(sent, start, witness.in_a_row)
    if found:
        silences = _silences(later)
        least, most = _apart(found, silences, later), _with_hidden(found, silences, origin)
        return conclude(CLOCK, subject, found, origin, least=least, most=most)
    recovery = timeline.phase(RECOVERY)
    quiet = min(recovery.end, origin.until) - later[-1].started if recovery else 0.0
    if _is_silence(quiet, [after.started - before.started for before, after in pairwise(later[-2 * AROUND :])]):
        reason = f"none of the {noun} failed, but the last one was sent {show_seconds(quiet)} before the end"
        return no_data(CLOCK, subject, reason)
    return not_disrupted(CLOCK, subject, _blind(later, start), f"none of {len(later)} {noun} failed")


def _silences(sent: Sequence[RequestSeen]) -> list[_Silence]:
    gaps = [after.started - before.started for before, after in pairwise(sent)]
    return [
        (sent[index], sent[index + 1])
        for index, gap in enumerate(gaps)
        if _is_silence(gap, gaps[max(0, index - AROUND) : index + AROUND + 1])
    ]


def _is_silence(gap: float, around: Sequence[float]) -> bool:
    return gap > SILENCE_SECONDS and gap > SILENCE * median(around)


def _apart(found: Sequence[Outage], silences: Sequence[_Silence], sent: Sequence[RequestSeen]) -> list[Outage]:
    """The outages if the service was up whenever nothing was sent: each is split by the silences in it."""
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
    """The outages if the service was down whenever nothing was sent."""
    hidden: list[Outage] = []
    for before, after in silences:
        within = any(outage.sign <= before.started and after.started <= outage.ended.low for outage in found)
        if not before.ok or within or before.started < found[0].sign:
            continue
        gone = Interval(before.started, after.finished)
        # One that may have begun in the settle phase belongs to the fault like any that is seen there.
        sign = after.started if after.started >= origin.settling else before.started
        hidden.append(Outage(gone, gone, sign))
    return sorted([*found, *hidden], key=lambda outage: outage.began.low)


def _sent(requests: Sequence[RequestSeen], after: float) -> list[RequestSeen]:
    """In the order of sending, without the failures that ended before ``after``: those are not the fault's."""
    return sorted(
        (request for request in requests if request.ok or request.finished >= after),
        key=lambda request: request.started,
    )


def _outage(sent: Sequence[RequestSeen], failures: Sequence[int], after: float, in_a_row: int) -> Outage:
    first, last = failures[0], failures[-1]
    good = sent[last + 1 : last + 1 + in_a_row]
    whole = len(good) == in_a_row
    back = min(request.finished for request in good) if whole else math.inf
    # Requests overlap: a later one may fail before the first does, and the service be back before a time-out is over.
    failed = min(back, *(sent[index].finished for index in failures))
    good_before = sent[first - 1].started if first else after
    began = Interval(min(max(good_before, after), failed), failed)
    ended = Interval(sent[last].started, back)
    likely = Interval(_gone(sent, first, began), _back(sent, first, last, ended)) if whole else None
    return Outage(began, ended, sent[first].started, likely)


def _gone(sent: Sequence[RequestSeen], first: int, began: Interval) -> float:
    """When it most likely went: halfway from the last good start to the first failed one."""
    return min(began.high, max(began.low, (began.low + sent[first].started) / 2))


def _back(sent: Sequence[RequestSeen], first: int, last: int, ended: Interval) -> float:
    """When it most likely was back: between the last request that did not get through or had to wait, and the first
    moment that an answer needed it, which is as long before its end as answers usually take, but after its start."""
    good = [request for request in sent[last + 1 :] if request.ok and request.started <= ended.high]
    before = [request for request in sent[max(0, first - 100) : first] if request.ok] or good
    usual = median(request.finished - request.started for request in before)
    served = min(max(request.started, request.finished - usual) for request in good)
    patience = max(WAITED * usual, usual + WAITED_SECONDS)
    waited = [r.started for r in good if r.finished - r.started > patience and r.started < served]
    return min(ended.high, max(ended.low, (max([ended.low, *waited]) + max(ended.low, served)) / 2))


def _blind(good: Sequence[RequestSeen], start: float) -> float:
    """The longest outage that good requests leave room for: from the sending of one to the answer of the next, since
    the next may have waited the outage out."""
    room = [after.finished - before.started for before, after in pairwise(good)]
    return max(good[0].finished - start, *room)
