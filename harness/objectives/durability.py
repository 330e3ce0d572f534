"""Durability: every acknowledged write is readable afterwards. One that was not acknowledged may be there or not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from harness.objective import Finding, Objective
from harness.objectives._findings import inconclusive
from harness.observation import Timeline
from harness.verdict import Verdict

_NAMED = 5


class Durability(Objective):
    """No acknowledged write is missing from what was read back at the end.

    Writes acknowledged after the last phase ended are left out: the load may still be running while the store is read.
    Keys that no recorded request wrote make it INCONCLUSIVE: either the record of what was written has holes or the
    store invents keys, and neither lets acknowledged writes be counted.
    """

    kind: ClassVar[str] = "durability"

    @property
    def title(self) -> str:
        return "every acknowledged write is readable"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # all writes of the run must be there at its end
        injected = timeline.injected()
        end = max((phase.end for phase in timeline.phases if math.isfinite(phase.end)), default=math.inf)
        writes = [request for request in timeline.requests if request.key]
        kept = {request.key for request in writes if request.ok and request.finished <= end}
        if not kept:
            return inconclusive("no write was acknowledged")
        if injected and not any(request.ok and request.finished < injected.low for request in writes):
            return inconclusive("no write was acknowledged before the fault, so none could have been lost to it")
        readings = timeline.observations("readable")
        if not readings:
            return inconclusive("nothing was read back")
        last = max(readings, key=lambda seen: seen.at)
        if last.error is not None or not isinstance(last.value, Mapping):
            return inconclusive(f"the writes could not be read back: {last.error or 'no value'}")
        if last.at < end:
            return inconclusive("nothing was read back after the run's last phase")
        return _compare(kept, {request.key for request in writes}, set(last.value.get("keys") or ()))


def _compare(kept: set[str], sent: set[str], read: set[str]) -> Finding:
    missing, unknown = kept - read, read - sent
    detail = {"acknowledged": str(len(kept)), "read back": str(len(read)), "missing": str(len(missing))}
    if missing:
        verdict = Verdict.BROKEN
        reason = f"{len(missing)} of {len(kept)} acknowledged writes are missing: {_some(missing)}"
    elif unknown:
        verdict = Verdict.INCONCLUSIVE
        reason = f"{len(unknown)} keys were read that no recorded request wrote: {_some(unknown)}"
    else:
        verdict, reason = Verdict.HELD, f"all {len(kept)} acknowledged writes were read back"
    lost = float(len(missing))
    return Finding(verdict, reason, lost, lost, lost, 0.0, "writes lost", "<=", len(kept), detail)


def _some(keys: Iterable[str]) -> str:
    first = sorted(keys)
    return ", ".join(first[:_NAMED]) + (" …" if len(first) > _NAMED else "")
