"""Requests in columns: one array for each field, since an hour of load has millions of requests.

A reader appends to a ``RequestStore``. ``Requests`` is a view of it: a sequence of ``RequestSample`` that copies
nothing, for all requests so far or for some of them. Code that runs over all requests uses the arrays of a view, which
is a hundred times as fast as a loop; a loop over its samples is fine for a few thousand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from harness.model.request_store import Bools, Column, Floats, Indexes, RequestStore

# So many requests become objects at a time when a view is iterated over.
_BLOCK = 8192
# Seconds. More than the rounding error of a time on the timeline.
_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class RequestSample:
    """One request of the load: its intended start, actual start, end and outcome.

    ``outcome`` is ``ok`` or a short reason (``503``, ``timeout``, ``refused`` …). ``key`` is the key that the request
    wrote, for the durability objective. Latency counts from the intended start: a stalled client must not hide a stall.
    """

    intended: float
    started: float
    finished: float
    ok: bool
    outcome: str
    name: str
    key: str = ""

    @property
    def latency(self) -> float:
        """Seconds from the intended start to the end."""
        return self.finished - self.intended


class Requests(Sequence[RequestSample]):
    """Requests in the order in which they were read, as samples and as arrays. It never changes.

    The arrays have the fields of ``RequestSample``, in the same order as the samples; times are in seconds.
    """

    __slots__ = ("_origin", "_rows", "_store")

    def __init__(self, samples: Iterable[RequestSample] = ()) -> None:
        store = RequestStore()
        store.append([(s.intended, s.started, s.finished, s.ok, s.outcome, s.name, s.key) for s in samples])
        self._store, self._origin = store, 0.0
        self._rows: slice | Indexes = slice(0, store.size)

    @classmethod
    def of(cls, store: RequestStore, origin: float, rows: slice | Indexes | None = None) -> Requests:
        """Return the requests of a store so far, or some of its rows, with times in seconds since ``origin``.

        A slice must have a start and an end, and no step."""
        made = cls.__new__(cls)
        made._store, made._origin = store, origin  # noqa: SLF001 - its own class
        made._rows = slice(0, store.size) if rows is None else rows  # noqa: SLF001 - its own class
        return made

    def __len__(self) -> int:
        return self._rows.stop - self._rows.start if isinstance(self._rows, slice) else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> RequestSample: ...

    @overload
    def __getitem__(self, index: slice) -> Requests: ...

    def __getitem__(self, index: int | slice) -> RequestSample | Requests:
        if isinstance(index, int):
            at = range(len(self))[index]
            return next(iter(self[at : at + 1]))
        if not isinstance(self._rows, slice):
            return self._with(self._rows[index])
        chosen = range(self._rows.start, self._rows.stop)[index]
        if chosen.step == 1:
            return self._with(slice(chosen.start, max(chosen.start, chosen.stop)))
        return self._with(np.array(chosen, np.intp))

    def __iter__(self) -> Iterator[RequestSample]:
        blocks = (self[start : start + _BLOCK] for start in range(0, len(self), _BLOCK))
        return chain.from_iterable(block._samples() for block in blocks)  # noqa: SLF001 - its own class

    def __repr__(self) -> str:
        return f"<{len(self)} requests>"

    @property
    def intended(self) -> Floats:
        return self._times(self._store.intended)

    @property
    def started(self) -> Floats:
        return self._times(self._store.started)

    @property
    def finished(self) -> Floats:
        return self._times(self._store.finished)

    @property
    def latency(self) -> Floats:
        """From the intended start to the end."""
        return self.finished - self.intended

    @property
    def took(self) -> Floats:
        """From the actual start to the end."""
        return self.finished - self.started

    @property
    def ok(self) -> Bools:
        return self._values(self._store.ok)

    @property
    def failed(self) -> int:
        """The number of requests that are not ``ok``."""
        return len(self) - int(np.count_nonzero(self.ok))

    @property
    def keyed(self) -> Bools:
        """Whether each request wrote a key."""
        found: Bools = self._store.keys.lengths(self._rows, self._store.size) > 0
        return found

    @property
    def keys(self) -> list[str]:
        """The keys as texts, empty for a request that wrote none."""
        return self._store.keys.texts(self._indexes)

    @property
    def outcomes(self) -> Counter[str]:
        """The number of requests by outcome, in the order in which these appeared."""
        codes = self._values(self._store.outcome)
        counts = np.bincount(codes, minlength=1)
        present = np.flatnonzero(counts)
        first = np.zeros(len(counts), np.intp)
        # Of several values for one place the last one stays, which is the first request with that outcome.
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        ordered = present[np.argsort(first[present], kind="stable")] if len(codes) else present
        return Counter({self._store.outcomes.texts[code]: int(counts[code]) for code in ordered})

    def has_outcome(self, chosen: Callable[[str], bool]) -> Bools:
        """Return whether the outcome of each request is one for which ``chosen`` is true."""
        of_each = np.array([chosen(text) for text in self._store.outcomes.texts] or [False], np.bool_)
        found: Bools = of_each[self._values(self._store.outcome)]
        return found

    def where(self, mask: Bools) -> Requests:
        """Return the requests for which ``mask`` is true."""
        found = np.flatnonzero(mask)
        if len(found) == len(self):
            return self
        return self.take(found)

    def of_source(self, source: int) -> Requests:
        """Return the requests of one source: see ``RequestStore.append``."""
        if isinstance(self._rows, slice):
            return self.where(self._store.are_of(source, self._rows.start, self._rows.stop))
        return self.where(self._store.are_of(source, 0, self._store.size)[self._rows])

    def take(self, indexes: Indexes) -> Requests:
        """Return the requests with these indexes, in their order."""
        if not isinstance(self._rows, slice):
            return self._with(self._rows[indexes])
        return self._with(self._rows.start + indexes if self._rows.start else indexes)

    def due_in(self, spans: Iterable[tuple[float, float]]) -> Requests:
        """Return the requests whose intended start is in one of these spans; the end of a span is not in it."""
        intended = self.intended
        mask = np.zeros(len(self), np.bool_)
        for start, end in spans:
            mask |= (start <= intended) & (intended < end)
        return self.where(mask)

    def ended_since(self, at: float) -> Requests:
        """Return the requests that ended at or after ``at``, in a time that does not depend on the earlier ones."""
        recent = self
        if isinstance(self._rows, slice):
            first = self._store.first_ended_since(at + self._origin - _ROUNDING)
            recent = self._with(slice(min(max(first, self._rows.start), self._rows.stop), self._rows.stop))
        return recent.where(recent.finished >= at)

    @property
    def _indexes(self) -> Indexes:
        return np.arange(self._rows.start, self._rows.stop) if isinstance(self._rows, slice) else self._rows

    def _samples(self) -> Iterator[RequestSample]:
        store = self._store
        columns = (self.intended, self.started, self.finished, self.ok)
        words = ((store.outcomes, store.outcome), (store.names, store.name))
        texts = ([known.texts[code] for code in self._values(column)] for known, column in words)
        return map(RequestSample, *(column.tolist() for column in columns), *texts, self.keys)

    def _with(self, rows: slice | Indexes) -> Requests:
        return Requests.of(self._store, self._origin, rows)

    def _values(self, column: Column) -> NDArray[Any]:
        found = column.values[self._rows]
        # Of a slice it is the memory of the store.
        found.flags.writeable = False
        return found

    def _times(self, column: Column) -> Floats:
        if isinstance(self._rows, slice):
            return self._values(column) - self._origin if self._origin else self._values(column)
        found: Floats = column.values[self._rows]
        found -= self._origin
        return found
