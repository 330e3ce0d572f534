"""A dead-man switch for effects on machines: a process that outlives the run and takes them back when the run cannot.

What a fault does to a node of ours (its power, its network, its services) is done by this machine, and no janitor in
the cluster can take it back. So a process is started here before such a fault, which watches two things: the end of
its input, which the kernel brings about however the run ends; and the age of the effects in the journal of the
experiment that started it, since a run that hangs or was stopped by Ctrl-Z never ends. Either way it replays that one
journal from disk. It asks no Lease first: the journal is its own experiment's, whatever other processes of the same
run are at work. It needs no API for what was done to machines, and tries again while something is left, for a bounded
time. ``harness sweep`` follows, for what no journal tells of. A run that has taken everything back stands it down. As
long as it lives, no other experiment of the run begins: it would take the damage for the steady state.

Effects in pods expire where they are (``harness/faults/process_hang.py``); effects in the API are for ``harness sweep``
and the janitor, from anywhere.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from enum import Enum
from pathlib import Path

from harness.clock import Clock, parse_kubernetes_time
from harness.cluster.api import KubeApi
from harness.cluster.protocol import Cluster
from harness.errors import ApiError, HarnessError
from harness.turns import machines_held
from harness.undo import UndoAction, append_line, take_back
from harness.undo_copy import delete_if_there, find_copies
from harness.undo_entry import Origin, Page, UndoEntry, decode

# What is written when there is nothing to take back any more.
ALL_IS_WELL = b"all is well"
STOP_WITHIN = 10.0
# How often it looks at the age of effects.
LOOK_EVERY = 2.0
# For how long it tries, and the pauses between: an API server that restarts is back within minutes, and a process that
# nobody knows of must not go on for ever.
TRY_FOR = 1800.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
# The providers whose nodes' machines are here.
MACHINES_ARE_HERE = frozenset({"local", "kind"})


class DeadMan:
    """The run's end of it; armed from the moment it is made.

    ``folder`` is the run's: the log is kept there. ``journal`` is the experiment's, whose entries up to ``made`` are
    what was made for it, and no effects.
    """

    def __init__(self, cluster: Cluster, run: str, folder: Path, journal: Path, made: int) -> None:
        kubeconfig = ["--kubeconfig", str(cluster.kubeconfig)] if cluster.kubeconfig else []
        where = ["--context", cluster.context, *kubeconfig, "--reports", str(folder)]
        whose = ["--orphaned", str(journal), "--made", str(made), "--run", run]
        command = [sys.executable, "-m", "harness.cli", "sweep", *whose, *where]
        with (folder / "deadman.log").open("ab") as log, machines_held(folder) as held:
            # A session of its own: a Ctrl-C at the terminal is for the run.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, pass_fds=[held]
            )

    def stand_down(self) -> None:
        """There is nothing to take back any more."""
        stream = self._process.stdin
        if stream and not stream.closed:
            with suppress(BrokenPipeError):
                stream.write(ALL_IS_WELL)
                stream.close()
            # On a busy machine it may not even have begun to read: what it was told stands in its input.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN)

    def take_over(self) -> None:
        """The run could not take everything back and tries no more: it is to try now. The next turn waits for it."""
        if self._process.stdin:
            self._process.stdin.close()


class Ending(Enum):
    """What became of the run, as its switch sees it."""

    IN_ORDER = "it has taken back everything"
    GONE = "it is gone, or has given up"
    OVERDUE = "it is there, and what it broke should have been taken back by now"


def listen(seconds: float, stream: int = 0) -> bytes | None:
    """What the run says within so many seconds: nothing (None), or, when it has ended, b""."""
    ready, _, _ = select.select([stream], [], [], seconds)
    return os.read(stream, 1024) if ready else None


class Guard:
    """The process's end of it. ``connect`` makes the cluster, which may fail and is tried again."""

    def __init__(
        self,
        journal: Path,
        made: int,
        clock: Clock,
        *,
        connect: Callable[[], Cluster],
        actions: Mapping[str, UndoAction],
        say: Callable[[str], None],
        listen: Callable[[float], bytes | None] = listen,
    ) -> None:
        self._file, self._made, self._clock = journal, made, clock
        self._connect, self._actions, self._say, self._listen = connect, actions, say, listen
        self._told = b""
        # When each effect was first seen, in monotonic seconds: a wall clock that is set makes none of them overdue.
        self._seen: dict[int, float] = {}

    def wait(self) -> Ending:
        """Wait until the run ends, or has left an effect for longer than the journal says that it may be needed."""
        while True:
            heard = self._listen(LOOK_EVERY)
            if heard == b"":
                return Ending.IN_ORDER if self._told == ALL_IS_WELL else Ending.GONE
            self._told += heard or b""
            if self._overdue():
                # What cannot be taken back then is due again when as much time has passed.
                self._seen.clear()
                return Ending.OVERDUE

    def take_back(self, ending: Ending) -> list[str]:
        """Replay the journal until nothing is pending, for a bounded time. Returns what is left, in one line each.

        Of a run that is still there only effects are taken back, and not what was made for the experiment.
        """
        after = self._made if ending is Ending.OVERDUE else 0
        self._say(f"{self._file}: {ending.value}")
        deadline, pause = self._clock.monotonic() + TRY_FOR, FIRST_PAUSE
        while True:
            try:
                failures = self._replay(after)
            except (HarnessError, OSError) as error:
                failures = [str(error)]
            except Exception as error:  # noqa: BLE001 - a bug in the undo of one effect ends no tries of the others
                failures = [f"{type(error).__name__}: {error}"]
            if not failures or self._clock.monotonic() >= deadline:
                return failures
            self._say(f"tried again in {pause:g} s: {'; '.join(failures)}")
            self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _replay(self, after: int) -> list[str]:
        page = self._read()
        pending = _pending(page, after)
        if page.origin is None or not pending:
            return []
        origin = page.origin

        def mark(entry: UndoEntry) -> None:
            self._say(f"{entry.description}: {entry.state}{f': {entry.error}' if entry.error else ''}")
            # A mark that is missing costs an undo that finds nothing to do.
            with suppress(OSError):
                append_line(self._file, origin, entry)

        with closing(self._connect()) as cluster:
            # Raises UndoFailed. Nothing is marked in the cluster, since that waits for an API that may be away.
            take_back(pending, cluster, self._actions, self._clock, mark)
            if not _pending(self._read(), 0):
                # Of a run that lives no sweep takes it away; of any other one does, later.
                with suppress(ApiError):
                    _withdraw(cluster.api, origin)
        return []

    def _overdue(self) -> bool:
        try:
            effects = _pending(self._read(), self._made)
        except (HarnessError, OSError):
            return False
        now = self._clock.monotonic()
        ages = [(now - self._seen.setdefault(entry.id, now), _lifetime(entry)) for entry in effects]
        return bool(ages) and all(age > lifetime for age, lifetime in ages)

    def _read(self) -> Page:
        # The run may have died before it wrote a line.
        return decode(self._file.read_bytes()) if self._file.exists() else Page(None, ())


def _pending(page: Page, after: int) -> list[UndoEntry]:
    return [entry for entry in page.entries if entry.id > after and entry.state != "done"]


def _withdraw(api: KubeApi, origin: Origin) -> None:
    for copy in find_copies(api):
        if copy.page.origin == origin:
            for name in copy.names:
                delete_if_there(api, name)


def _lifetime(entry: UndoEntry) -> float:
    """For how long its effect may be needed. Both stamps are of one clock, read at one moment."""
    try:
        return parse_kubernetes_time(entry.expires) - parse_kubernetes_time(entry.written)
    except ValueError:
        return float("inf")
