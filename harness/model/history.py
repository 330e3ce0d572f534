"""Histories: what clients did to a database, in columns. One operation is an ``harness.model.operation.Operation``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from harness.model.operation import Kind, Operation, Outcome
from harness.model.request_store import Column, Words

KINDS: tuple[Kind, ...] = get_args(Kind)
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
READ, WRITE, CAS, ENQUEUE, DEQUEUE = range(len(KINDS))
OK, FAILED, UNKNOWN = range(len(OUTCOMES))

# Client, invocation, completion, kind, key, value, expected value and outcome, as in Operation.
OperationRow: TypeAlias = tuple[int, float, float, str, str, int, int, str]


class HistoryStore:
    """The columns of all operations, in the order in which they were read. Append-only, 42 bytes each."""

    def __init__(self) -> None:
        self.size = 0
        self.client, self.value, self.expected = Column(np.int64), Column(np.int64), Column(np.int64)
        self.invoked, self.completed = Column(np.float64), Column(np.float64)
        self.kind, self.outcome, self.key = Column(np.uint8), Column(np.uint8), Column(np.uint32)
        self.keys = Words()

    def append(self, rows: Sequence[OperationRow]) -> None:
        """Append operations. Raises ValueError for an unknown kind or outcome."""
        if not rows:
            return
        clients, invoked, completed, kinds, keys, values, expected, outcomes = zip(*rows, strict=True)
        for column, found in (
            (self.client, clients),
            (self.invoked, invoked),
            (self.completed, completed),
            (self.kind, [KINDS.index(kind) for kind in kinds]),
            (self.key, [self.keys.number(key) for key in keys]),
            (self.value, values),
            (self.expected, expected),
            (self.outcome, [OUTCOMES.index(outcome) for outcome in outcomes]),
        ):
            column.write(self.size, found)
        self.size += len(rows)


class History:
    """Operations in columns, which never change. ``keys`` are the texts of the numbers in ``key``.

    Unknown operations have an infinite completion, whatever was recorded.
    """

    __slots__ = ("client", "completed", "expected", "invoked", "key", "keys", "kind", "outcome", "value")

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        store = HistoryStore()
        store.append(
            [(o.client, o.invoked, o.completed, o.kind, o.key, o.value, o.expected, o.outcome) for o in operations]
        )
        self._fill(store, 0.0, 0.0)

    @classmethod
    def of(cls, store: HistoryStore, origin: float = 0.0, error: float = 0.0) -> History:
        """Return the operations of a store so far, with times since ``origin``.

        With clocks that are wrong by up to ``error`` seconds every operation counts as that much longer on both sides,
        so that an order which is not certain is not taken for one.
        """
        made = cls.__new__(cls)
        made._fill(store, origin, error)  # noqa: SLF001 - its own class
        return made

    def _fill(self, store: HistoryStore, origin: float, error: float) -> None:
        self.keys: Sequence[str] = store.keys.texts
        self.client: NDArray[Any] = store.client.values[: store.size]
        self.kind: NDArray[Any] = store.kind.values[: store.size]
        self.key: NDArray[Any] = store.key.values[: store.size]
        self.value: NDArray[Any] = store.value.values[: store.size]
        self.expected: NDArray[Any] = store.expected.values[: store.size]
        self.outcome: NDArray[Any] = store.outcome.values[: store.size]
        self.invoked: NDArray[Any] = store.invoked.values[: store.size] - (origin + error)
        ended = store.completed.values[: store.size] - (origin - error)
        self.completed: NDArray[Any] = np.where(self.outcome == UNKNOWN, np.inf, ended)

    def __len__(self) -> int:
        return len(self.kind)

    def __iter__(self) -> Iterator[Operation]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Operation:
        return Operation(
            int(self.client[index]),
            float(self.invoked[index]),
            float(self.completed[index]),
            KINDS[self.kind[index]],
            self.keys[self.key[index]],
            int(self.value[index]),
            int(self.expected[index]),
            OUTCOMES[self.outcome[index]],
        )

    def by_key(self, kinds: Sequence[int]) -> Iterator[tuple[str, NDArray[np.intp]]]:
        """Yield each key with the indexes of its operations of these kinds, in the order of their invocations."""
        found = np.flatnonzero(np.isin(self.kind, np.array(kinds, np.uint8)))
        order = found[np.lexsort((self.invoked[found], self.key[found]))]
        for part in np.split(order, np.flatnonzero(np.diff(self.key[order])) + 1):
            if len(part):
                yield self.keys[self.key[part[0]]], part
