"""The composition of an experiment's faults: which of them is to be injected or undone when, in the fault phase.

It keeps the state of the schedule and does nothing itself; all times are in seconds on the timeline.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.common.errors import Inconclusive
from harness.experiment.timing import Condition, Timing
from harness.model.quantities import show_seconds

Met = Callable[[Condition], bool]
Held = Callable[[Timing], bool]
# Whether the last injection of a fault took effect, by the index of the fault.
Proven = Callable[[int], bool]
# Seconds. What is due so soon is due now: a wait for less than that may not advance the clock.
_SOON = 0.001


@dataclass
class _Part:
    """The state of one fault. ``begun`` is the origin of its times; None while it waits for a fault or a condition.

    ``delays`` has the random seconds by which each injection is later."""

    timing: Timing
    delays: Sequence[float]
    begun: float | None = None
    waiting_since: float | None = None
    injected: int = 0
    # The injections that are to be undone, with the time of each.
    ends: dict[int, float] = field(default_factory=dict)
    over_at: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it was injected for the last time, and undone if it has a length."""
        return self.injected == self.timing.times and not self.ends

    @property
    def due(self) -> float:
        """When it is to be injected next; infinite if never or not known yet."""
        if self.begun is None or self.injected == self.timing.times:
            return math.inf
        return self.begun + self.timing.at + self.injected * (self.timing.every or 0.0) + self.delays[self.injected]


class Composition:
    """The schedule of the faults from the beginning of the fault phase on, at ``begun``, until ``until``.

    The owner may move ``until``. ``rng`` draws the delays of ``jitter``. A fault after another one waits until
    ``proven`` returns True for that one: on a slow cluster it might otherwise come before the effect that it follows.
    """

    def __init__(
        self, timings: Sequence[Timing], begun: float, until: float, rng: random.Random, proven: Proven = lambda _: True
    ) -> None:
        self._parts = [
            _Part(timing, [rng.uniform(0.0, timing.jitter or 0.0) for _ in range(timing.times)]) for timing in timings
        ]
        self._by_name: Mapping[str, _Part] = {part.timing.name: part for part in self._parts if part.timing.name}
        self._indexes = {part.timing.name: number for number, part in enumerate(self._parts)}
        self._begun, self.until, self._proven = begun, until, proven

    def look(self, now: float, met: Met) -> None:
        """Start the times of the faults whose condition is met. Raises Inconclusive for one that came too late."""
        for part in self._parts:
            if part.begun is not None:
                continue
            if not self._follows(part):
                continue
            before = self._by_name.get(part.timing.after or "")
            since = before.over_at if before else self._begun
            part.waiting_since = since
            condition = part.timing.when
            if condition is None:
                part.begun = since
            elif met(condition):
                part.begun = now
            elif now >= self._deadline(part):
                waited = show_seconds(now - since)
                raise Inconclusive(f"a fault was not injected: after {waited} it was not seen that {condition}")

    def due(self, now: float, held: Held) -> list[int]:
        """Return the indexes of the faults to inject now, in the order of their times; not those that are ``held``."""
        found = [number for number, part in enumerate(self._parts) if part.due <= now + _SOON and not held(part.timing)]
        return sorted(found, key=lambda number: self._parts[number].due)

    def ended(self, now: float) -> list[int]:
        """Return the injections to undo now, as they were given to ``inject``."""
        return sorted(number for part in self._parts for number, at in part.ends.items() if at <= now + _SOON)

    def inject(self, number: int, injection: int, now: float) -> None:
        """Record that a fault was injected at ``now``; ``injection`` identifies this injection."""
        part = self._parts[number]
        part.injected += 1
        if part.timing.lasting is not None:
            part.ends[injection] = now + part.timing.lasting
        if part.over:
            part.over_at = now

    def undo(self, injection: int, now: float) -> None:
        """Record that an injection was undone at ``now``."""
        for part in self._parts:
            if part.ends.pop(injection, None) is not None and part.over:
                part.over_at = now

    @property
    def over(self) -> bool:
        """Whether every fault was injected for the last time, and undone if it has a length."""
        return all(part.over for part in self._parts)

    def next(self, now: float) -> float:
        """Return when something is due after ``now``; infinite if nothing is, as far as it is known."""
        return min((at for at in self._times() if at > now + _SOON), default=math.inf)

    def waits(self, met: Met) -> bool:
        """Return whether a condition that is waited for is met, or a fault that is waited for took effect."""
        waiting = (part for part in self._parts if part.begun is None and self._follows(part))
        return any(part.timing.when is None or met(part.timing.when) for part in waiting)

    def _follows(self, part: _Part) -> bool:
        """Return whether the fault that a part comes after is over and took effect; True if it comes after none."""
        after = part.timing.after
        return after is None or (self._by_name[after].over and self._proven(self._indexes[after]))

    def _times(self) -> Iterator[float]:
        for part in self._parts:
            yield part.due
            yield from part.ends.values()
            if part.begun is None and part.waiting_since is not None:
                yield self._deadline(part)

    def _deadline(self, part: _Part) -> float:
        within = part.timing.when.within if part.timing.when else None
        since = part.waiting_since if part.waiting_since is not None else self._begun
        return self.until if within is None else min(self.until, since + within)
