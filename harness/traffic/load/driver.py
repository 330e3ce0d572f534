"""The driver of the load: starts its worker processes, sends them the phases, reads their records and stops them.

Locust runs in separate processes because importing it patches the importing process; see ``harness.traffic.process``.
The arrivals are divided among the workers by their number: see ``harness.traffic.load.schedule.ArrivalShare``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from harness.common.clock import Clock
from harness.common.errors import HarnessError, Inconclusive, TimedOut
from harness.common.waiting import wait_until
from harness.model.history import History, HistoryStore
from harness.model.phase_names import PHASES
from harness.model.request_store import RequestStore, Row
from harness.model.requests import Requests
from harness.model.timeline import LoadSummary
from harness.traffic.load.command import clean_environment, locust_command
from harness.traffic.load.plan import LoadPlan, Settings
from harness.traffic.load.reader import RecordReader
from harness.traffic.load.secrets import check_secrets
from harness.traffic.load.wire import STOPPED, EnterPhase, Request, Stop, operation_line
from harness.traffic.process import Child
from harness.traffic.tail import compress

STOP_GRACE = 3.0
# The process writes a record at least once a second. Without one for this long it is frozen or starved of CPU.
SILENCE = 10.0
# The generator counts as saturated if more than this share of the arrivals was dropped.
SATURATED = 0.01
# With several workers on this machine: the time until each has read a command, even if it waits for a CPU.
LEAD = 0.25
WAS_STOPPED = "load: the process was stopped"


class WorkerProcess(Protocol):
    """A process that generates load, wherever it runs. ``harness.traffic.process.Child`` is one on this machine."""

    def exit_code(self) -> int | None:
        """Return the exit code, or None while the process runs."""

    def progress(self, line: bytes) -> None:
        """Send a command line."""

    def end(self, grace: float, farewell: bytes = b"") -> None:
        """End the process after at most ``grace`` seconds, with its whole record in the local record file."""

    def with_last_output(self, message: str) -> str:
        """Return ``message`` followed by the last lines of the process's output."""


@dataclass(frozen=True)
class Worker:
    """A worker: its process, the reader of its records, and its name in messages.

    ``silence`` is the number of seconds without a record after which it counts as frozen. ``lost`` returns why its
    records are incomplete or it cannot be controlled, or None. ``refresh`` makes sure that a command will arrive soon.
    """

    process: WorkerProcess
    reader: RecordReader
    name: str = "the process"
    silence: float = SILENCE
    lost: Callable[[], str | None] = lambda: None
    refresh: Callable[[], None] = lambda: None

    def failure(self, now: float, started: float) -> str | None:
        """Return why the worker no longer generates load, or None while it does."""
        code = self.process.exit_code()
        self.reader.poll()
        if why := self.lost():
            return f"load: {self.name} was lost: {why}"
        if self.reader.end not in {None, STOPPED}:
            return self.process.with_last_output(f"load: {self.name} ended: {self.reader.end}")
        if code is not None:
            if self.reader.end == STOPPED:
                return WAS_STOPPED
            return self.process.with_last_output(f"load: {self.name} ended with exit code {code}")
        silent = now - (self.reader.last_report or started)
        if self.reader.ready and silent > self.silence:
            return f"load: no record from {self.name} for {silent:.0f} s: it is frozen or starved of CPU"
        return None


class Destination(Protocol):
    """Where a load goes, and how long one of its requests may take in seconds."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def request_limit(self) -> float: ...


class RunningLoad:
    """The load between ``start`` and ``stop``; as a context manager it is stopped at the end.

    ``lead`` is the number of seconds between the announcement of a phase, or of the stop, and its effect on the
    arrivals. Several workers need it, because each of them must have the command before that instant.
    """

    def __init__(
        self, workers: Sequence[Worker], settings: Destination, folder: Path, clock: Clock, lead: float = 0.0
    ) -> None:
        self._workers = workers
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._lead = lead
        self._started = clock.monotonic()
        self._requests = RequestStore()
        # The requests of several workers, for their common record, whoever takes them meanwhile.
        self._together = RequestStore()
        # Read, and not taken yet.
        self._new: list[Row] = []
        self._operations = HistoryStore()
        self._summary: LoadSummary | None = None

    @classmethod
    def start(cls, plan: LoadPlan, folder: Path, clock: Clock) -> RunningLoad:
        """Start the processes; write their settings, records and output to ``folder`` (``load-*``).

        Raises InputError with all problems of the plan, HarnessError if a process cannot be started.
        """
        settings = plan.settings()
        check_secrets(settings.options, os.environ)
        folder.mkdir(parents=True, exist_ok=True)
        started: list[Worker] = []
        try:
            for number in range(settings.workers):
                # One by one, not ``extend``: those that were started must be ended if a later one cannot be.
                own = settings.model_copy(update={"worker": number})
                started.append(_start(plan, own, folder))
        except BaseException:
            for worker in started:
                worker.process.end(0.0)
            raise
        return cls(started, settings, folder, clock, LEAD if settings.workers > 1 else 0.0)

    @property
    def pids(self) -> list[int]:
        """The process IDs of the workers on this machine; see ``Child.pid``."""
        return [worker.process.pid for worker in self._workers if isinstance(worker.process, Child)]

    @property
    def metrics_ports(self) -> list[int]:
        """The ports of the Prometheus metrics; empty before the workers are ready, or if they serve no metrics."""
        return [worker.reader.metrics_port for worker in self._workers if worker.reader.metrics_port is not None]

    def wait_ready(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait up to ``seconds`` until the target has answered every worker. Raises Inconclusive if it has not, or if a
        worker ends.

        ``meanwhile`` is called on every check and may end the wait by raising an error.
        """

        def look() -> tuple[bool | None, str]:
            meanwhile()
            died = self.failure()
            if died:
                raise Inconclusive(died)
            waiting = [worker for worker in self._workers if not worker.reader.ready]
            if not waiting:
                return True, ""
            return None, waiting[0].reader.waiting_for or f"{waiting[0].name} is starting"

        target = f"{self._settings.host}:{self._settings.port}"
        try:
            wait_until(f"load: a response from {target}", look, seconds, self._clock, every=0.05)
        except TimedOut as error:
            raise Inconclusive(str(error)) from error

    def phase(self, name: str, at: float) -> None:
        """Announce that the experiment enters a phase at ``at`` (monotonic seconds)."""
        if name not in PHASES:
            raise HarnessError(f"found the phase {name!r}, expected one of {', '.join(PHASES)}")
        self._announce(EnterPhase(name, at, self._effective(at)).line())

    def failure(self) -> str | None:
        """Return why the load is no longer generated as planned, or None while it is."""
        now = self._clock.monotonic()
        found = [worker.failure(now, self._started) for worker in self._workers]
        # A worker that failed says more than the others, which may only have been stopped.
        return next((why for why in found if why and why != WAS_STOPPED), next(filter(None, found), None))

    def requests(self, origin: float) -> Requests:
        """Return all finished requests in the order in which they were read; times in seconds since ``origin``.

        ``origin`` is monotonic. What was returned earlier is the beginning of it, and none of it is copied.
        """
        self.read_into(self._requests)
        return Requests.of(self._requests, origin)

    def read_into(self, store: RequestStore, source: int = 0) -> None:
        """Append the requests that are new since the last call to a store, as those of a source."""
        self._read()
        store.append(self._new, source)
        self._new = []

    def _read(self) -> None:
        new: list[Row] = []
        for worker in self._workers:
            worker.reader.poll()
            new += worker.reader.take_new()
        if len(self._workers) > 1:
            # What is read at one time is in the order of the ends, as the records of one worker are.
            new.sort(key=lambda row: row[2])
            self._together.append(new)
        self._new += new

    def history(self, origin: float, error: float = 0.0) -> History:
        """Return all operations on a database so far; see ``History.of``. The workers' clients are numbered in turn."""
        for number, worker in enumerate(self._workers):
            worker.reader.poll()
            self._operations.append(
                [(row[0] * len(self._workers) + number, *row[1:]) for row in worker.reader.take_operations()]
            )
        return History.of(self._operations, origin, error)

    def stop(self) -> LoadSummary:
        """Stop the workers (stop command, then TERM, then KILL, each with a time limit) and summarise their load.

        The record files are compressed. May be called again.
        """
        if self._summary is None:
            # Read before the stop command, since afterwards an exit is expected.
            failed = self.failure()
            self._announce(Stop(self._effective(self._clock.monotonic())).line())
            for worker in self._workers:
                # Requests in flight may take up to their own time limit.
                worker.process.end(self._lead + self._settings.request_limit + STOP_GRACE)
                worker.reader.poll()
            self._summary = summarise([worker.reader for worker in self._workers], failed or self.failure() or "")
            if len(self._workers) > 1:
                self._read()
                merge(Requests.of(self._together, 0.0), self.history(0.0), records_file(self._folder))
            for file in {*(worker.reader.file for worker in self._workers), records_file(self._folder)}:
                compress(file)
        return self._summary

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _effective(self, at: float) -> float:
        """Return when a command of the time ``at`` takes effect: late enough that every worker has it by then."""
        if not self._lead:
            return at
        for worker in self._workers:
            worker.refresh()
        return max(at, self._clock.monotonic()) + self._lead

    def _announce(self, line: bytes) -> None:
        for worker in self._workers:
            worker.process.progress(line)


def _start(plan: LoadPlan, settings: Settings, folder: Path) -> Worker:
    part = f"-{settings.worker + 1}" if settings.workers > 1 else ""
    settings_file, records = folder / f"load-settings{part}.json", records_file(folder, part)
    settings_file.write_text(settings.model_dump_json(indent=2), encoding="utf-8")
    records.write_bytes(b"")
    whole = [*plan.command, *locust_command(settings_file.resolve(), records.resolve(), settings)]
    environ = clean_environment({**os.environ, **plan.secrets})
    process = Child.start("the load process", whole, folder / f"load-output{part}.log", environ)
    return Worker(process, RecordReader(records), worker_name(settings))


def worker_name(settings: Settings) -> str:
    """Return the name of a worker for messages."""
    return f"worker {settings.worker + 1} of {settings.workers}" if settings.workers > 1 else "the process"


def merge(requests: Requests, history: History, file: Path) -> None:
    """Write the requests of all workers to one record file, in the order of their intended starts, then operations."""
    ordered = requests.take(np.argsort(requests.intended, kind="stable"))
    with file.open("wb") as stream:
        for one in ordered:
            times = one.intended, one.started, one.finished
            stream.write(Request(*times, one.outcome, one.name, one.key).line())
        for done in history:
            stream.write(operation_line(done))


def summarise(readers: Sequence[RecordReader], failed: str) -> LoadSummary:
    """Return the summary of the workers' records; ``failed`` is why the load ended early, or empty.

    Its ``error`` also says if a worker's records are incomplete, or if the workers did not divide one schedule.
    """
    errors = [] if failed in {"", WAS_STOPPED} else [failed]
    offered, dropped = sum(reader.offered for reader in readers), sum(reader.dropped for reader in readers)
    drops = sum((reader.drops for reader in readers), Counter[str]())
    saturated = dropped > SATURATED * offered
    if saturated:
        listed = ", ".join(f"{reason}: {count}" for reason, count in sorted(drops.items()))
        errors.append(f"load: the generator was saturated: {dropped} of {offered} arrivals were dropped ({listed})")
    errors += [f"load: {reader.damaged} damaged lines in {reader.file.name}" for reader in readers if reader.damaged]
    if not errors and len({reader.schedule for reader in readers}) > 1:
        found = ", ".join(str(reader.schedule[0]) if reader.schedule else "unknown" for reader in readers)
        errors.append(f"load: the workers did not divide the same arrivals (the schedule of each: {found})")
    elif not errors and readers[0].schedule and readers[0].schedule[0] != offered:
        errors.append(f"load: {readers[0].schedule[0]} arrivals were due, but the workers counted {offered}")
    return LoadSummary(
        offered=offered,
        achieved=offered - dropped,
        dropped=dropped,
        failed=sum(reader.failed for reader in readers),
        # Late requests were sent, so they do not count as saturation; the latency objective judges their effect.
        saturated=saturated,
        late=sum(reader.late for reader in readers),
        error="; ".join(errors),
    )


def records_file(folder: Path, part: str = "") -> Path:
    """Return the record file in a folder: of the whole load, or of one worker."""
    return folder / f"load-records{part}.jsonl"
