"""Runs the prober's process: starts it, reads what it recorded, and ends it for sure.

The process has a session of its own, so that Ctrl-C reaches the harness alone; and it ends by itself when the
harness is gone, since its standard input closes then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import harness
from harness.clock import Clock
from harness.errors import HarnessError, Inconclusive, TimedOut
from harness.observation import RequestSeen
from harness.prober.wire import OK, STOPPED, RecordReader, Settings
from harness.waiting import wait_until

STOP_GRACE = 2.0
# The process says something once a second. This much silence is a process that is frozen or starved: no measurement.
SILENCE = 10.0
LAST_LINES = 12


class RunningProber:
    """A prober's process, from ``start`` to ``stop``."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, streams: int, clock: Clock) -> None:
        self._process = process
        self._folder = folder
        self._clock = clock
        self._started = clock.monotonic()
        self._reader = RecordReader(_records(folder), streams)
        self._seen: list[list[RequestSeen]] = [[] for _ in range(streams)]

    @classmethod
    def start(cls, settings: Settings, folder: Path, clock: Clock, command: Sequence[str] = ()) -> RunningProber:
        """Start it, with ``command`` in front (``nsenter …``); its files go into ``folder`` (``prober-*``).

        Raises HarnessError when it cannot be started.
        """
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "prober-settings.json"
        settings.write(file)
        _records(folder).write_bytes(b"")
        with _output(folder).open("wb") as output:
            try:
                process = subprocess.Popen(
                    [
                        *command,
                        sys.executable,
                        "-m",
                        "harness.prober",
                        str(file.resolve()),
                        str(_records(folder).resolve()),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    start_new_session=True,
                )
            except OSError as error:
                raise HarnessError(f"the prober cannot be started: {error}") from error
        return cls(process, folder, len(settings.streams), clock)

    @property
    def pid(self) -> int:
        """The process; with a command in front of it, that command, and always the leader of its own group."""
        return self._process.pid

    def wait_ready(self, names: Sequence[str], seconds: float) -> None:
        """Wait until every stream had a good answer; ``names`` are theirs. Raises Inconclusive."""

        def look() -> tuple[bool | None, str]:
            self._reader.poll()
            died = self.failure()
            if died:
                raise Inconclusive(died)
            silent = [
                f"{name}: {probes[-1].outcome if probes else 'no probe has ended yet'}"
                for name, probes in zip(names, self._reader.probes, strict=True)
                if not any(probe.outcome == OK for probe in probes)
            ]
            return (None, "; ".join(silent)) if silent else (True, "")

        try:
            wait_until("prober: a good answer to every stream of probes", look, seconds, self._clock, every=0.05)
        except TimedOut as error:
            raise Inconclusive(str(error)) from error

    def failure(self) -> str | None:
        """Why it no longer probes, or None while it does."""
        code = self._process.poll()
        self._reader.poll()
        if self._reader.damaged:
            return f"prober: {self._reader.damaged} damaged lines in {self._reader.file.name}"
        if self._reader.end is not None and self._reader.end != STOPPED:
            return f"prober: the process ended: {self._reader.end}"
        if code is not None and self._reader.end is None:
            return self._told(f"prober: the process ended with exit code {code}")
        silent = self._clock.monotonic() - (self._reader.last_said or self._started)
        if code is None and silent > SILENCE:
            return f"prober: the process has been silent for {silent:.0f} s: frozen, or starved of CPU"
        return None

    def seen(self, stream: int, origin: float) -> list[RequestSeen]:
        """The finished probes of a stream, in the order of their ends; seconds since ``origin``, always the same."""
        self._reader.poll()
        found = self._seen[stream]
        found += [
            RequestSeen(
                intended=probe.intended - origin,
                started=probe.started - origin,
                finished=probe.finished - origin,
                ok=probe.outcome == OK,
                outcome=probe.outcome,
                name="",
            )
            for probe in self._reader.probes[stream][len(found) :]
        ]
        return list(found)

    def dropped(self, stream: int) -> int:
        """How many probes of a stream were due and never started."""
        return self._reader.drops[stream].total()

    def stop(self) -> None:
        """End the process: asked first, then killed. May be called again."""
        if self._process.stdin and not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(STOP_GRACE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                # The group, because the process may stand behind a command that does not pass signals on.
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.poll()

    def _told(self, what: str) -> str:
        text = _output(self._folder).read_text(encoding="utf-8", errors="replace")
        said = [line for line in text.splitlines() if line.strip()][-LAST_LINES:]
        return "\n".join([what, *(f"  | {line}" for line in said)])


def _environment() -> dict[str, str]:
    root = str(Path(harness.__file__).resolve().parents[1])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    return {**os.environ, "PYTHONPATH": path}


def _records(folder: Path) -> Path:
    return folder / "prober-records.jsonl"


def _output(folder: Path) -> Path:
    return folder / "prober-output.log"
