"""Runs the load process: starts it, tells it the phases, reads what it recorded, and ends it for sure.

Locust runs in a process of its own because importing it patches the importing one; see ``harness.child`` for how.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.child import Child
from harness.clock import Clock
from harness.errors import HarnessError, Inconclusive, TimedOut
from harness.load.behaviour import OK
from harness.load.plan import LoadPlan, Settings
from harness.load.secrets import check_secrets
from harness.load.wire import STOPPED, EnterPhase, RecordReader, Stop
from harness.observation import PHASES, LoadSummary, RequestSeen
from harness.waiting import wait_until

LOCUSTFILE = Path(__file__).parent / "generator" / "locustfile.py"
STOP_GRACE = 3.0
# The process reports at least once a second. This much silence is a process that is frozen or starved: no measurement.
SILENCE = 10.0
# A start this much behind its time counts as late; more than this share of late or dropped arrivals is saturation.
LATE = 0.1
SATURATED = 0.01


class RunningLoad:
    """A load process, from ``start`` to ``stop``; also a context manager, which stops it."""

    def __init__(self, process: Child, settings: Settings, folder: Path, clock: Clock) -> None:
        self._process = process
        self._settings = settings
        self._folder = folder
        self._clock = clock
        self._reader = RecordReader(_records(folder))
        self._started = clock.monotonic()
        self._seen: list[RequestSeen] = []
        self._seen_origin: float | None = None
        self._summary: LoadSummary | None = None

    @classmethod
    def start(cls, plan: LoadPlan, folder: Path, clock: Clock) -> RunningLoad:
        """Start the process; its settings, records and output go into ``folder`` (``load-*``).

        Raises InputError with everything that is wrong in the plan, HarnessError when the process cannot be started.
        """
        settings = plan.settings()
        check_secrets(settings.options, os.environ)
        folder.mkdir(parents=True, exist_ok=True)
        settings_file = folder / "load-settings.json"
        settings_file.write_text(settings.model_dump_json(indent=2), encoding="utf-8")
        _records(folder).write_bytes(b"")
        command = [*plan.command, *locust_command(settings_file.resolve(), _records(folder).resolve(), settings)]
        # Locust takes any option from LOCUST_*: what somebody set for their own tests must not change ours.
        environ = {key: value for key, value in os.environ.items() if not key.startswith("LOCUST_")}
        process = Child.start("the load process", command, folder / "load-output.log", environ)
        return cls(process, settings, folder, clock)

    @property
    def pid(self) -> int:
        """See ``Child.pid``."""
        return self._process.pid

    @property
    def metrics_port(self) -> int | None:
        """The port of the Prometheus metrics, once it is ready; None when it serves none."""
        return self._reader.metrics_port

    def wait_ready(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until the target answered a probe request. Raises Inconclusive when it did not, or the process died.

        ``meanwhile`` is called at every look and may end the wait by what it raises.
        """

        def look() -> tuple[bool | None, str]:
            meanwhile()
            self._reader.poll()
            if self._reader.ready:
                return True, ""
            died = self.failure()
            if died:
                raise Inconclusive(died)
            return None, self._reader.waiting_for or "the process is starting"

        target = f"{self._settings.host}:{self._settings.port}"
        try:
            wait_until(f"load: an answer of {target}", look, seconds, self._clock, every=0.05)
        except TimedOut as error:
            raise Inconclusive(str(error)) from error

    def phase(self, name: str, at: float) -> None:
        """The experiment enters a phase at ``at``, absolute monotonic seconds."""
        if name not in PHASES:
            raise HarnessError(f"found the phase {name!r}, expected one of {', '.join(PHASES)}")
        self._process.say(EnterPhase(name, at).line())

    def failure(self) -> str | None:
        """Why it no longer makes load, or None while it does."""
        code = self._process.exit_code()
        self._reader.poll()
        if self._reader.end not in {None, STOPPED}:
            return self._process.with_last_words(f"load: the process ended: {self._reader.end}")
        if code is not None:
            if self._reader.end == STOPPED:
                return "load: the process was stopped"
            return self._process.with_last_words(f"load: the process ended with exit code {code}")
        silent = self._clock.monotonic() - (self._reader.last_said or self._started)
        if self._reader.ready and silent > SILENCE:
            return f"load: the process has been silent for {silent:.0f} s: frozen, or starved of CPU"
        return None

    def requests(self, origin: float) -> list[RequestSeen]:
        """All requests finished so far, in the order of their ends, times in seconds since ``origin`` (monotonic)."""
        self._reader.poll()
        if origin != self._seen_origin:
            self._seen, self._seen_origin = [], origin
        self._seen += [
            RequestSeen(
                intended=request.intended - origin,
                started=request.started - origin,
                finished=request.finished - origin,
                ok=request.outcome == OK,
                outcome=request.outcome,
                name=request.name,
                key=request.key,
            )
            for request in self._reader.requests[len(self._seen) :]
        ]
        return list(self._seen)

    def stop(self) -> LoadSummary:
        """End the process: asked first, then TERM, then KILL; all bounded. Says what it did. May be called again."""
        if self._summary is None:
            failed = self.failure()
            self._process.end(self._settings.request_limit + STOP_GRACE, Stop().line())
            self._reader.poll()
            self._summary = self._summarise(failed or self.failure())
        return self._summary

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _summarise(self, failed: str | None) -> LoadSummary:
        reader = self._reader
        errors = [] if failed in {None, "load: the process was stopped"} else [str(failed)]
        saturated = reader.dropped > SATURATED * reader.offered
        if saturated:
            drops = ", ".join(f"{count} for {reason}" for reason, count in sorted(reader.drops.items()))
            errors.append(
                f"load: the generator was saturated: of {reader.offered} arrivals"
                f" {reader.dropped} were dropped ({drops})"
            )
        if reader.damaged:
            errors.append(f"load: {reader.damaged} damaged lines in {reader.file.name}")
        return LoadSummary(
            offered=reader.offered,
            achieved=reader.offered - reader.dropped,
            dropped=reader.dropped,
            failed=sum(request.outcome != OK for request in reader.requests),
            # What was late but sent was offered all the same; whether it blurs a latency is the latency's to judge.
            saturated=saturated,
            late=sum(request.started - request.intended > LATE for request in reader.requests),
            error="; ".join(errors),
        )


def locust_command(settings_file: Path, records: Path, settings: Settings) -> Sequence[str]:
    """The command line of the load process, without the plan's own prefix."""
    return [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE)),
        *("--headless", "--users", "1", "--spawn-rate", "1"),
        *("--exit-code-on-error", "0", "--only-summary", "--loglevel", "WARNING"),
        *("--host", f"http://{settings.host}:{settings.port}"),
        *("--resilience-settings", str(settings_file), "--resilience-records", str(records)),
    ]


def _records(folder: Path) -> Path:
    return folder / "load-records.jsonl"
