"""The turns of a round: the chosen experiments in the day's order, each before its twins."""

from __future__ import annotations

from pathlib import Path

from harness.experiment.phases import Phases
from harness.gameday.choice import Budget
from harness.gameday.history import OVERHEAD, History
from harness.gameday.planning import NO_OPT_IN, Wanted, chosen_of, expected_seconds, turns_of
from harness.results.reporting.game_day import choice_lines
from tests.unit.gameday.days import experiment, game_day

ALL = [experiment(name) for name in ("b", "c", "a")]
LENGTH = Phases().total + OVERHEAD


def titles(folder: Path, more: str = "", number: int = 1, seed: int = 0, names: str = "abc") -> list[str]:
    wanted = Wanted(seed=seed)
    choice = chosen_of([each for each in ALL if each.name in names], History(), wanted, None)
    return [turn.title for turn in turns_of(game_day(folder, more), ALL, History(), choice, wanted, number=number)]


def test_listed_order_is_that_of_the_paths(tmp_path: Path) -> None:
    assert titles(tmp_path) == ["b", "c", "a"]
    assert titles(tmp_path, number=2) == ["b (round 2)", "c (round 2)", "a (round 2)"]
    assert titles(tmp_path, names="ab") == ["b", "a"]


def test_random_order_is_drawn_for_each_round(tmp_path: Path) -> None:
    drawn = [titles(tmp_path, "order: random\n", number) for number in range(1, 9)]
    assert drawn == [titles(tmp_path, "order: random\n", number) for number in range(1, 9)]
    plain = {tuple(title.partition(" ")[0] for title in each) for each in drawn}
    assert len(plain) > 1
    assert all(sorted(each) == ["a", "b", "c"] for each in plain)


def test_disruptive_experiment_without_permission_is_left_out() -> None:
    alone = experiment("alone", disruptive=True)
    choice = chosen_of([*ALL, alone], History(), Wanted(), None)
    assert [each.name for each in choice.chosen] == ["b", "c", "a"]
    assert [(each.name, each.reason) for each in choice.left_out] == [("alone", NO_OPT_IN)]
    assert len(chosen_of([*ALL, alone], History(), Wanted(disruptive=True), None).chosen) == 4


def test_budget_covers_all_rounds_and_the_pauses_between() -> None:
    two = 2 * LENGTH + 60
    for budget, count in ((two, 2), (two - 1, 1)):
        choice = chosen_of(ALL, History(), Wanted(), Budget(budget), pause=60)
        assert (len(choice.chosen), choice.budget) == (count, budget)
    for budget, count in ((two, 1), (two - 1, 0)):
        choice = chosen_of(ALL, History(), Wanted(), Budget(budget), pause=60, rounds=2)
        assert len(choice.chosen) == count


def test_attempts_multiply_the_expected_time() -> None:
    choice = chosen_of(ALL, History(), Wanted(attempts=5), None)
    assert choice.chosen[0].seconds == 5 * LENGTH


def test_expected_time_has_no_pause_after_the_last(tmp_path: Path) -> None:
    choice = chosen_of(ALL, History(), Wanted(), None)
    turns = turns_of(game_day(tmp_path), ALL, History(), choice, Wanted())
    assert expected_seconds(turns, 60, rounds=2) == 6 * LENGTH + 5 * 60


def test_choice_is_shown_with_minutes_and_reasons() -> None:
    choice = chosen_of(ALL, History(), Wanted(), Budget(2 * LENGTH))
    lines = list(choice_lines(choice))
    assert lines[0] == "2 of 3 experiments were chosen for a budget of 3 min 50 s; expected: 3 min 50 s"
    assert sum(line.endswith("never run") and "  chosen      1.9 min" in line for line in lines) == 2
    assert "left out" in lines[3]
    assert "no time is left" in lines[3]
