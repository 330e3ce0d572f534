"""A game day pauses, asks its rules, keeps its state, and has one verdict."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from harness.common.clock import FakeClock
from harness.common.errors import ClusterError
from harness.gameday.day import Day, Turn
from harness.gameday.rules import Action, Answer, DayRule
from harness.gameday.state import DayState, DayStore
from harness.model.verdict import Verdict
from harness.results.game_day_record import GameDayRecord
from harness.results.record import ExperimentRecord
from tests.unit.gameday.days import Played, second_round


class Rule(DayRule):
    """A rule with prepared answers; what is not prepared is GO."""

    name = "rule"

    def __init__(self, **answers: list[Answer]) -> None:
        self._answers = answers
        self.asked: list[str] = []
        self.ended = 0

    def _next(self, name: str) -> Answer:
        self.asked.append(name)
        found = self._answers.get(name) or [Answer()]
        return found.pop(0)

    def before_day(self, day: Day) -> Answer:
        return self._next("before_day")

    def before_experiment(self, day: Day, turn: Turn) -> Answer:
        return self._next("before_experiment")

    def after_experiment(self, day: Day, turn: Turn, record: ExperimentRecord | None) -> Answer:
        return self._next("after_experiment")

    def after_day(self, day: Day, record: GameDayRecord) -> None:
        self.ended += 1


def test_day_whose_runs_held_is_held(tmp_path: Path) -> None:
    played = Played(tmp_path)
    found = played.play_all()
    assert (found.verdict, found.reason, found.runs) == (Verdict.HELD, "3 runs: 3 passed", ["run1"])
    assert found.finished
    assert [turn.name for turn in found.turns] == ["a", "b", "c"]


@pytest.mark.parametrize("bad", [Verdict.BROKEN, Verdict.INCONCLUSIVE])
def test_worst_run_decides_the_verdict(tmp_path: Path, bad: Verdict) -> None:
    found = Played(tmp_path).play_all(Verdict.HELD, bad)
    assert found.verdict is bad
    assert found.turns[1].reason == "so"


def test_pause_is_between_two_experiments_only(tmp_path: Path) -> None:
    played = Played(tmp_path, more="pause: 5m\n")
    begun = played.clock.monotonic()
    played.play_all()
    assert played.clock.monotonic() - begun == 3 * 60 + 2 * 300


def test_emergency_stop_ends_a_pause_and_the_day_continues_later(tmp_path: Path) -> None:
    played = Played(tmp_path, more="pause: 5m\n")
    played.play(played.turns[0])
    sleep, slept = played.clock.sleep, []

    def stopped(seconds: float) -> None:
        slept.append(seconds)
        sleep(seconds)
        played.halted = "stop!" if len(slept) == 3 else None

    played.clock.sleep = stopped  # type: ignore[method-assign]
    assert played.play(played.turns[1]) == "stop!"
    assert sum(slept) == 3
    found = played.run.end()
    assert (found.verdict, found.finished) == (Verdict.INCONCLUSIVE, "")
    assert "interrupted, 2 not run: b, c" in found.reason


def test_waiting_rule_answers_again(tmp_path: Path) -> None:
    rule = Rule(before_experiment=[Answer(Action.WAIT, "lunch", 600.0), Answer()])
    played = Played(tmp_path, ["a"], rules=[rule])
    begun = played.clock.monotonic()
    assert played.play(played.turns[0]) == ""
    assert played.clock.monotonic() - begun == 600 + 60
    assert rule.asked == ["before_day", "before_experiment", "before_experiment", "after_experiment"]
    assert any("lunch" in line for line in played.lines)


def test_skipping_rule_leaves_out_one_experiment(tmp_path: Path) -> None:
    played = Played(tmp_path, rules=[Rule(before_experiment=[Answer(Action.SKIP, "not now")])])
    found = played.play_all()
    assert played.skips == {"a": "not now", "b": "", "c": ""}
    assert (found.verdict, found.reason) == (Verdict.HELD, "2 runs: 2 passed, 1 skipped")
    assert found.turns[0].reason == "not now"


@pytest.mark.parametrize("when", ["before_experiment", "after_experiment"])
def test_aborting_rule_ends_the_day_without_holding(tmp_path: Path, when: str) -> None:
    rule = Rule(**{when: [Answer(), Answer(Action.ABORT, "budget spent")]})
    played = Played(tmp_path, ["a", "b", "c", "d"], rules=[rule])
    found = played.play_all()
    assert (found.verdict, found.aborted) == (Verdict.INCONCLUSIVE, "budget spent")
    assert found.finished, "an aborted day does not continue"
    assert played.skips["c"] == "the game day was aborted: budget spent"
    assert rule.ended == 1


def test_broken_run_of_an_aborted_day_stays_broken(tmp_path: Path) -> None:
    played = Played(tmp_path, rules=[Rule(after_experiment=[Answer(Action.ABORT, "enough")])])
    assert played.play_all(Verdict.BROKEN).verdict is Verdict.BROKEN


def test_refused_day_runs_nothing_and_keeps_the_stored_state(tmp_path: Path) -> None:
    played = Played(tmp_path, rules=[Rule(before_day=[Answer(Action.SKIP, "a freeze day")])])
    found = played.play_all()
    assert set(played.skips.values()) == {"the game day did not begin: a freeze day"}
    assert (found.verdict, found.turns) == (Verdict.INCONCLUSIVE, [])
    assert not played.store.file.exists()


def test_rule_that_fails_aborts_the_day(tmp_path: Path) -> None:
    class Failing(DayRule):
        name = "alerts"

        def before_experiment(self, day: Day, turn: Turn) -> Answer:
            raise ClusterError("no answer")

    played = Played(tmp_path, rules=[Failing()])
    assert played.play_all().aborted == "alerts could not be evaluated: no answer"


def test_interrupted_run_is_not_done(tmp_path: Path) -> None:
    played = Played(tmp_path, ["a", "b"])
    played.play(played.turns[0])
    played.play(played.turns[1], interrupted=True)
    found = played.run.end()
    assert [turn.name for turn in found.turns] == ["a"]
    assert not found.finished
    stored = played.store.load()
    assert stored is not None
    assert ([turn.name for turn in stored.turns], stored.finished) == (["a"], False)


def test_state_is_stored_before_each_experiment(tmp_path: Path) -> None:
    played = Played(tmp_path, ["a", "b"])
    played.play(played.turns[0])
    played.run.before(played.turns[1])
    stored = played.store.load()
    assert stored is not None
    assert (stored.current, len(stored.turns), stored.runs) == ("b", 1, ["run1"])


def test_rounds_are_added_until_the_duration_has_passed(tmp_path: Path) -> None:
    played = Played(tmp_path, ["a", "b"], more="duration: 3m\n")
    assert [played.play(turn) for turn in played.turns] == ["", ""]
    assert played.run.next_round() == 2
    again = [second_round(turn) for turn in played.turns]
    played.run.day.turns += again
    assert [bool(played.play(turn)) for turn in again] == [False, True]
    assert played.run.next_round() is None
    found = played.run.end()
    assert (found.verdict, found.rounds, len(found.turns)) == (Verdict.HELD, 2, 3)
    assert found.finished


def test_day_of_a_fixed_number_of_rounds_gets_no_more(tmp_path: Path) -> None:
    played = Played(tmp_path, ["a"])
    played.play(played.turns[0])
    assert played.run.next_round() is None


def test_interrupt_ends_a_pause(tmp_path: Path) -> None:
    played = Played(tmp_path, more="pause: 5m\n")
    played.play(played.turns[0])

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    played.clock.sleep = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        played.run.before(played.turns[1])
    assert "interrupted, 2 not run" in played.run.end().reason
    assert isinstance(played.clock, FakeClock)


@pytest.mark.parametrize("first", [0, 1], ids=["before", "after"])
def test_state_that_cannot_be_stored_ends_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    saves: list[DayState] = []

    def save(_store: DayStore, state: DayState) -> None:
        saves.append(state)
        if len(saves) > first:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(DayStore, "save", save)
    played = Played(tmp_path, ["a", "b", "c"])
    found = played.play_all()
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.aborted.endswith("friday.json: No space left on device")
    # What has run is in the record.
    assert [turn.name for turn in found.turns] == ["a"][:first]


def test_rule_that_cannot_write_at_the_end_keeps_the_record(tmp_path: Path) -> None:
    class Full(DayRule):
        name = "surprise"

        def after_day(self, day: Day, record: GameDayRecord) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    played = Played(tmp_path, ["a"], rules=[Full()])
    assert played.play_all().verdict is Verdict.HELD
