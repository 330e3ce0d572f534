"""Game days for tests: a file, its experiments without a cluster, and a day that runs on a fake clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.common.clock import FakeClock, iso
from harness.experiment.declaration import Experiment
from harness.experiment.manifests import Workload
from harness.gameday.day import Day, Turn
from harness.gameday.loading import GameDay, load_game_day
from harness.gameday.rules import DayRule
from harness.gameday.running import DayRun
from harness.gameday.state import DayState, DayStore
from harness.model.verdict import Verdict
from harness.results.game_day_record import ChoiceRecord, GameDayRecord
from harness.results.record import ExperimentRecord

HEAD = """\
apiVersion: resilience/v1
kind: GameDay
metadata: {name: friday}
hypothesis: Users notice nothing.
experiments: {paths: [a.yaml]}
"""


def experiment(name: str, **rest: object) -> Experiment:
    return Experiment(name, "", Workload(Path(), (), ()), (), Path(f"{name}.yaml"), **rest)  # type: ignore[arg-type]


def game_day(folder: Path, more: str = "") -> GameDay:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "friday.yaml"
    file.write_text(HEAD + more)
    return load_game_day(file)


class Played:
    """A day of some turns, each of which takes a minute. ``halted`` is the reason of an emergency stop."""

    def __init__(
        self, folder: Path, titles: Sequence[str] = ("a", "b", "c"), *, more: str = "", rules: Sequence[DayRule] = ()
    ) -> None:
        self.clock = FakeClock()
        self.halted: str | None = None
        self.lines: list[str] = []
        self.skips: dict[str, str] = {}
        found = game_day(folder, more)
        self.turns = [Turn(experiment(title, round=1), 1, 60.0) for title in titles]
        self.state = DayState(
            name=found.name, digest=found.digest, seed=7, started=self.clock.wall(), choice=ChoiceRecord()
        )
        day = Day(
            game_day=found, seed=7, started=self.state.started, clock=self.clock, folder=folder,
            connect=_no_cluster, progress=self.lines.append, halted=lambda: self.halted, turns=list(self.turns),
            done=list(self.state.turns),
        )  # fmt: skip
        self.store = DayStore(folder, found.name)
        self.run = DayRun(day, self.state, self.store, rules, "run1")

    def play(self, turn: Turn, verdict: Verdict = Verdict.HELD, **rest: object) -> str:
        """Play one turn; return why it was skipped, or ""."""
        reason = self.run.before(turn)
        record = None
        if not reason:
            started = iso(self.clock.wall())
            self.clock.advance(60)
            values = {"stage": "closed", "verdict": verdict, "passed": verdict is Verdict.HELD, "reason": "so"} | rest
            record = ExperimentRecord(
                id=turn.title, name=turn.experiment.name, started=started, finished=iso(self.clock.wall()), **values
            )  # type: ignore[arg-type]
        self.run.after(turn, turn.title, record, reason)
        self.skips[turn.title] = reason
        return reason

    def play_all(self, *verdicts: Verdict) -> GameDayRecord:
        for turn, verdict in zip(self.turns, [*verdicts, *[Verdict.HELD] * len(self.turns)], strict=False):
            self.play(turn, verdict)
        return self.run.end()


def second_round(turn: Turn) -> Turn:
    return replace(turn, round=2, experiment=replace(turn.experiment, round=2))


def _no_cluster() -> object:
    raise AssertionError("not connected")
