"""What says most per minute is chosen first, and the rest is listed with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from harness.gameday.choice import Budget, Candidate, ago, choose, worth
from harness.gameday.history import History, Past
from harness.model.verdict import Verdict
from harness.results.game_day_record import ChoiceRecord

DAY = 86400.0
NOW = 1_700_000_000.0


def past(name: str, days: float = 1.0, verdict: Verdict = Verdict.HELD, content: str = "", twin: str = "") -> Past:
    return Past(name, twin, NOW - days * DAY, verdict, content)


def pick(
    candidates: Sequence[Candidate], *runs: Past, minutes: float = 10.0, seed: int = 0, workers: int = 1
) -> ChoiceRecord:
    ordered = History(sorted(runs, key=lambda each: each.finished))
    return choose(candidates, ordered, Budget(minutes * 60, workers), NOW, seed)


def names(choice: ChoiceRecord) -> list[str]:
    return [each.name for each in choice.chosen]


def of(name: str, minutes: float = 5.0, **rest: object) -> Candidate:
    return Candidate(name, minutes * 60, **rest)  # type: ignore[arg-type]


def test_never_run_comes_before_changed_before_broken_before_old() -> None:
    candidates = [of("old"), of("broken"), of("changed", content="new"), of("never")]
    runs = [past("old", 9), past("broken", verdict=Verdict.BROKEN), past("changed", content="before")]
    assert names(pick(candidates, *runs, minutes=20)) == ["never", "changed", "broken", "old"]


def test_longest_ago_comes_first_among_equals() -> None:
    assert names(pick([of("a"), of("b"), of("c")], past("a", 2), past("b", 9), past("c", 5))) == ["b", "c"]


def test_half_the_minutes_count_twice() -> None:
    assert names(pick([of("long", 6), of("short", 3)], minutes=6)) == ["short"]


def test_earlier_inconclusive_run_counts_less_than_the_last() -> None:
    lately = [past("lately", 2, Verdict.INCONCLUSIVE), past("lately", 1)]
    runs = [*lately, past("last", 1, Verdict.INCONCLUSIVE), past("fine")]
    choice = pick([of("fine"), of("lately"), of("last")], *runs, minutes=15)
    assert names(choice) == ["last", "lately", "fine"]
    assert choice.chosen[0].reason == "INCONCLUSIVE in its last run, last run 1 day ago"
    assert choice.chosen[1].reason == "INCONCLUSIVE in one of its last 3 runs, last run 1 day ago"


def test_failure_before_the_last_few_runs_is_forgotten() -> None:
    runs = [past("a", 9, Verdict.BROKEN), *(past("a", days) for days in (3, 2, 1))]
    assert worth(of("a"), History(runs), NOW).reason == "last run 1 day ago"


def test_what_does_not_fit_is_left_out_with_its_reason() -> None:
    choice = pick([of("a", 6), of("b", 7), of("c", 11), of("d", 3)], past("a", 30), minutes=10)
    assert names(choice) == ["d", "b"]
    assert {each.name: each.reason for each in choice.left_out} == {
        "a": "takes 6 min, and no time is left (last run 30 days ago)",
        "c": "takes 11 min, longer than the whole budget (never run)",
    }


def test_a_shorter_one_fills_what_is_left() -> None:
    choice = pick([of("a", 4), of("b", 5), of("c", 2)], past("c", 1), minutes=7)
    assert names(choice) == ["a", "c"]
    assert sum(each.seconds for each in choice.chosen) <= 7 * 60


def test_unknown_content_is_not_a_change() -> None:
    found = worth(of("a", content="now"), History([past("a", content="")]), NOW)
    assert found.reason == "last run 1 day ago"


def test_twin_that_never_ran_counts_as_never_run() -> None:
    candidate = of("a", twins=("weak",))
    assert worth(candidate, History([past("a")]), NOW).reason == "its twin weak never ran"
    both = History([past("a"), past("a", twin="weak")])
    assert worth(candidate, both, NOW).points == 1.0


def test_twin_that_did_not_break_counts_as_inconclusive() -> None:
    runs = History([past("a"), past("a", twin="weak", verdict=Verdict.INCONCLUSIVE)])
    assert worth(of("a", twins=("weak",)), runs, NOW).reason.startswith("INCONCLUSIVE in its last run")


def test_run_of_the_future_is_of_no_age() -> None:
    assert worth(of("a"), History([past("a", -3)]), NOW).points == 0.0


def test_equals_are_drawn_by_the_seed() -> None:
    many = [of(f"e{number}") for number in range(20)]
    drawn = {seed: names(pick(many, seed=seed)) for seed in range(5)}
    assert drawn[0] == names(pick(list(reversed(many)), seed=0))
    assert len({tuple(found) for found in drawn.values()}) > 1


def test_budget_is_wall_time_of_all_workers() -> None:
    many = [of(f"e{number}", 4) for number in range(9)]
    assert len(pick(many, minutes=10, workers=1).chosen) == 2
    assert len(pick(many, minutes=10, workers=3).chosen) == 6


def test_disruptive_experiment_takes_the_time_of_all_workers() -> None:
    shared = [of(f"e{number}", 5) for number in range(4)]
    choice = pick(
        [*shared, of("alone", 5, disruptive=True)], *[past(each.name) for each in shared], minutes=10, workers=2
    )
    assert names(choice)[0] == "alone"
    assert len(choice.chosen) == 3


def test_ages_are_shown_in_their_largest_unit() -> None:
    assert [ago(each) for each in (30, 120, 7200, DAY, 3 * DAY)] == [
        "less than a minute",
        "2 min",
        "2 h",
        "1 day",
        "3 days",
    ]
