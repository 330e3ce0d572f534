"""A checker of linearizability that tries every order: slow, and simple enough to be right."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.operation import NOTHING, Operation


def linearizable(operations: Sequence[Operation]) -> bool:
    """Return whether some order of the operations on one register explains what was read."""
    left = [one for one in operations if one.outcome == "ok" or (one.outcome == "unknown" and one.kind != "read")]
    return _explained(tuple(left), NOTHING)


def _explained(left: tuple[Operation, ...], value: int) -> bool:
    if all(one.outcome == "unknown" for one in left):
        return True
    for index, one in enumerate(left):
        rest = left[:index] + left[index + 1 :]
        if any(other.completed < one.invoked for other in rest):
            continue
        # Reads and swaps need the right value. An unknown one that is never taken never happened.
        possible = one.kind == "write" or value == (one.value if one.kind == "read" else one.expected)
        if possible and _explained(rest, value if one.kind == "read" else one.value):
            return True
    return False
