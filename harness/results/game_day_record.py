"""The stored records of a game day, and of the choice of experiments that fit a time budget."""

from __future__ import annotations

from pydantic import Field

from harness.model.verdict import Verdict
from harness.results.fact import Fact, Known
from harness.results.game_day_load import BackgroundRecord
from harness.results.game_day_response import ResponseRecord, SealRecord


class ChosenRecord(Fact):
    """An experiment that was chosen, with its twins if they run."""

    name: str
    reason: str = Field(default="", description="why it was chosen, such as: never run")
    seconds: float = Field(default=0.0, description="how long it probably takes, with its twins")


class LeftOutRecord(Fact):
    """An experiment that was not chosen."""

    name: str
    reason: str
    seconds: Known = Field(default=None, description="how long it probably takes, with its twins; null: unknown")


class ChoiceRecord(Fact):
    """The experiments that were chosen for a time budget, in the order of the choice, and those that were not."""

    budget: Known = Field(default=None, description="the time budget in seconds of wall time; null: none was given")
    workers: int = Field(default=1, description="number of processes among which the experiments were divided")
    chosen: list[ChosenRecord] = Field(default_factory=list)
    left_out: list[LeftOutRecord] = Field(default_factory=list)


class TurnRecord(Fact):
    """One experiment or twin of a game day that ended: it ran, or it was skipped."""

    id: str = Field(description="the pytest node ID")
    name: str
    twin: str = ""
    round: int = 1
    run: str = Field(default="", description="the run that it was part of: a game day may continue in another run")
    started: str = ""
    finished: str = ""
    verdict: Verdict | None = Field(default=None, description="what it adds to the day's verdict; null: it did not run")
    outcome: str = Field(default="", description="its verdict in words, such as: BROKEN, as expected")
    reason: str = Field(default="", description="why it did not pass, or did not run")


class GameDayRecord(Fact):
    """A game day: its verdict is the worst of its experiments, and INCONCLUSIVE if it did not end as planned."""

    name: str
    file: str = ""
    digest: str = Field(default="", description="checksum of what the file declares")
    hypothesis: str = ""
    seed: int = 0
    started: str = ""
    finished: str = Field(default="", description="empty: it was interrupted, or has not ended yet")
    verdict: Verdict = Verdict.INCONCLUSIVE
    reason: str = ""
    aborted: str = Field(default="", description="why the rest of the day was not run; empty: it was not aborted")
    runs: list[str] = Field(default_factory=list, description="the runs of the day: more than one if it continued")
    rounds: int = Field(default=1, description="number of rounds that began")
    expected: Known = Field(default=None, description="how many seconds the day was expected to take")
    turns: list[TurnRecord] = Field(default_factory=list, description="what ran or was skipped, in order")
    choice: ChoiceRecord = Field(default_factory=ChoiceRecord)
    sealed: SealRecord | None = Field(default=None, description="the sealed plan of surprise mode; null: no surprise")
    responses: list[ResponseRecord] = Field(
        default_factory=list, description="how each outage was detected, mitigated and recovered"
    )
    background: list[BackgroundRecord] = Field(
        default_factory=list, description="the background load, for each run of the day"
    )
