"""From the experiments of a game day to its choice and the turns of each round."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.experiment.declaration import Experiment
from harness.gameday.choice import Budget, Candidate, choose
from harness.gameday.day import Turn
from harness.gameday.history import History
from harness.gameday.loading import GameDay
from harness.results.game_day_record import ChoiceRecord, ChosenRecord, LeftOutRecord

NO_OPT_IN = "affects more than its own namespace: add --allow-disruptive"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a session adds to a choice: twins, permission for disruptive experiments, attempts and the time it is."""

    twins: bool = False
    disruptive: bool = False
    attempts: int = 1
    now: float = 0.0
    seed: int = 0


def family(experiment: Experiment, twins: bool) -> list[Experiment]:
    """Return an experiment, followed by its twins if they run too."""
    return [experiment, *(experiment.as_twin(name) for name in (experiment.twins or {}) if twins)]


def candidate(experiment: Experiment, history: History, wanted: Wanted, *, pause: float = 0.0) -> Candidate:
    """Return an experiment with its twins as a candidate; ``pause`` seconds are added to each."""
    members = family(experiment, wanted.twins)
    seconds = sum(history.expected(each) * wanted.attempts + pause for each in members)
    twins = tuple(each.twin for each in members[1:])
    return Candidate(experiment.name, seconds, experiment.content, twins, experiment.disruptive)


def chosen_of(
    experiments: Sequence[Experiment],
    history: History,
    wanted: Wanted,
    budget: Budget | None,
    *,
    pause: float = 0.0,
    rounds: int = 1,
) -> ChoiceRecord:
    """Return the choice of these experiments; without a budget, all that may run are chosen.

    With ``rounds``, the time of each experiment is that of all rounds.
    """
    allowed = [each for each in experiments if wanted.disruptive or not each.disruptive]
    forbidden = [each for each in experiments if each not in allowed]
    found = [candidate(each, history, wanted, pause=pause) for each in allowed]
    if budget is None:
        chosen = [ChosenRecord(name=each.name, seconds=round(each.seconds, 1)) for each in found]
        choice = ChoiceRecord(chosen=chosen)
    else:
        # There is no pause after the last one.
        budget = replace(budget, seconds=budget.seconds + pause)
        found = [replace(each, seconds=each.seconds * rounds) for each in found]
        choice = choose(found, history, budget, wanted.now, wanted.seed)
        choice = choice.model_copy(update={"budget": budget.seconds - pause})
    refused = [LeftOutRecord(name=each.name, reason=NO_OPT_IN) for each in forbidden]
    return choice.model_copy(update={"left_out": [*choice.left_out, *refused]})


def turns_of(
    game_day: GameDay,
    experiments: Sequence[Experiment],
    history: History,
    choice: ChoiceRecord,
    wanted: Wanted,
    *,
    number: int = 1,
) -> list[Turn]:
    """Return the turns of round ``number``: the chosen experiments in the day's order, each before its twins."""
    by_name = {each.name: each for each in experiments}
    names = [each.name for each in choice.chosen if each.name in by_name]
    if game_day.declared.chosen_order == "listed":
        names = [each.name for each in experiments if each.name in set(names)]
    elif game_day.declared.chosen_order == "random":
        # Sorted first, so that the draw depends on the seed and not on the order of the choice.
        names = sorted(names)
        random.Random(f"{wanted.seed}:{game_day.name}:{number}").shuffle(names)  # noqa: S311 - for repeatability
    return [
        Turn(replace(each, round=number), number, history.expected(each) * wanted.attempts)
        for name in names
        for each in family(by_name[name], wanted.twins)
    ]


def expected_seconds(turns: Sequence[Turn], pause: float, rounds: int = 1) -> float:
    """Return how many seconds rounds of these turns probably take, with the pauses between them."""
    one = sum(turn.seconds + pause for turn in turns)
    return max(0.0, one * rounds - pause)
