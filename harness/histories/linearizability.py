"""Linearizability of one register with reads, writes and compare-and-swap.

Herlihy and Wing, "Linearizability: A Correctness Condition for Concurrent Objects", TOPLAS 12(3), 1990: each operation
must seem to take effect at one instant between its invocation and its completion. The search is that of Wing and Gong,
"Testing and Verifying Concurrent Objects", JPDC 17(1–2), 1993, as Lowe has it in "Testing for Linearizability",
Concurrency and Computation 29(4), 2017: operations are linearized just in time, when one that has not taken effect yet
completes, and every configuration is visited once. Each register is checked alone, since linearizability is local.

Three reductions keep the number of configurations small. None of them changes the answer:

- An open read of the present value takes effect at once, since it changes nothing.
- A write that no compare-and-swap needs is not tried before another write: it may have taken effect immediately before
  that one, together with the reads of its value that were open then. Each configuration has the operations that were
  open at its last write (``covered``); whether they took effect there is decided when one of them completes.
- An unknown operation whose value nobody read is dropped. One that wrote a value that nobody else wrote took effect
  before the first read of it completed. Any other one stays open to the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple, TypeAlias

from harness.model.history import CAS, OK, READ, UNKNOWN, WRITE
from harness.model.operation import NOTHING

# The value; the bits of the open operations that have taken effect; and of those that may have before the last write.
Configuration: TypeAlias = tuple[int, int, int]
# More would need more memory than there is: a history with so much freedom shows nothing.
MOST = 200_000


class Step(NamedTuple):
    """An operation on one register: its kind, value, expected value, outcome, invocation, completion, and number."""

    kind: int
    value: int
    expected: int
    outcome: int
    invoked: float
    completed: float
    number: int


class TooManyConfigurations(Exception):
    """The history allows more than ``MOST`` orders at one time."""


def violation(steps: Sequence[Step]) -> int | None:
    """Return the index of the first step that no order allows to complete, or None if the register is linearizable.

    Failed operations had no effect and are left out. Raises TooManyConfigurations.
    """
    # An invocation comes before a completion at the same time: without a certain order, both orders are allowed.
    events: list[tuple[float, bool, int]] = []
    bounded = _bounded(steps)
    for index, step in enumerate(bounded):
        if step is not None:
            events.append((step.invoked, False, index))
            if step.completed < math.inf:
                events.append((step.completed, True, index))
    events.sort()
    search = _Search()
    for _, completes, index in events:
        step = bounded[index]
        if step is None:
            continue
        if not completes:
            search.invoke(index, step)
        elif not search.complete(index, step):
            return index
    return None


def _bounded(steps: Sequence[Step]) -> list[Step | None]:
    """Return the steps that matter: without those that failed, that read nothing, or whose effect nobody saw."""
    found: list[Step | None] = [None] * len(steps)
    unknown: dict[int, list[int]] = {}
    writers: dict[int, int] = {}
    # Until when the value must have been there: the earliest completion of an operation that saw it.
    seen: dict[int, float] = {}
    for index, step in enumerate(steps):
        if step.kind != READ and step.outcome in (OK, UNKNOWN):
            writers[step.value] = writers.get(step.value, 0) + 1
        if step.outcome == OK:
            found[index] = step
            if step.kind != WRITE:
                value = step.value if step.kind == READ else step.expected
                seen[value] = min(seen.get(value, math.inf), step.completed)
        elif step.outcome == UNKNOWN and step.kind != READ:
            unknown.setdefault(step.value, []).append(index)
    if unknown:
        _keep_seen(steps, found, unknown, writers, seen)
    return found


def _keep_seen(
    steps: Sequence[Step],
    found: list[Step | None],
    unknown: dict[int, list[int]],
    writers: dict[int, int],
    seen: dict[int, float],
) -> None:
    """Put the unknown steps whose value was seen into ``found``, with the latest time at which they took effect."""
    pending = [value for value in seen if value in unknown]
    while pending:
        value = pending.pop()
        for index in unknown.pop(value, ()):
            step = steps[index]
            latest = seen[value] if writers[value] == 1 and value != NOTHING else math.inf
            found[index] = step._replace(completed=latest if latest >= step.invoked else math.inf)
            if step.kind == CAS:
                seen[step.expected] = min(seen.get(step.expected, math.inf), latest)
                if step.expected in unknown:
                    pending.append(step.expected)


@dataclass
class _Search:
    """The configurations that are possible after the events so far."""

    configurations: set[Configuration] = field(default_factory=lambda: {(NOTHING, 0, 0)})
    # The bit of each open operation, and the bits that are free again.
    bits: dict[int, int] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)
    used: int = 0
    # The open operations that change the value, by bit. By value the bits of the open reads, and of the open writes.
    changes: dict[int, Step] = field(default_factory=dict)
    reads: dict[int, int] = field(default_factory=dict)
    writes: dict[int, int] = field(default_factory=dict)
    # The bits of all open reads and writes, which a write can cover.
    coverable: int = 0

    def invoke(self, index: int, step: Step) -> None:
        """Open an operation."""
        bit = heappop(self.free) if self.free else 1 << self.used
        self.used += bit == 1 << self.used
        self.bits[index] = bit
        if step.kind != CAS:
            self.coverable |= bit
            of_kind = self.reads if step.kind == READ else self.writes
            of_kind[step.value] = of_kind.get(step.value, 0) | bit
        if step.kind != READ:
            self.changes[bit] = step
        elif any(value == step.value for value, _, _ in self.configurations):
            self.configurations = {
                (value, done | bit if value == step.value else done, covered)
                for value, done, covered in self.configurations
            }

    def complete(self, index: int, step: Step) -> bool:
        """Close an operation; return False if it cannot have taken effect in any configuration."""
        bit = self.bits.pop(index)
        left: set[Configuration] = set()
        keep = ~bit
        for configuration in self.configurations:
            value, done, covered = configuration
            if done & bit:
                left.add((value, done & keep, covered & keep))
                continue
            for other, made, covers in (*self._earlier(bit, step, configuration), *self._now(bit, step, configuration)):
                left.add((other, made & keep, covers & keep))
        if len(left) > MOST:
            raise TooManyConfigurations
        self.configurations = left
        self._close(bit, step)
        return bool(left)

    def _close(self, bit: int, step: Step) -> None:
        heappush(self.free, bit)
        self.coverable &= ~bit
        if step.kind != READ:
            del self.changes[bit]
        if step.kind != CAS:
            of_kind = self.reads if step.kind == READ else self.writes
            of_kind[step.value] &= ~bit
            if not of_kind[step.value]:
                del of_kind[step.value]

    def _earlier(self, bit: int, step: Step, now: Configuration) -> Iterable[Configuration]:
        """Return the configurations if the step took effect before the last write, which hides it."""
        value, done, covered = now
        if not covered & bit:
            return
        seen = self.reads.get(step.value, 0) & covered
        writers = bit if step.kind == WRITE else self.writes.get(step.value, 0) & covered
        while writers:
            writer = writers & -writers
            writers ^= writer
            took = writer | seen
            yield value, done | took, covered & ~took

    def _now(self, bit: int, step: Step, first: Configuration) -> Iterable[Configuration]:
        """Return the configurations after any useful sequence of open operations whose last one is ``step``."""
        # Almost always: nothing else is open that could change the value.
        if len(self.changes) == (step.kind != READ):
            return (self._after(bit, step, first),) if step.kind != READ and _allowed(step, first) else ()
        found: list[Configuration] = []
        visited, waiting = {first}, [first]
        while waiting:
            now = waiting.pop()
            if step.kind != READ and _allowed(step, now):
                found.append(self._after(bit, step, now))
            for other, change in self.changes.items():
                if other == bit or now[1] & other or not _allowed(change, now):
                    continue
                after = self._after(other, change, now)
                if step.kind == READ and after[1] & bit:
                    found.append(after)
                elif after not in visited and (change.kind == CAS or self._swapped(change.value, after[1])):
                    visited.add(after)
                    waiting.append(after)
            if len(visited) > MOST:
                raise TooManyConfigurations
        return found

    def _swapped(self, value: int, done: int) -> bool:
        """Return whether an open compare-and-swap needs a value."""
        return any(
            change.kind == CAS and change.expected == value and not done & bit for bit, change in self.changes.items()
        )

    def _after(self, bit: int, step: Step, now: Configuration) -> Configuration:
        """Return the configuration after an open operation has changed the value."""
        done = now[1] | bit | self.reads.get(step.value, 0)
        covered = now[2] | self.coverable if step.kind == WRITE else now[2]
        return step.value, done, covered & ~done


def _allowed(step: Step, now: Configuration) -> bool:
    return step.kind == WRITE or now[0] == step.expected
