"""Requests in the order of sending, as arrays: what the user clock derives outages from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.model.request_store import Bools, Floats, Indexes
from harness.model.requests import Requests


@dataclass(frozen=True, slots=True)
class Sent:
    """Requests sorted by their actual start: when each started and finished, and whether it was good."""

    started: Floats
    finished: Floats
    ok: Bools

    @classmethod
    def of(cls, requests: Requests, after: float = -math.inf) -> Sent:
        """Sort requests, without failures that ended before ``after``: the fault did not cause those."""
        # Stable, so that requests with one start stay in the order of their ends.
        ordered = requests.take(np.argsort(requests.started, kind="stable"))
        started, finished, ok = ordered.started, ordered.finished, ordered.ok
        del ordered
        kept = ok | (finished >= after)
        if not kept.all():
            # One after the other, so that not all of them are in memory twice.
            started = started[kept]
            finished = finished[kept]
            ok = ok[kept]
        return cls(started, finished, ok)

    def __len__(self) -> int:
        return len(self.started)

    def since(self, start: float) -> Sent:
        """Return those that started at ``start`` or later."""
        first = int(np.searchsorted(self.started, start))
        return Sent(self.started[first:], self.finished[first:], self.ok[first:])

    @property
    def failed(self) -> Indexes:
        """The indexes of those that failed."""
        return np.flatnonzero(~self.ok)
