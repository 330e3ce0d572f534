"""An anomaly: what a database must not do, with the operations that show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from harness.model.operation import Operation

AnomalyKind: TypeAlias = Literal[
    "lost write",
    "stale read",
    "dirty read",
    "non-monotonic read",
    "not linearizable",
    "lost message",
    "duplicate message",
    "dirty message",
]
# Of each kind: more show nothing new, and a database without any data at all makes one of every read.
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Anomaly:
    """The operations that contradict each other, in the order of their invocations."""

    kind: AnomalyKind
    key: str
    operations: tuple[Operation, ...]

    def __str__(self) -> str:
        return f"{self.kind}: {'; '.join(str(one) for one in self.operations)}"


class Anomalies:
    """The number of anomalies of each kind, and a few examples of each, those of the fewest operations first."""

    def __init__(self) -> None:
        self.counts: dict[AnomalyKind, int] = {}
        self._examples: dict[AnomalyKind, list[Anomaly]] = {}

    def add(self, kind: AnomalyKind, key: str, operations: Callable[[], list[Operation]]) -> None:
        """Count an anomaly; ``operations`` is called only if it becomes an example."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        kept = self._examples.setdefault(kind, [])
        if len(kept) < EXAMPLES:
            ordered = sorted(operations(), key=lambda one: one.invoked)
            kept.append(Anomaly(kind, key, tuple(ordered)))
            kept.sort(key=lambda anomaly: len(anomaly.operations))

    def examples(self, kind: AnomalyKind) -> list[Anomaly]:
        """Return a few of a kind."""
        return self._examples.get(kind, [])
