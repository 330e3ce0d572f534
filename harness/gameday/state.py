"""What is stored of a game day while it runs, so that it can continue after an interruption; and its lock.

::

    reports/gamedays/
      friday.json   what has run so far; replaced atomically before and after each experiment
      friday.lock   held by the process that runs the day
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from harness.common.clock import iso
from harness.common.errors import InputError, Problem
from harness.gameday.loading import GameDay
from harness.model.quantities import show_seconds
from harness.results.fact import Fact
from harness.results.game_day_record import ChoiceRecord, TurnRecord
from harness.results.reporting.store import write_atomically

FOLDER = "gamedays"
# Seconds after the start of a day within which it continues; later it starts anew.
CONTINUES = 24 * 3600.0


class DayState(Fact):
    """A game day so far. ``started`` is in Unix seconds; ``finished`` once nothing of it is left to run."""

    schema_version: Literal["1"] = "1"
    name: str
    digest: str
    seed: int
    started: float
    context: str = Field(default="", description="context of the cluster; empty: it did not connect")
    finished: bool = False
    runs: list[str] = Field(default_factory=list)
    choice: ChoiceRecord
    turns: list[TurnRecord] = Field(default_factory=list)
    current: str = Field(default="", description="the turn that was running when this was stored; empty: none")


class DayStore:
    """The files of one game day in the report folder."""

    def __init__(self, reports: Path, name: str) -> None:
        self._folder = reports / FOLDER
        self._name = name

    @property
    def file(self) -> Path:
        return self._folder / f"{self._name}.json"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of the game day. Raises InputError if another process has it, or it cannot be taken."""
        lock = FileLock(self._folder / f"{self._name}.lock")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            state = self.load()
            run = f" (run {state.runs[-1]})" if state and state.runs else ""
            message = f"the game day {self._name} is running already{run}: expected one at a time; wait for its end"
            raise InputError([Problem(message, Path(lock.lock_file))]) from error
        # A Timeout is an OSError too.
        except OSError as error:
            message = f"the state of the game day cannot be stored: {error.strerror}: {error.filename}"
            raise InputError([Problem(f"{message}; expected a folder that can be written", self._folder)]) from error
        try:
            yield
        finally:
            lock.release()

    def load(self, note: Callable[[str], None] = lambda _: None) -> DayState | None:
        """Return the stored state; None if there is none, or it cannot be used, which is noted."""
        try:
            return DayState.model_validate_json(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, ValidationError):
            note(f"{self.file}: not the state of a game day, so that an interrupted one does not continue")
            return None

    def save(self, state: DayState) -> None:
        """Store the state. Raises OSError."""
        write_atomically(self.file, state.model_dump_json(indent=1) + "\n")


def to_continue(
    state: DayState | None,
    game_day: GameDay,
    now: float,
    until: float | None = None,
    *,
    context: str | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> DayState | None:
    """Return the state if this start continues it, or None if the day starts anew.

    It continues if the file declares the same as before, something is left to run, and it is not too late: ``until``
    is the end of the window in which it started, in Unix seconds; without a window it is ``CONTINUES`` after the start.
    ``context`` is that of this start's cluster, None if it is not known yet: what ran on another one does not count.
    Why an interrupted day does not continue is noted.
    """
    if state is None or state.finished:
        return None
    why = _why_not(state, game_day, now, until, context)
    if why:
        note(f"the interrupted game day of run {', '.join(state.runs)} does not continue: {why}")
    return None if why else state


def _why_not(state: DayState, game_day: GameDay, now: float, until: float | None, context: str | None) -> str:
    if context is not None and state.context not in {"", context}:
        return f"it ran on the cluster {state.context}"
    if state.digest != game_day.digest:
        return "its file was changed"
    # A clock that was stepped back could otherwise continue a day of the future.
    if now < state.started:
        return f"it started at {iso(state.started)}, which is later than now"
    if until is None and now > state.started + CONTINUES:
        return f"it started at {iso(state.started)}, more than {show_seconds(CONTINUES)} ago"
    if until is not None and now > until:
        return f"its window ended at {iso(until)}"
    return ""
