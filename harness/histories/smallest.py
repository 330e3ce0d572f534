"""The smallest part of a history that still is not linearizable, for people to read.

Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002: parts are left out,
half of them at first, as long as the rest still fails. First reads are left out, then each value with all that wrote,
saw or swapped it: a history that is linearizable stays so without these, so what is shown is a violation by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.histories.linearizability import Step, TooManyConfigurations, violation
from harness.model.history import CAS, READ

# Each takes some microseconds for each operation. A hundred are enough where a few operations show the violation.
_MOST_CHECKS = 500


def smallest_violation(steps: Sequence[Step], at: int) -> list[Step]:
    """Return steps that are not linearizable, in the order of their invocations; ``at`` is what ``violation`` gave."""
    until = [step for step in steps if step.invoked <= steps[at].completed]
    changes = [step for step in until if step.kind != READ]
    reads = _least([[step] for step in until if step.kind == READ], changes)
    values = _by_value([*changes, *(step for part in reads for step in part)])
    return _joined(_least(values, []))


def _least(parts: Sequence[list[Step]], fixed: list[Step]) -> list[list[Step]]:
    """Return the parts that are needed, together with the fixed steps, for a violation."""
    left, size, checks = list(parts), max(1, len(parts) // 2), 0
    while True:
        begin = 0
        while begin < len(left) and checks < _MOST_CHECKS:
            rest = left[:begin] + left[begin + size :]
            checks += 1
            if _fails([*rest, fixed]):
                left = rest
            else:
                begin += size
        if size == 1 or checks >= _MOST_CHECKS:
            return left
        size //= 2


def _by_value(steps: Sequence[Step]) -> list[list[Step]]:
    """Return the steps in one group for each value; values that were swapped for each other are in one group."""
    parent: dict[int, int] = {}

    def root(value: int) -> int:
        while parent.setdefault(value, value) != value:
            value = parent[value]
        return value

    for step in steps:
        if step.kind == CAS:
            parent[root(step.value)] = root(step.expected)
    groups: dict[int, list[Step]] = {}
    for step in steps:
        groups.setdefault(root(step.value), []).append(step)
    return list(groups.values())


def _joined(parts: Sequence[Sequence[Step]]) -> list[Step]:
    return sorted((step for part in parts for step in part), key=lambda step: step.invoked)


def _fails(parts: Sequence[Sequence[Step]]) -> bool:
    try:
        return violation(_joined(parts)) is not None
    except TooManyConfigurations:
        return False
