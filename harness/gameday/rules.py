"""The rules of a game day, in the order in which they are asked, and what they need."""

from __future__ import annotations

from collections.abc import Sequence

from harness.cluster.kube.permissions import Permission
from harness.gameday import background_rule, marks
from harness.gameday.abort_rule import AbortDay
from harness.gameday.background_rule import BackgroundLoad
from harness.gameday.calendar import YEAR
from harness.gameday.loading import GameDay
from harness.gameday.response_rule import ResponseTimes
from harness.gameday.rule import GO, Action, Answer, DayRule
from harness.gameday.surprise_rule import SurpriseStart
from harness.gameday.window_rule import OpenWindow

__all__ = ["GO", "Action", "Answer", "DayRule", "continues_until", "needed_for", "rules_for"]


def continues_until(game_day: GameDay, started: float) -> float | None:
    """Return until when (Unix seconds) an interrupted day that began at ``started`` continues; None: no window."""
    declared = game_day.declared
    if declared.windows is None:
        return None
    # It may have waited that long for its start.
    begun = started + (declared.surprise.within if declared.surprise else declared.windows.wait)
    spans = declared.windows.spans(started, started + YEAR)
    return max((span.end for span in spans if span.start <= begun), default=begun)


def rules_for(game_day: GameDay) -> Sequence[DayRule]:
    """Return the rules of a day in the order in which they are asked.

    The surprise comes first, since it waits for its start; the conditions are evaluated as late as possible.
    """
    declared = game_day.declared
    rules: list[DayRule] = []
    if declared.surprise:
        rules.append(SurpriseStart(declared.surprise, declared.calendar))
    if declared.windows:
        rules.append(OpenWindow(declared.windows))
    if declared.abort:
        rules.append(AbortDay(declared.abort))
    rules.append(ResponseTimes(declared.response))
    if declared.load:
        rules.append(BackgroundLoad(declared.load))
    return rules


def needed_for(game_day: GameDay) -> frozenset[Permission]:
    """Return the permissions of a day's rules, in addition to those of its session and experiments."""
    load = game_day.declared.load
    return marks.PERMISSIONS | (background_rule.needed_for(load) if load else frozenset())
