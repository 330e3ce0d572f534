"""One operation of a client on a database. Without arrays, since the processes of a load import it.

Times are in seconds. A value is a whole number of at least 0: each value is written to a key at most once, so that a
read shows which write it saw. ``NOTHING`` is the value of a key that was never written, and of an empty queue.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["read", "write", "cas", "enqueue", "dequeue"]
# ``failed`` means that it certainly had no effect, ``unknown`` that it may take effect at any time, or never.
Outcome: TypeAlias = Literal["ok", "failed", "unknown"]
NOTHING = -1


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a client on a key: ``read``, ``write``, ``cas`` (compare and swap), ``enqueue`` or ``dequeue``.

    ``value`` is what was read or dequeued, or is to be written; ``expected`` is what a ``cas`` compares with. The
    completion of an ``unknown`` operation is infinite: it may take effect until the end. A client has one operation at
    a time; after an unknown one it does nothing more.
    """

    client: int
    invoked: float
    completed: float
    kind: Kind
    key: str
    value: int
    expected: int = NOTHING
    outcome: Outcome = "ok"

    def __str__(self) -> str:
        text = "nothing" if self.value == NOTHING else str(self.value)
        match self.kind:
            case "cas":
                was = "nothing" if self.expected == NOTHING else str(self.expected)
                done = f"set {self.key} from {was} to {text}"
            case "read":
                done = f"read {text} from {self.key}"
            case "write":
                done = f"wrote {text} to {self.key}"
            case _:
                done = f"{self.kind}d {text} {'to' if self.kind == 'enqueue' else 'from'} {self.key}"
        until = f"to {self.completed:.3f} s" if math.isfinite(self.completed) else f"on ({self.outcome})"
        return f"client {self.client} {done} from {self.invoked:.3f} {until}"
