"""A dead-man switch for effects on machines: a process that outlives the run and undoes them if the run cannot.

A fault on a node's machine (its power, network or services) is injected from the host that runs the harness, so a
janitor inside the cluster cannot undo it. Before such a fault, a separate process is started on the host. It watches
two things: the end of its standard input, which the kernel closes however the run ends; and the age of the effects in
the experiment's undo journal, because a run that hangs or was stopped by Ctrl-Z never closes the pipe. In both cases it
replays that one journal from disk. It does not take the run's Lease first: the journal belongs to one experiment, and
other processes of the same run may still be working. Undoing machine effects needs no API server. It retries for a
bounded time while entries are pending; ``harness sweep`` then handles leftovers that no journal records. A run that has
undone everything stands the switch down. While the switch is alive, no other experiment of the run begins, since it
would measure the damage as its steady state.

Effects in pods expire inside the pod (``harness/faults/process_hang.py``); effects in the API can be undone from
anywhere, by ``harness sweep`` or the janitor.
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

from harness.cluster.command_lines import cluster_arguments
from harness.cluster.kube.client import KubeApi
from harness.cluster.protocol import Cluster
from harness.common.clock import Clock, parse_kubernetes_time
from harness.common.errors import ApiError, HarnessError
from harness.safety.leases.worker_lock import held_machines
from harness.safety.undo.cluster_copy import delete_if_there, find_copies
from harness.safety.undo.entry import Origin, Page, UndoEntry, decode
from harness.safety.undo.journal import UndoAction, append_line, undo_entries

# Written to the switch's input when nothing is left to undo.
ALL_IS_WELL = b"all is well"
STOP_WITHIN = 10.0
# Seconds between two checks of the effects' age.
LOOK_EVERY = 2.0
# How long undo is retried, and the pauses between attempts, in seconds. A restarting API server is back within minutes;
# an unattended background process must not run for ever.
TRY_FOR = 1800.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class DeadMan:
    """The run's handle on the switch. Creating it starts the process.

    ``folder`` is the run's folder, which receives the log. ``journal`` is the experiment's undo journal. Its entries
    with ids up to ``made`` are the experiment's own objects, such as its namespace, and not effects of faults.
    """

    def __init__(self, cluster: Cluster, run: str, folder: Path, journal: Path, made: int) -> None:
        where = [*cluster_arguments(cluster.context, cluster.kubeconfig), "--reports", str(folder)]
        which = ["--orphaned", str(journal), "--made", str(made), "--run", run]
        command = [sys.executable, "-m", "harness.cli", "sweep", *which, *where]
        # A flock belongs to the open file, which the child inherits: the lock lasts until both processes have closed
        # it.
        with (folder / "deadman.log").open("ab") as log, held_machines(folder) as held:
            # A new session, so that Ctrl-C at the terminal reaches only the run.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, pass_fds=[held]
            )

    def stand_down(self) -> None:
        """End the switch, since nothing is left to undo. Wait up to ``STOP_WITHIN`` seconds for its exit."""
        stream = self._process.stdin
        if stream and not stream.closed:
            with suppress(BrokenPipeError):
                stream.write(ALL_IS_WELL)
                stream.close()
            # On a busy machine it may not have started reading yet. The pipe keeps the message until it does.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN)

    def take_over(self) -> None:
        """Make the switch undo what the run could not undo. The next experiment of the run waits for its exit."""
        if self._process.stdin:
            self._process.stdin.close()


class Ending(Enum):
    """The state of the run, as seen by its switch."""

    IN_ORDER = "the run has undone everything"
    GONE = "the run has ended, or has stopped trying to undo its effects"
    OVERDUE = "the run is still alive, but its effects have outlasted their expected duration"


def listen(seconds: float, stream: int = 0) -> bytes | None:
    """Read what the run writes within ``seconds``. Return None for nothing, and b"" if the run has closed the pipe."""
    ready, _, _ = select.select([stream], [], [], seconds)
    return os.read(stream, 1024) if ready else None


class Guard:
    """The switch process itself. ``connect`` connects to the cluster; it may fail and is then retried."""

    def __init__(
        self,
        journal: Path,
        made: int,
        clock: Clock,
        *,
        connect: Callable[[], Cluster],
        actions: Mapping[str, UndoAction],
        progress: Callable[[str], None],
        listen: Callable[[float], bytes | None] = listen,
    ) -> None:
        self._file, self._made, self._clock = journal, made, clock
        self._connect, self._actions, self._progress, self._listen = connect, actions, progress, listen
        self._received = b""
        # When each effect was first seen, in monotonic seconds, so that setting the wall clock makes none overdue.
        self._seen: dict[int, float] = {}

    def wait(self) -> Ending:
        """Wait until the run ends, or until every pending effect is older than the lifetime in its journal entry."""
        while True:
            received = self._listen(LOOK_EVERY)
            # Only the whole message counts: a run that dies while it writes has not undone everything.
            if received == b"":
                return Ending.IN_ORDER if self._received == ALL_IS_WELL else Ending.GONE
            self._received += received or b""
            if self._overdue():
                # An effect that cannot be undone now is due again after another lifetime.
                self._seen.clear()
                return Ending.OVERDUE

    def undo_entries(self, ending: Ending) -> list[str]:
        """Replay the journal until nothing is pending, for up to ``TRY_FOR`` seconds. Return one line per failure.

        While the run is still alive, only effects are undone: its namespace and objects may be in use.
        """
        after = self._made if ending is Ending.OVERDUE else 0
        self._progress(f"{self._file}: {ending.value}")
        deadline, pause = self._clock.monotonic() + TRY_FOR, FIRST_PAUSE
        while True:
            try:
                failures = self._replay(after)
            except (HarnessError, OSError) as error:
                failures = [str(error)]
            except Exception as error:  # noqa: BLE001 - a bug in one effect's undo must not end the retries
                failures = [f"{type(error).__name__}: {error}"]
            if not failures or self._clock.monotonic() >= deadline:
                return failures
            self._progress(f"retrying in {pause:g} s: {'; '.join(failures)}")
            self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _replay(self, after: int) -> list[str]:
        page = self._read()
        pending = _pending(page, after)
        if page.origin is None or not pending:
            return []
        origin = page.origin

        def mark(entry: UndoEntry) -> None:
            self._progress(f"{entry.description}: {entry.state}{f': {entry.error}' if entry.error else ''}")
            # Undo actions are idempotent, so a lost mark only repeats one.
            with suppress(OSError):
                append_line(self._file, origin, entry)

        with closing(self._connect()) as cluster:
            # Raises UndoFailed. The copy in the cluster is not updated, since the API server may be unreachable.
            undo_entries(pending, cluster, self._actions, self._clock, mark)
            if all(entry.state == "done" for entry in self._read().entries):
                # A sweep deletes the copies of dead runs only, and this run may still be alive.
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
    """Return the entries to undo. Objects kept on purpose are left to the sweep, which marks them as kept."""
    return [entry for entry in page.entries if entry.id > after and entry.state != "done" and not entry.stays]


def _withdraw(api: KubeApi, origin: Origin) -> None:
    for copy in find_copies(api):
        if copy.page.origin == origin:
            for name in copy.names:
                delete_if_there(api, name)


def _lifetime(entry: UndoEntry) -> float:
    """Return for how many seconds the effect may be needed. Both timestamps come from one reading of one clock."""
    try:
        return parse_kubernetes_time(entry.expires) - parse_kubernetes_time(entry.written)
    except ValueError:
        return float("inf")
