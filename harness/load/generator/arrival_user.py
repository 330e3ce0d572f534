"""One Locust user that dispatches arrivals by the clock, each in a greenlet of its own.

Locust's own wait times are closed-loop: a user that waits for an answer starts nothing meanwhile, so a stalled service
silently gets less load and looks better than it is. Here the schedule alone says when a request is due.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from pathlib import Path

import gevent
from gevent.event import Event
from locust import User, constant, task
from locust.env import Environment

from harness.load.behaviour import OK
from harness.load.catalogue import load_behaviour
from harness.load.generator.client import ArrivalClient
from harness.load.generator.commands import read_commands
from harness.load.generator.http_connections import HttpConnections
from harness.load.generator.metrics import Metrics
from harness.load.generator.recorder import Recorder
from harness.load.plan import Settings
from harness.load.schedule import ArrivalSchedule
from harness.load.secrets import with_secrets
from harness.load.wire import STOPPED, EnterPhase, Stop, record_line
from harness.priority import raise_priority
from harness.retired_ports import RetiredPorts

PROBE_EVERY = 0.1
# So many arrivals are started in a row when several are due: a turn of the event loop for each costs more than it does.
TURN = 8
# For Locust and the records; besides, each worker has a connection in use and one that is kept.
SPARE_FILES = 256
# The kernel ends the process this long after its time even when nothing in it runs any more.
ALARM_GRACE = 30


class ArrivalUser(User):
    """The only user of the load process."""

    # Locust logs an exception and runs the task again after this time; by then it has quit.
    wait_time = constant(60)

    @task
    def generate(self) -> None:
        """The whole load; Locust quits when it is over."""
        # Locust's closing tables are rounded, judged by nobody, and would bury the last words of a process that failed.
        logging.getLogger("locust.stats_logger").disabled = True
        options = self.environment.parsed_options
        settings = Settings.model_validate_json(Path(options.resilience_settings).read_text(encoding="utf-8"))
        finished = False
        try:
            Arrivals(settings, Path(options.resilience_records), self.environment).run()
            finished = True
        finally:
            self.environment.process_exit_code = 0 if finished else 1
            gevent.spawn(self.environment.runner.quit)


class Arrivals:
    """Dispatches what is due until it is told to stop, its input closes, or its time is over."""

    def __init__(self, settings: Settings, records: Path, environment: Environment) -> None:
        self._settings = settings
        options = with_secrets(settings.options, os.environ)
        self._behaviour = load_behaviour(settings.behaviour_file).model_validate(options)
        self._schedule = ArrivalSchedule(settings.profile, settings.rate)
        self._in_flight = 0
        self._landed = Event()
        self._metrics = Metrics(settings, lambda: self._in_flight)
        self._recorder = Recorder(records, self._metrics, environment)
        self._connections = HttpConnections(settings, self._behaviour, RetiredPorts(SPARE_FILES + 2 * settings.workers))
        self._changed = Event()
        self._end: str | None = None
        self._end_at = 0.0

    def run(self) -> None:
        """From the first probe to the last record."""
        raise_priority()
        signal.alarm(int(self._settings.max_seconds) + ALARM_GRACE)
        port = self._metrics.serve()
        for greenlet in (
            gevent.spawn(self._recorder.keep_flushing),
            gevent.spawn(read_commands, self._obey, self._stop),
        ):
            greenlet.link_exception(lambda failed: self._broken(failed.exception))
        gevent.spawn_later(self._settings.max_seconds, self._stop, "its longest time is over")
        if self._probe_answered():
            self._recorder.write(record_line("ready", time.monotonic(), port))
            # What the imports made stays: looking through it again and again costs pauses that the target would get.
            gc.freeze()
            self._dispatch()
            self._landed.clear()
            if self._in_flight:
                self._landed.wait(timeout=self._settings.request_limit + 1)
        self._recorder.write(record_line("end", time.monotonic(), self._end))
        self._recorder.flush()

    def _obey(self, command: EnterPhase | Stop) -> None:
        if isinstance(command, Stop):
            self._stop(STOPPED)
        else:
            self._schedule.enter(command.phase, command.at)
            self._changed.set()

    def _stop(self, reason: str) -> None:
        if self._end is None:
            self._end, self._end_at = reason, time.monotonic()
        self._changed.set()

    def _broken(self, error: Exception) -> None:
        # A bug in a behaviour, or a record file that cannot be written: results from here on would be wrong.
        self._stop(f"{type(error).__name__}: {error}")

    def _probe_answered(self) -> bool:
        said = ""
        while self._end is None:
            client = ArrivalClient(self._connections, self._recorder, self._settings.run)
            self._behaviour.probe(client)
            if client.last_outcome == OK:
                return True
            if client.last_outcome != said:
                said = client.last_outcome
                self._recorder.write(record_line("waiting", time.monotonic(), said))
            gevent.sleep(PROBE_EVERY)
        return False

    def _dispatch(self) -> None:
        while True:
            due = self._schedule.peek()
            now = time.monotonic()
            if self._end is not None and (due is None or due > self._end_at):
                return
            if due is None or due > now:
                if self._changed.wait(timeout=None if due is None else due - now):
                    self._changed.clear()
                continue
            self._schedule.take()
            if self._begin(due, now - due) % TURN == 0:
                # Behind time nothing else would give way: let requests that are in flight read their answers.
                gevent.sleep(0)

    def _begin(self, due: float, behind: float) -> int:
        number = self._recorder.arrived()
        if behind > self._settings.late_after:
            self._recorder.dropped(due, "being late")
        elif self._in_flight >= self._settings.workers:
            self._recorder.dropped(due, "want of a free worker")
        else:
            self._in_flight += 1
            # A greenlet without the trimmings (links, a value, a pool), which take longer than to send a request.
            gevent.spawn_raw(self._arrive, due, number)
        return number

    def _arrive(self, due: float, number: int) -> None:
        client = ArrivalClient(self._connections, self._recorder, self._settings.run, intended=due)
        try:
            self._behaviour.arrive(client, number)
        except Exception as error:  # noqa: BLE001  whatever a behaviour raises ends the load and is told
            self._broken(error)
        finally:
            self._in_flight -= 1
            if not self._in_flight and self._end is not None:
                self._landed.set()
