"""The users' clock: what the requests of the load saw. The truth that the other clocks are held against.

An outage runs from the last good request before the first failure to the first of ten good ones in a row after the last
failure. Its ends are bounded by what the requests prove: a failed one that the service was down at some time after it
was sent, a good one that it was up at some time before it was answered. The error is therefore at most one period of
the load plus the time that the requests in question took (for a failed one, at most its time-out).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

from harness.observation import RECOVERY, Interval, RequestSeen, Timeline
from harness.quantities import show_seconds
from harness.recovery.outage import Origin, Outage, Recovery, conclude, no_data, not_disrupted

CLOCK: Final = "user"
GOOD_IN_A_ROW = 10


def user(timeline: Timeline, workload: str, origin: Origin) -> Recovery:
    """The recovery as the load saw it."""
    start = origin.disrupted.low
    sent = _sent(timeline.requests, start)
    later = [request for request in sent if request.started >= start]
    if len(later) < 2:
        return no_data(CLOCK, workload, "no requests were sent after the fault")
    found = outages(sent, start)
    if found:
        return conclude(CLOCK, workload, found, origin)
    recovery = timeline.phase(RECOVERY)
    quiet = min(recovery.end, origin.until) - later[-1].started if recovery else 0.0
    period = median(after.started - before.started for before, after in pairwise(later))
    # The last arrivals of a run may still be under way when it is read: only a silence beyond doubt counts.
    if quiet > max(1.0, 10 * period):
        reason = f"no request failed, but the last one was sent {show_seconds(quiet)} before the end"
        return no_data(CLOCK, workload, reason)
    return not_disrupted(CLOCK, workload, _blind(later, start), f"none of {len(later)} requests failed")


def outages(requests: Sequence[RequestSeen], after: float, in_a_row: int = GOOD_IN_A_ROW) -> list[Outage]:
    """The outages that failed requests show, of failures at or after the instant ``after``, in order of time.

    Requests count in the order in which they were sent: in the order of their ends, the time-outs of an outage would
    fall among the good ones that came after it.
    """
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


def _sent(requests: Sequence[RequestSeen], after: float) -> list[RequestSeen]:
    """In the order of sending, without the failures that ended before ``after``: those are not the fault's."""
    return sorted(
        (request for request in requests if request.ok or request.finished >= after),
        key=lambda request: request.started,
    )


def _outage(sent: Sequence[RequestSeen], failures: Sequence[int], after: float, in_a_row: int) -> Outage:
    first, last = failures[0], failures[-1]
    good = sent[last + 1 : last + 1 + in_a_row]
    back = min(request.finished for request in good) if len(good) == in_a_row else math.inf
    # Requests overlap: a later one may fail before the first does, and the service be back before a time-out is over.
    failed = min(back, *(sent[index].finished for index in failures))
    good_before = sent[first - 1].started if first else after
    began = Interval(min(max(good_before, after), failed), failed)
    return Outage(began, Interval(sent[last].started, back), sent[first].started)


def _blind(good: Sequence[RequestSeen], start: float) -> float:
    """The longest outage that good requests leave room for: from the sending of one to the answer of the next, since
    the next may have waited the outage out."""
    room = [after.finished - before.started for before, after in pairwise(good)]
    return max(good[0].finished - start, *room)
