"""Runs the prober's process: starts it, reads what it recorded, and ends it; see ``harness.child`` for how."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.child import Child
from harness.clock import Clock
from harness.errors import Inconclusive, TimedOut
from harness.observation import RequestSeen
from harness.prober.wire import OK, STOPPED, RecordReader, Settings
from harness.waiting import wait_until

STOP_GRACE = 2.0
# The process says something once a second. This much silence is a process that is frozen or starved: no measurement.
SILENCE = 10.0


class RunningProber:
    """A prober's process, from ``start`` to ``stop``."""

    def __init__(self, process: Child, folder: Path, streams: int, clock: Clock) -> None:
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
        whole = [*command, sys.executable, "-m", "harness.prober", str(file.resolve()), str(_records(folder).resolve())]
        process = Child.start("the prober", whole, folder / "prober-output.log")
        return cls(process, folder, len(settings.streams), clock)

    @property
    def pid(self) -> int:
        """See ``Child.pid``."""
        return self._process.pid

    def wait_ready(self, names: Sequence[str], seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until every stream had a good answer; ``names`` are theirs. Raises Inconclusive.

        ``meanwhile`` is called at every look and may end the wait by what it raises.
        """

        def look() -> tuple[bool | None, str]:
            meanwhile()
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
        code = self._process.exit_code()
        self._reader.poll()
        if self._reader.damaged:
            return f"prober: {self._reader.damaged} damaged lines in {self._reader.file.name}"
        if self._reader.end is not None and self._reader.end != STOPPED:
            return f"prober: the process ended: {self._reader.end}"
        if code is not None and self._reader.end is None:
            return self._process.with_last_words(f"prober: the process ended with exit code {code}")
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
        """End the process. May be called again."""
        self._process.end(STOP_GRACE)
        self._reader.poll()


def _records(folder: Path) -> Path:
    return folder / "prober-records.jsonl"
