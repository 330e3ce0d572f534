"""Choose the experiments that fit a time budget: what is worth most per minute comes first.

The points of an experiment are what a run of it may say: ``NEVER`` if it or one of its twins never ran, ``CHANGED`` if
its file or workload differs from that of its last run, ``BAD`` if its last run did not hold (``LATELY`` if one of the
last few did not), and one for each day since its last run, up to ``DAYS``. They are divided by the minutes that it
probably takes. An experiment and its twins are one: HELD says little without the twin that shows that it can fail.

The choice is a pure function of its arguments: equal values are ordered by the seed and the name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.gameday.history import History, Past
from harness.model.quantities import show_seconds
from harness.model.verdict import Verdict, worst
from harness.results.game_day_record import ChoiceRecord, ChosenRecord, LeftOutRecord

NEVER, CHANGED, BAD, LATELY = 100.0, 60.0, 40.0, 20.0
DAYS = 30
LAST_FEW = 3
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An experiment with the twins that run with it. ``seconds`` is how long all of them probably take."""

    name: str
    seconds: float
    content: str = ""
    twins: tuple[str, ...] = ()
    disruptive: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget in seconds of wall time, of ``workers`` processes that share the work; disruptive ones run alone."""

    seconds: float
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Worth:
    """What a run of an experiment may say, in points, and why."""

    points: float
    reason: str


def choose(
    candidates: Sequence[Candidate], history: History, budget: Budget, now: float, seed: int = 0
) -> ChoiceRecord:
    """Return the experiments that fit the budget, the first of them first, and those left out with the reasons.

    ``now`` is in Unix seconds."""
    ranked = sorted(
        ((worth(each, history, now), each) for each in candidates),
        key=lambda pair: (-pair[0].points / max(pair[1].seconds, 1.0), _lot(seed, pair[1].name), pair[1].name),
    )
    filled = _Filled(budget)
    chosen, left_out = list[ChosenRecord](), list[LeftOutRecord]()
    for found, each in ranked:
        if filled.takes(each):
            chosen.append(ChosenRecord(name=each.name, reason=found.reason, seconds=round(each.seconds, 1)))
        else:
            why = f"{filled.refusal(each)} ({found.reason})"
            left_out.append(LeftOutRecord(name=each.name, reason=why, seconds=round(each.seconds, 1)))
    return ChoiceRecord(budget=budget.seconds, workers=budget.workers, chosen=chosen, left_out=left_out)


def worth(candidate: Candidate, history: History, now: float) -> Worth:
    """Return what a run of an experiment and its twins may say, and why."""
    runs = {twin: history.of(candidate.name, twin) for twin in ("", *candidate.twins)}
    if not runs[""]:
        return Worth(NEVER, "never run on this cluster" if history.ran(candidate.name) else "never run")
    missing = [twin for twin, found in runs.items() if not found]
    if missing:
        return Worth(NEVER, f"its twin {missing[0]} never ran")
    last = min((found[-1] for found in runs.values()), key=lambda past: past.finished)
    age = max(0.0, now - last.finished)
    points, reasons = min(age / _DAY, DAYS), []
    if any(_changed(found[-1], candidate) for found in runs.values()):
        points += CHANGED
        reasons.append("changed since its last run")
    bad, few = _verdict(found[-1:] for found in runs.values()), _verdict(found[-LAST_FEW:] for found in runs.values())
    if bad is not Verdict.HELD:
        points += BAD
        reasons.append(f"{bad} in its last run")
    elif few is not Verdict.HELD:
        points += LATELY
        reasons.append(f"{few} in one of its last {LAST_FEW} runs")
    reasons.append(f"last run {ago(age)} ago")
    return Worth(points, ", ".join(reasons))


def ago(seconds: float) -> str:
    """Format an age in its largest unit: ``3 days``, ``5 h``, ``20 min``."""
    days, hours, minutes = int(seconds // _DAY), int(seconds // 3600), int(seconds // 60)
    if days:
        return f"{days} day{'s' * (days > 1)}"
    return f"{hours} h" if hours else f"{minutes} min" if minutes else "less than a minute"


def _verdict(runs: Iterable[Sequence[Past]]) -> Verdict:
    return worst(past.verdict for found in runs for past in found)


def _changed(last: Past, candidate: Candidate) -> bool:
    # Records of older versions have no checksum: whether it changed is unknown, and that is no reason.
    return bool(last.content and candidate.content) and last.content != candidate.content


def _lot(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


class _Filled:
    """The part of a budget that is used so far: each experiment goes to the process that is free first."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._shared = [0.0] * max(1, budget.workers)
        self._alone = 0.0

    def left(self, candidate: Candidate) -> float:
        """Return the seconds left for such an experiment; a disruptive one makes all processes wait."""
        busy = max(self._shared) if candidate.disruptive else min(self._shared)
        return self._budget.seconds - self._alone - busy

    def takes(self, candidate: Candidate) -> bool:
        """Add an experiment if it fits; return whether it does."""
        if candidate.seconds > self.left(candidate) or self._exceeds(candidate):
            return False
        if candidate.disruptive:
            self._alone += candidate.seconds
        else:
            self._shared[self._shared.index(min(self._shared))] += candidate.seconds
        return True

    def refusal(self, candidate: Candidate) -> str:
        """Return why an experiment does not fit."""
        takes = show_seconds(round(candidate.seconds))
        if candidate.seconds > self._budget.seconds:
            return f"takes {takes}, longer than the whole budget"
        left = max(0, round(self.left(candidate)))
        return f"takes {takes}, and {show_seconds(left) if left else 'no time'} is left"

    def _exceeds(self, candidate: Candidate) -> bool:
        """Return whether the longest of the processes would end after the budget."""
        return not candidate.disruptive and max(self._shared) + self._alone > self._budget.seconds
