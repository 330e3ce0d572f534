"""The facts of a game day that runs: its turns, what has run so far, and what its rules may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.common.clock import Clock
from harness.common.progress import Progress
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.gameday.loading import GameDay
from harness.results.game_day_record import TurnRecord


@dataclass(frozen=True, slots=True)
class Turn:
    """One experiment or twin in one round of the day. ``seconds`` is how long it probably takes."""

    experiment: Experiment
    round: int = 1
    seconds: float = 0.0

    @property
    def title(self) -> str:
        """``name``, ``name[twin]`` or ``name[twin] (round 2)``: unique in the day."""
        plain = f"{self.experiment.name}[{self.experiment.twin}]" if self.experiment.twin else self.experiment.name
        return f"{plain} (round {self.round})" if self.round > 1 else plain


@dataclass
class Day:
    """A game day that runs.

    ``started`` is the wall time at which it was first started, also if it continues after an interruption. ``turns``
    are those that are planned, in order; with ``duration`` each further round is added when it begins. ``done`` has
    those that ended. ``connect`` returns the connected run with its cluster and Prometheus; it raises ClusterError.
    ``sealed`` is the hash of a sealed plan: nothing that is shown may name a turn before the day is over; see
    ``shown``. ``folder`` is the folder of this run's report. ``halted`` returns the reason of an emergency stop, or
    None. ``continued``: it continues an interrupted day.
    """

    game_day: GameDay
    seed: int
    started: float
    clock: Clock
    folder: Path
    connect: Callable[[], Run]
    progress: Progress
    halted: Callable[[], str | None] = lambda: None
    turns: list[Turn] = field(default_factory=list)
    done: list[TurnRecord] = field(default_factory=list)
    sealed: str = ""
    continued: bool = False

    def shown(self, turn: Turn) -> str:
        """Return the name of a turn for the terminal: its number if the plan is sealed."""
        return f"experiment {len(self.done) + 1}" if self.sealed else turn.title
