"""Distinguish dead holders of Leases from live ones by watching whether the renewal time changes."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.common.clock import Clock
from harness.safety.leases.lease import LeaseSnapshot


@dataclass
class LivenessWatch:
    """The last observed state of each Lease, and since when it has not changed."""

    clock: Clock
    _still: dict[str, tuple[tuple[str, str], float]] = field(default_factory=dict)
    _alive: set[tuple[str, str]] = field(default_factory=set)

    def is_dead(self, seen: LeaseSnapshot) -> bool | None:
        """Return True if not renewed for its whole duration, False if seen being renewed, None if still undecided."""
        now, mark = self.clock.monotonic(), (seen.uid, f"{seen.holder} {seen.renewed}")
        before = self._still.get(seen.name)
        if before is None or before[0] != mark:
            if before is not None and before[0][0] == seen.uid:
                self._alive.add((seen.name, seen.uid))
            self._still[seen.name] = (mark, now)
            before = self._still[seen.name]
        if seen.very_old(self.clock) or now - before[1] > seen.seconds:
            return True
        return False if (seen.name, seen.uid) in self._alive else None
