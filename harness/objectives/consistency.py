"""Consistency: what clients read and wrote through the fault is what one correct copy of the data could have answered.

The check is in the manner of Jepsen (Kingsbury, jepsen.io; Kingsbury and Alvaro, "Elle", PVLDB 14(3), 2020): every
operation is recorded with its invocation, completion and outcome, and judged afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from harness.histories.anomaly import AnomalyKind
from harness.histories.check import Checked, check
from harness.model.finding import Finding
from harness.model.history import CAS, DEQUEUE, ENQUEUE, OK, READ, WRITE, History
from harness.model.quantities import counted, show_seconds
from harness.model.request_store import Floats
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Limit, LoadName
from harness.objectives._findings import combined, inconclusive
from harness.objectives.base import Objective

AllowedName = Literal["lostWrites", "staleReads", "nonMonotonicReads", "lostMessages", "duplicateMessages"]
_ALLOWED: Mapping[AllowedName, AnomalyKind] = {
    "lostWrites": "lost write",
    "staleReads": "stale read",
    "nonMonotonicReads": "non-monotonic read",
    "lostMessages": "lost message",
    "duplicateMessages": "duplicate message",
}
# The most telling first: a lost write also makes stale reads, and all of them make a history not linearizable.
_ORDER: tuple[AnomalyKind, ...] = (
    "lost write",
    "lost message",
    "duplicate message",
    "dirty read",
    "dirty message",
    "non-monotonic read",
    "stale read",
    "not linearizable",
)
# Those that do not concern the order of reads and writes on one register.
_OF_QUEUES = {"lost message", "duplicate message", "dirty message"}


class Consistency(Objective):
    """Each key is linearizable, and nothing acknowledged is lost: in registers, and in queues. Optionally also: no
    longer time ``withoutWrites`` or ``withoutReads`` that succeed.

    The load's behaviour must record its operations, as ``etcd_registers`` does. A history with fewer operations than
    were sent, without acknowledged writes before the fault or without reads after it is INCONCLUSIVE. The finding names
    the fewest operations that contradict each other.
    """

    kind: ClassVar[str] = "consistency"
    example: ClassVar[Mapping[str, Any]] = {"withoutWrites": "10s"}

    allows: tuple[AllowedName, ...] = Field(
        default=(),
        description="anomalies that the database does not promise to prevent; with one of registers, linearizability "
        "is not judged",
    )
    load: LoadName = ""
    without_writes: Limit | None = Field(
        default=None, description="the longest time without an acknowledged write from the first injection on"
    )
    without_reads: Limit | None = Field(
        default=None, description="the longest time without an answered read from the first injection on"
    )

    @property
    def title(self) -> str:
        of = f" (load {self.load})" if self.load else ""
        return f"consistent, apart from {', '.join(self.allows)}{of}" if self.allows else f"linearizable{of}"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # an order of operations has no phases
        timeline = timeline.of_load(self.load)
        histories = [history for history in timeline.histories.values() if len(history)]
        if timeline.load is None or not histories:
            return inconclusive("no operations were recorded: the load needs a behaviour that does, as etcd_registers")
        return combined([finding for history in histories for finding in self._findings(timeline, history)])

    def _findings(self, timeline: Timeline, history: History) -> Iterator[Finding]:
        if why := _incomplete(timeline, history):
            yield inconclusive(why)
            return
        yield self._anomalies(history)
        yield from self._gaps(timeline, history)

    def _anomalies(self, history: History) -> Finding:
        checked = check(history)
        allowed = {_ALLOWED[name] for name in self.allows}
        if allowed - _OF_QUEUES:
            allowed.add("not linearizable")
        counts = checked.anomalies.counts
        forbidden = [kind for kind in _ORDER if counts.get(kind) and kind not in allowed]
        detail = {"operations": str(len(history)), **_outcomes(history)}
        detail |= {f"{kind}, allowed": str(counts[kind]) for kind in _ORDER if counts.get(kind) and kind in allowed}
        if not forbidden and checked.undecided and "not linearizable" not in allowed:
            keys = ", ".join(checked.undecided[:3])
            return inconclusive(f"too many operations overlap on {counted(len(checked.undecided), 'key')}: {keys}")
        total = sum(counts[kind] for kind in forbidden)
        reason = f"{counted(len(history), 'operation')} without an anomaly"
        if forbidden:
            listed = ", ".join(f"{kind}: {counts[kind]}" for kind in forbidden)
            reason = f"{listed}; {checked.anomalies.examples(forbidden[0])[0]}"
            detail |= _examples(checked, forbidden)
        return Finding.exact(
            Verdict.BROKEN if forbidden else Verdict.HELD,
            reason,
            float(total),
            limit=0.0,
            unit="anomalies",
            comparison="<=",
            samples=len(history),
            detail=detail,
        )

    def _gaps(self, timeline: Timeline, history: History) -> Iterator[Finding]:
        wanted = (("write", self.without_writes, (WRITE, CAS, ENQUEUE)), ("read", self.without_reads, (READ, DEQUEUE)))
        injected = timeline.injected()
        for name, limit, kinds in wanted:
            if limit is not None and injected is not None:
                since, until = injected.low, timeline.phases[-1].end
                good = np.isin(history.kind, kinds) & (history.outcome == OK)
                yield _gap(name, limit, np.sort(history.completed[good]), since, until)


def _incomplete(timeline: Timeline, history: History) -> str:
    """Return why the history does not show what the database did; empty if it does."""
    if timeline.load and timeline.load.error:
        return f"the history is incomplete: {timeline.load.error}"
    good = history.outcome == OK
    changes, looks = np.isin(history.kind, (WRITE, CAS, ENQUEUE)) & good, np.isin(history.kind, (READ, DEQUEUE)) & good
    injected = timeline.injected()
    if not changes.any():
        return "no write was acknowledged"
    if not looks.any():
        return "no read was answered"
    if injected and not (history.completed[changes] < injected.low).any():
        return "no write was acknowledged before the fault, so none could have been lost to it"
    if injected and not (history.invoked[looks] > injected.high).any():
        return "no read was answered after the fault, so nothing shows what was lost to it"
    return ""


def _gap(name: str, limit: float, good: Floats, since: float, until: float) -> Finding:
    """Judge the longest time between two good operations in a row, from the sorted times of their completions."""
    last_before = good[good < since][-1:]
    moments = np.concatenate((last_before if len(last_before) else [since], good[(good >= since) & (good < until)]))
    if math.isfinite(until):
        moments = np.append(moments, until)
    gaps = np.diff(moments)
    longest = float(gaps.max()) if len(gaps) else 0.0
    at = float(moments[int(gaps.argmax())]) if len(gaps) else since
    return Finding.exact(
        Verdict.HELD if longest <= limit else Verdict.BROKEN,
        f"no {name} succeeded for {show_seconds(longest)} from {at:.1f} s, at most {show_seconds(limit)} was allowed",
        longest,
        limit=limit,
        unit="s",
        comparison="<=",
        samples=len(good),
        detail={f"longest time without a {name}": show_seconds(longest)},
    )


def _outcomes(history: History) -> dict[str, str]:
    acknowledged = int(np.count_nonzero(np.isin(history.kind, (WRITE, CAS, ENQUEUE)) & (history.outcome == OK)))
    return {"acknowledged writes": str(acknowledged), "unknown": str(int(np.isinf(history.completed).sum()))}


def _examples(checked: Checked, kinds: Sequence[AnomalyKind]) -> dict[str, str]:
    return {
        f"{kind} {number}": "; ".join(str(one) for one in anomaly.operations)
        for kind in kinds
        for number, anomaly in enumerate(checked.anomalies.examples(kind), start=1)
    }
