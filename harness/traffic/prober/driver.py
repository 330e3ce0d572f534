"""The driver of the prober's process: starts it, reads its records and stops it; see ``harness.traffic.process``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.common.clock import Clock
from harness.common.errors import Inconclusive, TimedOut
from harness.common.waiting import wait_until
from harness.model.request_store import RequestStore
from harness.model.requests import Requests
from harness.traffic.prober.reader import RecordReader
from harness.traffic.prober.wire import OK, STOPPED, Settings
from harness.traffic.process import Child
from harness.traffic.tail import compress

STOP_GRACE = 2.0
# The process writes a record at least once a second. Without one for this long it is frozen or starved of CPU.
SILENCE = 10.0


class RunningProber:
    """A prober process between ``start`` and ``stop``."""

    def __init__(self, process: Child, folder: Path, streams: int, clock: Clock) -> None:
        self._process = process
        self._folder = folder
        self._clock = clock
        self._started = clock.monotonic()
        self._reader = RecordReader(_records(folder), streams)
        self._seen = [RequestStore() for _ in range(streams)]

    @classmethod
    def start(
        cls,
        settings: Settings,
        folder: Path,
        clock: Clock,
        command: Sequence[str] = (),
        secrets: Mapping[str, str] | None = None,
    ) -> RunningProber:
        """Start the process with the command prefix ``command`` (``nsenter …``); write its files to ``folder``.

        ``secrets`` are variables that only the environment of the process contains. The files are called ``prober-*``.
        Raises HarnessError if the process cannot be started.
        """
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "prober-settings.json"
        settings.write(file)
        _records(folder).write_bytes(b"")
        whole = [
            *command,
            sys.executable,
            "-m",
            "harness.traffic.prober",
            str(file.resolve()),
            str(_records(folder).resolve()),
        ]
        process = Child.start("the prober", whole, folder / "prober-output.log", {**os.environ, **(secrets or {})})
        return cls(process, folder, len(settings.streams), clock)

    @property
    def pid(self) -> int:
        """See ``Child.pid``."""
        return self._process.pid

    def wait_ready(self, names: Sequence[str], seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait up to ``seconds`` until every stream had a good response; raises Inconclusive if one had none.

        ``names`` are those of the streams, for the message. ``meanwhile`` is called on every check and may end the wait
        by raising an error.
        """

        def look() -> tuple[bool | None, str]:
            meanwhile()
            self._reader.poll()
            died = self.failure()
            if died:
                raise Inconclusive(died)
            silent = [
                f"{name}: {latest or 'no probe has ended yet'}"
                for name, latest, outcomes in zip(names, self._reader.latest, self._reader.outcomes, strict=True)
                if not outcomes[OK]
            ]
            return (None, "; ".join(silent)) if silent else (True, "")

        try:
            wait_until("prober: a good response for every stream of probes", look, seconds, self._clock, every=0.05)
        except TimedOut as error:
            raise Inconclusive(str(error)) from error

    def failure(self) -> str | None:
        """Return why the process no longer probes, or None while it does."""
        code = self._process.exit_code()
        self._reader.poll()
        # A damaged line is a lost probe, and an outage could begin or end with it.
        if self._reader.damaged:
            return f"prober: {self._reader.damaged} damaged lines in {self._reader.file.name}"
        if self._reader.end is not None and self._reader.end != STOPPED:
            return f"prober: the process ended: {self._reader.end}"
        if code is not None and self._reader.end is None:
            return self._process.with_last_output(f"prober: the process ended with exit code {code}")
        silent = self._clock.monotonic() - (self._reader.last_report or self._started)
        if code is None and silent > SILENCE:
            return f"prober: no record from the process for {silent:.0f} s: it is frozen or starved of CPU"
        return None

    def seen(self, stream: int, origin: float) -> Requests:
        """Return the finished probes of a stream in the order of their ends; times in seconds since ``origin``.

        ``origin`` is monotonic. What was returned earlier is the beginning of it, and none of it is copied.
        """
        self._reader.poll()
        self._seen[stream].append(self._reader.take_new(stream))
        return Requests.of(self._seen[stream], origin)

    def dropped(self, stream: int) -> int:
        """Return how many probes of a stream were due but never started."""
        return self._reader.drops[stream].total()

    def stop(self) -> None:
        """Stop the process, and compress its records. May be called again."""
        self._process.end(STOP_GRACE)
        self._reader.poll()
        compress(self._reader.file)


def _records(folder: Path) -> Path:
    return folder / "prober-records.jsonl"
