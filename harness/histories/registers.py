"""Anomalies of registers that need no search: each value is written once, so every read names the write that it saw.

The names are those of Adya, "Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed
Transactions", MIT, 1999, and of Terry et al., "Session Guarantees for Weakly Consistent Replicated Data", PDIS 1994,
for single registers. That such a comparison in real time is right for unique values is due to Gibbons and Korach,
"Testing Shared Memories", SIAM Journal on Computing 26(4), 1997. Only what is certain counts: operations that overlap
have no order.

``lost write``          the last read of the key, invoked after a write was acknowledged, saw an older value
``stale read``          a read saw a value that another write had replaced before the read was invoked
``non-monotonic read``  a client read a value, and afterwards an older one
``dirty read``          a read saw a value that nobody wrote, whose write failed, or that was written only later
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from harness.histories.anomaly import Anomalies, AnomalyKind
from harness.histories.linearizability import Step
from harness.model.history import CAS, FAILED, OK, READ, History
from harness.model.operation import NOTHING


@dataclass(frozen=True, slots=True)
class Write:
    """A write or swap. It took effect after ``invoked`` and before ``done``, when it was acknowledged or first seen.

    ``acknowledged`` is infinite without an acknowledgement.
    """

    invoked: float
    done: float
    acknowledged: float
    number: int


_BEFORE_ALL = Write(-math.inf, -math.inf, math.inf, number=-1)


class RegisterCheck:
    """The check of one key, whose steps are in the order of their invocations.

    Values that were written more than once are left out: nothing shows which of the writes was read.
    """

    def __init__(self, history: History, key: str, steps: Sequence[Step]) -> None:
        self._history, self._key, self._steps = history, key, steps
        self._writes, self._ambiguous = _writes(steps)
        done = (write for write in self._writes.values() if write.done < math.inf)
        self._ordered = sorted(done, key=lambda write: write.done)
        self._ends = [write.done for write in self._ordered]
        # Of all writes that were done until then, the one that was invoked last: any older value is stale.
        self._newest = list(accumulate(self._ordered, _later))

    def add_to(self, found: Anomalies) -> None:
        """Add the anomalies."""
        session: dict[int, tuple[Write, int]] = {}
        last: tuple[Step, Write] | None = None
        for step in self._steps:
            write = self._seen_by(step, found)
            if write is None:
                continue
            self._add_stale(step, write, found)
            if step.kind == READ:
                client = int(self._history.client[step.number])
                earlier = session.get(client)
                if earlier and write.done < earlier[0].invoked:
                    self._add("non-monotonic read", found, write.number, earlier[1], step.number)
                session[client] = write, step.number
                last = step, write
        if last:
            step, write = last
            for other in self._ordered:
                if other.acknowledged < step.invoked and other.invoked > write.done:
                    self._add("lost write", found, other.number, step.number)

    def _seen_by(self, step: Step, found: Anomalies) -> Write | None:
        """Return the write that a step saw, or None if it saw none, or that is not known."""
        if step.outcome != OK or step.kind not in (READ, CAS):
            return None
        value = step.value if step.kind == READ else step.expected
        if value in self._ambiguous:
            return None
        write = _BEFORE_ALL if value == NOTHING else self._writes.get(value)
        if write is not None and write.invoked <= step.completed:
            return write
        self._add("dirty read", found, -1 if write is None else write.number, step.number)
        return None

    def _add_stale(self, step: Step, write: Write, found: Anomalies) -> None:
        before = bisect_left(self._ends, step.invoked)
        if before and self._newest[before - 1].invoked > write.done:
            self._add("stale read", found, write.number, self._newest[before - 1].number, step.number)

    def _add(self, kind: AnomalyKind, found: Anomalies, *numbers: int) -> None:
        found.add(kind, self._key, lambda: [self._history[number] for number in numbers if number >= 0])


def _later(one: Write, other: Write) -> Write:
    return other if other.invoked > one.invoked else one


def _writes(steps: Sequence[Step]) -> tuple[dict[int, Write], set[int]]:
    """Return the writes that may have had an effect by their value, and the values with more than one."""
    seen: dict[int, float] = {}
    for step in steps:
        if step.outcome == OK and step.kind in (READ, CAS):
            value = step.value if step.kind == READ else step.expected
            seen[value] = min(seen.get(value, math.inf), step.completed)
    writes: dict[int, Write] = {}
    ambiguous: set[int] = set()
    for step in steps:
        if step.kind == READ or step.outcome == FAILED:
            continue
        if step.value in writes:
            ambiguous.add(step.value)
        acknowledged = step.completed if step.outcome == OK else math.inf
        done = min(acknowledged, seen.get(step.value, math.inf))
        writes[step.value] = Write(step.invoked, done, acknowledged, step.number)
    for value in ambiguous:
        del writes[value]
    return writes, ambiguous
