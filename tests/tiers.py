"""Which experiments of the catalogue a test tier runs.

The core tier stays short however long the catalogue gets: a few experiments that together have every kind of fault and
of objective, those that the change touches, and of the rest a sample. Each of the three is bounded in seconds; what
does not fit has its turn on another day.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Budget:
    """How many seconds of phases a core run may spend on each part of its choice, all workers together."""

    core: float
    touched: float
    sample: float


# Several experiments run at a time; disruptive ones run one at a time on each of two clusters.
SHARED = Budget(core=1200.0, touched=400.0, sample=200.0)
ALONE = Budget(core=300.0, touched=300.0, sample=150.0)
# How far back a clone without a base to compare with looks for the change.
SINCE = "24 hours ago"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One experiment with its twins: its kinds, the files that it consists of, and its length in seconds.

    ``operator``: it needs an operator, whose build takes minutes, longer than a core run may.
    """

    name: str
    kinds: frozenset[str]
    files: frozenset[str]
    seconds: float
    disruptive: bool = False
    operator: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The experiments of a core run, by why each was chosen."""

    core: tuple[str, ...]
    touched: tuple[str, ...]
    sample: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names of all chosen experiments."""
        return frozenset((*self.core, *self.touched, *self.sample))

    def __str__(self) -> str:
        parts = [("every kind", self.core), ("touched", self.touched), ("sample of the day", self.sample)]
        if self.left_out:
            parts.append(("on another day, or now with scripts/test all", self.left_out))
        if self.operators:
            parts.append(("only with scripts/test all, since an operator must be built", self.operators))
        return "core tier: " + "; ".join(f"{why}: {', '.join(names) or 'none'}" for why, names in parts)


def choose(candidates: Sequence[Candidate], changed: Iterable[str], day: int) -> Choice:
    """Choose the experiments of a core run: ``changed`` are paths below the project, ``day`` is a count of days."""
    operators = tuple(sorted(each.name for each in candidates if each.operator))
    candidates = [each for each in candidates if not each.operator]
    every_kind = set(cover(candidates))
    paths = set(changed)
    touched = {each.name for each in candidates if each.files & paths} - every_kind
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for alone, budget in ((False, SHARED), (True, ALONE)):
        lane = [each for each in candidates if each.disruptive is alone]
        core = sample([each for each in lane if each.name in every_kind], day, budget.core)
        hit = sample([each for each in lane if each.name in touched], day, budget.touched)
        rest = [each for each in lane if each.name not in {*every_kind, *touched}]
        for part, names in zip(parts, (core, hit, sample(rest, day, budget.sample)), strict=True):
            part.extend(names)
    chosen = {name for part in parts for name in part}
    left_out = sorted((every_kind | touched) - chosen)
    return Choice(tuple(parts[0]), tuple(parts[1]), tuple(parts[2]), tuple(left_out), operators)


def cover(candidates: Sequence[Candidate]) -> list[str]:
    """Return few experiments that together have every kind, shortest time per new kind first (greedy set cover)."""
    missing = frozenset().union(*(each.kinds for each in candidates))
    chosen: list[str] = []
    while missing:
        best = min(
            (each for each in candidates if each.kinds & missing),
            key=lambda each: (each.seconds / len(each.kinds & missing), each.name),
        )
        chosen.append(best.name)
        missing -= best.kinds
    return chosen


def sample(candidates: Sequence[Candidate], day: int, seconds: float) -> list[str]:
    """Return experiments up to ``seconds`` in all, but at least one.

    Every experiment has its day: the sample begins where that of the day before ended.
    """
    ordered = sorted(candidates, key=lambda each: each.name)
    if sum(each.seconds for each in ordered) <= seconds:
        return [each.name for each in ordered]
    # As many starts as experiments, and steps of an average day's length, so that no day repeats the day before.
    average = sum(each.seconds for each in ordered) / len(ordered)
    start = day * max(1, int(seconds / average)) % len(ordered)
    chosen, left = [], seconds
    for each in ordered[start:] + ordered[:start]:
        # One that is longer than all of the budget has its day too.
        if chosen and each.seconds > left:
            break
        chosen.append(each.name)
        left -= each.seconds
    return chosen


def changed_files(root: Path, base: str = "") -> list[str]:
    """Return the paths that differ from ``base``; without one, those of the last day's commits and of the work tree."""
    if base:
        return _git(root, "diff", "--name-only", base)
    return [
        *_git(root, "log", f"--since={SINCE}", "--name-only", "--pretty=format:"),
        *_git(root, "diff", "--name-only", "HEAD"),
    ]


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["git", "-C", str(root), *arguments], check=False, capture_output=True, text=True)
    # An archive without its history has no change to look for.
    return sorted({line for line in done.stdout.splitlines() if line}) if done.returncode == 0 else []
