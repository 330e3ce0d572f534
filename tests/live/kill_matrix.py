"""Every step at which a run can be killed, the kills, and the table of what came of them."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.protocol import Cluster
from tests.live.killed import Victim, sweep

RUN_SECONDS = 240
RANDOM = "random instant"


@dataclass(frozen=True)
class Kill:
    """One run that is to be killed: which fault it does, and where it ends."""

    kind: str
    place: str

    @property
    def step(self) -> str:
        """The place without its number: ``PATCH configmaps begin``."""
        what, _, rest = self.place.partition(":")
        return RANDOM if what == "after" else f"{what} {rest.rpartition(':')[2]}"


@dataclass
class Table:
    """What came of the kills: by fault and step how many, and the residue that a sweep did not take back."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    ended: list[tuple[Kill, int]] = field(default_factory=list)
    residue: list[str] = field(default_factory=list)

    def count(self, kill: Kill, exit_code: int) -> None:
        """A run ended: by its own hand, or in order because it did not come by its place this time."""
        if exit_code == -signal.SIGKILL:
            self.kills[kill.kind, kill.step] += 1
        else:
            self.ended.append((kill, exit_code))

    @property
    def missed(self) -> list[tuple[Kill, int]]:
        """Of the runs that ended those whose place must have come: an instant may be later than the end of a run that
        is quicker than the one it was drawn from."""
        return [(kill, exit_code) for kill, exit_code in self.ended if kill.step != RANDOM]

    def lines(self) -> list[str]:
        """As Markdown."""
        kinds = sorted({kind for kind, _ in self.kills})
        steps = sorted({step for _, step in self.kills})
        rows = [["step", *kinds, "all"]]
        rows += [[step, *(self._cell(kind, step) for kind in kinds), str(self._sum(step=step))] for step in steps]
        rows += [["**all**", *(str(self._sum(kind=kind)) for kind in kinds), str(self.kills.total())]]
        table = [f"| {' | '.join(row)} |" for row in rows]
        table.insert(1, f"|---|{'---:|' * (len(kinds) + 1)}")
        ends = "; ".join(f"{kill.kind} at {kill.place} (exit code {exit_code})" for kill, exit_code in self.ended)
        ended = f"Ended in order before their place came: {len(self.ended)}{': ' if self.ended else ''}"
        left = f"Residue after the sweeps: {len(self.residue) or 'none'}"
        return [*table, "", ended + ends, "", left, *(f"- {line}" for line in self.residue)]

    def _cell(self, kind: str, step: str) -> str:
        return str(self.kills[kind, step] or "")

    def _sum(self, *, kind: str = "", step: str = "") -> int:
        return sum(number for key, number in self.kills.items() if kind in {"", key[0]} and step in {"", key[1]})


@dataclass(frozen=True)
class Range:
    """Where the kills are done: a cluster, a folder for the victims' projects, and how many at a time."""

    cluster: Cluster
    folder: Path
    at_a_time: int
    # The runs' dead-man switches are killed with them.
    with_dead_man: bool = False
    # The runs use these existing namespaces, one each: at most as many runs before a sweep.
    existing: tuple[str, ...] = ()

    def places(self, kinds: Sequence[str]) -> dict[str, list[tuple[str, float]]]:
        """The places that an undisturbed run of each kind passes, with the seconds since its start."""

        def look(kind: str) -> list[tuple[str, float]]:
            log = self.folder / f"{kind}.log"
            with self._victim(kind, "whole", kinds.index(kind)).start("none", log) as process:
                said, _ = process.communicate(timeout=RUN_SECONDS)
            assert log.exists(), said
            assert "LEFT BEHIND" not in said, said
            return [(place, float(at)) for place, at in (line.split("\t") for line in log.read_text().splitlines())]

        with ThreadPoolExecutor(self.at_a_time) as pool:
            return dict(zip(kinds, pool.map(look, kinds), strict=True))

    def kill(self, kills: Sequence[Kill], table: Table) -> None:
        """Let each run kill itself, some at a time."""

        def one(numbered: tuple[int, Kill]) -> int:
            number, kill = numbered
            with self._victim(kill.kind, f"m{number}", number).start(kill.place) as process:
                said, _ = process.communicate(timeout=RUN_SECONDS)
            assert process.returncode in {-signal.SIGKILL, 0, 1}, said
            return process.returncode

        with ThreadPoolExecutor(self.at_a_time) as pool:
            for kill, exit_code in zip(kills, pool.map(one, enumerate(kills)), strict=True):
                table.count(kill, exit_code)

    def sweep(self, at_a_time: int) -> list[str]:
        """Several sweeps beside each other, which share the work; returns what any said that it could not do."""
        with ThreadPoolExecutor(at_a_time) as pool:
            done = list(pool.map(lambda _: sweep(self.cluster, Path("none")), range(at_a_time)))
        return [f"{each.stdout}{each.stderr}" for each in done if each.returncode]

    def _victim(self, kind: str, name: str, number: int) -> Victim:
        made = Doomed if self.with_dead_man else Victim
        existing = self.existing[number] if self.existing else ""
        return made(self.folder / f"{name}-{kind}", self.cluster, f"{name}-{kind.lower()}", kind, existing)


# Ends the dead-man switch a moment before the run, which would be too late after it: it begins when the run has ended.
BOTH = """\
import os, signal
import harness.engine.steps.site

made = []
kill = os.kill


class Doomed(harness.engine.steps.site.DeadMan):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        made.append(self._process)


def both(pid, number):
    if (pid, number) == (os.getpid(), signal.SIGKILL):
        for process in made:
            process.kill()
    kill(pid, number)


harness.engine.steps.site.DeadMan, os.kill = Doomed, both
"""


class Doomed(Victim):
    """One whose dead-man switch is killed with it."""

    def prepare(self) -> None:
        super().prepare()
        # Beside the experiments: it is read before the plugin that kills is configured.
        (self.folder / "experiments" / "conftest.py").write_text(BOTH)


def guarded(passed: Sequence[tuple[str, float]]) -> set[str]:
    """The places at which a dead-man switch certainly stands by: from the first act on a machine to the last phase.

    None for a fault that acts on no machine, such as a cordon."""
    places = [place for place, _ in passed]
    first = next((index for index, place in enumerate(places) if place.startswith("node ")), None)
    if first is None:
        return set()
    return set(places[first : places.index("phase settle:1:end") + 1])


def part_of(kills: Sequence[Kill], part: str) -> list[Kill]:
    """One part of all kills, such as ``2/5``; the parts together are all of them, and none is in two."""
    number, of = map(int, part.split("/"))
    return list(kills[number - 1 :: of])


def draw(places: Mapping[str, Sequence[tuple[str, float]]], at_random: int, share: float) -> list[Kill]:
    """A share of every place of every kind and so many random instants of each while it is at work, shuffled."""
    rng = random.Random(1)
    kills = [Kill(kind, place) for kind, passed in places.items() for place, _ in passed]
    kills += [
        Kill(kind, f"after:{rng.uniform(0.0, passed[-1][1]):.2f}")
        for kind, passed in places.items()
        for _ in range(at_random)
    ]
    rng.shuffle(kills)
    return kills[: max(1, round(share * len(kills)))]
