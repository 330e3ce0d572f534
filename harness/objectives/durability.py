"""Durability: every acknowledged write is readable afterwards. A write without acknowledgement may be lost or not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from harness.model.finding import Finding
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import LoadName
from harness.objectives._findings import inconclusive
from harness.objectives.base import Objective

_NAMED = 5


class Durability(Objective):
    """No acknowledged write is missing from the keys read back at the end.

    Writes acknowledged after the end of the last phase are ignored: the load may still be running while the store is
    read. Keys that no recorded request wrote make it INCONCLUSIVE: either records are missing or the store returns keys
    that were never written, so acknowledged writes cannot be counted.
    """

    kind: ClassVar[str] = "durability"
    example: ClassVar[Mapping[str, Any]] = {}

    load: LoadName = ""

    @property
    def title(self) -> str:
        return f"every acknowledged write{f' of load {self.load}' if self.load else ''} is readable"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # all writes of the run must be readable at its end
        timeline = timeline.of_load(self.load)
        injected = timeline.injected()
        end = max((phase.end for phase in timeline.phases if math.isfinite(phase.end)), default=math.inf)
        writes = timeline.requests.where(timeline.requests.keyed)
        acknowledged = writes.where(writes.ok)
        kept = set(acknowledged.where(acknowledged.finished <= end).keys)
        if not kept:
            return inconclusive("no write was acknowledged")
        if injected and not (acknowledged.finished < injected.low).any():
            return inconclusive("no write was acknowledged before the fault, so none could have been lost to it")
        readings = timeline.observations("readable")
        if not readings:
            return inconclusive("nothing was read back")
        last = max(readings, key=lambda seen: seen.at)
        if last.error is not None or not isinstance(last.value, Mapping):
            return inconclusive(f"the writes could not be read back: {last.error or 'no value'}")
        # An earlier reading cannot contain the writes that were acknowledged after it.
        if last.at < end:
            return inconclusive("nothing was read back after the last phase of the run")
        return _compare(kept, set(writes.keys), set(last.value.get("keys") or ()))


def _compare(kept: set[str], sent: set[str], read: set[str]) -> Finding:
    missing, unknown = kept - read, read - sent
    detail = {"acknowledged": str(len(kept)), "read back": str(len(read)), "missing": str(len(missing))}
    if missing:
        verdict = Verdict.BROKEN
        reason = f"{len(missing)} of {len(kept)} acknowledged writes are missing: {_some(missing)}"
    # Unknown keys show that either the record of the load or the reading is wrong, so a HELD would rest on wrong data.
    elif unknown:
        verdict = Verdict.INCONCLUSIVE
        reason = f"{len(unknown)} keys were read that no recorded request wrote: {_some(unknown)}"
    else:
        verdict, reason = Verdict.HELD, f"all {len(kept)} acknowledged writes were read back"
    lost = float(len(missing))
    return Finding.exact(
        verdict, reason, lost, limit=0.0, unit="writes lost", comparison="<=", samples=len(kept), detail=detail
    )


def _some(keys: Iterable[str]) -> str:
    first = sorted(keys)
    return ", ".join(first[:_NAMED]) + (" …" if len(first) > _NAMED else "")
