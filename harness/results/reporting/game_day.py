"""A game day, and the choice for a time budget, as the terminal and the CI summary show them."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.quantities import counted, show_seconds
from harness.results.game_day_record import ChoiceRecord, GameDayRecord, TurnRecord
from harness.results.record import RunRecord


def choice_of(run: RunRecord) -> ChoiceRecord | None:
    """Return the choice of a run: that of its game day, or that for its time budget."""
    return run.game_day.choice if run.game_day else run.choice


def headline(day: GameDayRecord) -> str:
    """Return the game day in one line."""
    return f"game day {day.name}: {day.verdict}: {day.reason}"


def summary(choice: ChoiceRecord) -> str:
    """Return the choice in one line: ``6 of 53 experiments were chosen for a budget of 20 min``."""
    many = counted(len(choice.chosen) + len(choice.left_out), "experiment")
    if choice.budget is None:
        return f"{len(choice.left_out)} of {many} left out" if choice.left_out else f"{many} chosen"
    among = f", {counted(choice.workers, 'worker')}" if choice.workers > 1 else ""
    total = show_seconds(round(sum(each.seconds for each in choice.chosen)))
    budget = show_seconds(choice.budget)
    return f"{len(choice.chosen)} of {many} were chosen for a budget of {budget}{among}; expected: {total}"


def choice_lines(choice: ChoiceRecord, indent: str = "  ") -> Iterator[str]:
    """Yield the choice in lines for a terminal: what was chosen, with minutes and reasons, and what was left out."""
    if choice.budget is not None:
        yield summary(choice)
    for each in choice.chosen:
        yield f"{indent}chosen    {minutes(each.seconds):>9}  {each.name}{_because(each.reason)}"
    for left in choice.left_out:
        yield f"{indent}left out  {minutes(left.seconds):>9}  {left.name}{_because(left.reason)}"


def minutes(seconds: float | None) -> str:
    """Format an expected duration: ``1.9 min``; empty if it is unknown."""
    return "" if seconds is None else f"{seconds / 60:.1f} min"


def why(day: GameDayRecord, turn: TurnRecord) -> str:
    """Return why an experiment of the day was chosen; empty without a budget, and for twins and later rounds."""
    reasons = {each.name: each.reason for each in day.choice.chosen}
    return "" if turn.twin or turn.round > 1 else reasons.get(turn.name, "")


def turn_name(turn: TurnRecord) -> str:
    """Return the name of a turn with its twin and, from the second on, its round."""
    name = f"{turn.name}, twin {turn.twin}" if turn.twin else turn.name
    return f"{name} (round {turn.round})" if turn.round > 1 else name


def outcome(turn: TurnRecord) -> str:
    """Return the outcome of a turn in words."""
    return turn.outcome if turn.verdict is not None else "skipped"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
