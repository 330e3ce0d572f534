"""The Locust user that starts arrivals by the clock, each in a separate greenlet.

Locust's own wait times are closed-loop: a user that waits for a response starts nothing meanwhile, so a stalled service
silently gets less load and looks better than it is. Here only the schedule determines when a request is due.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
from pathlib import Path

import gevent
from gevent.event import Event
from locust import User, constant, task
from locust.env import Environment

from harness.traffic.load.behaviour import OK
from harness.traffic.load.catalogue import load_behaviour
from harness.traffic.load.generator.client import ArrivalClient
from harness.traffic.load.generator.commands import read_commands
from harness.traffic.load.generator.http_connections import HttpConnections
from harness.traffic.load.generator.metrics import Metrics
from harness.traffic.load.generator.recorder import Recorder
from harness.traffic.load.plan import Settings
from harness.traffic.load.schedule import ArrivalShare
from harness.traffic.load.secrets import with_secrets
from harness.traffic.load.wire import STOPPED, EnterPhase, Stop, record_line
from harness.traffic.priority import raise_priority
from harness.traffic.retired_ports import RetiredPorts

PROBE_EVERY = 0.1
# The number of overdue arrivals started per turn of the event loop: one turn for each would cost too much CPU.
TURN = 8
# Open files for Locust and the records, in addition to one active and one idle connection per worker.
SPARE_FILES = 256
# The kernel kills the process this many seconds after max_seconds, in case its event loop hangs.
ALARM_GRACE = 30


class ArrivalUser(User):
    """The only user of the load process."""

    # After an exception Locust would run the task again after this time; the process has exited by then.
    wait_time = constant(60)

    @task
    def generate(self) -> None:
        """Generate the whole load, then quit Locust."""
        # Locust's final statistics tables are unused and would hide the last output of a process that failed.
        logging.getLogger("locust.stats_logger").disabled = True
        options = self.environment.parsed_options
        settings = Settings.model_validate_json(Path(options.resilience_settings).read_text(encoding="utf-8"))
        finished = False
        try:
            Arrivals(settings, Path(options.resilience_records), self.environment).run()
            finished = True
        finally:
            self.environment.process_exit_code = 0 if finished else 1
            # In another greenlet: quit() ends those of the users, and so this one.
            gevent.spawn(self.environment.runner.quit)


class Arrivals:
    """The dispatcher: starts arrivals until a stop command, the end of its input or ``max_seconds``."""

    def __init__(self, settings: Settings, records: Path, environment: Environment) -> None:
        self._settings = settings
        options = with_secrets(settings.options, os.environ)
        self._behaviour = load_behaviour(settings.behaviour_file).model_validate(options)
        self._now = settings.clock()
        self._arrivals = ArrivalShare(settings.schedule(), settings.worker, settings.workers)
        self._in_flight = 0
        self._all_finished = Event()
        self._metrics = Metrics(settings, lambda: self._in_flight)
        self._recorder = Recorder(records, self._metrics, environment, self._now)
        self._connections = HttpConnections(settings, self._behaviour, RetiredPorts(SPARE_FILES + 2 * settings.pool))
        self._changed = Event()
        # Sessions that pause end with the load: they would not be finished before the process is.
        self._ended = Event()
        self._end: str | None = None
        self._end_at = 0.0

    def run(self) -> None:
        """Wait until the target answers, generate the load and write the last record."""
        raise_priority()
        signal.alarm(int(self._settings.max_seconds) + ALARM_GRACE)
        port = self._metrics.serve()
        for greenlet in (
            gevent.spawn(self._recorder.keep_flushing),
            gevent.spawn(read_commands, self._execute, self._stop),
        ):
            # gevent only prints an exception of a greenlet: without the link the load would go on without records or
            # commands.
            greenlet.link_exception(lambda failed: self._broken(failed.exception))
        gevent.spawn_later(self._settings.max_seconds, self._stop, "max_seconds is over")
        if self._probe_answered():
            self._recorder.write(record_line("ready", self._now(), port))
            # Exclude the objects made by imports from garbage collection: its pauses would count as target latency.
            gc.freeze()
            self._dispatch()
            self._ended.set()
            self._all_finished.clear()
            if self._in_flight:
                self._all_finished.wait(timeout=self._settings.request_limit + 1)
        total, checksum = self._arrivals.total(self._end_at)
        self._recorder.write(record_line("end", self._now(), self._end, total, checksum))
        self._recorder.flush()

    def _execute(self, command: EnterPhase | Stop) -> None:
        if isinstance(command, Stop):
            self._stop(STOPPED, command.at)
            return
        in_time = self._arrivals.enter(command.phase, command.at, command.effective)
        if not in_time and self._settings.workers > 1:
            # The other workers have switched earlier, so that arrivals would be missing or started twice.
            self._stop(f"the phase {command.phase} was announced after it had to apply: the workers' arrivals differ")
        if traceparent := self._settings.traceparents.get(command.phase):
            self._connections.connections.traceparent = traceparent
        self._changed.set()

    def _stop(self, reason: str, at: float | None = None) -> None:
        if self._end is None:
            self._end, self._end_at = reason, self._now() if at is None else at
        self._changed.set()

    def _broken(self, error: Exception) -> None:
        # A bug in a behaviour, or a record file that cannot be written: any further results would be wrong.
        self._stop(f"{type(error).__name__}: {error}")

    def _probe_answered(self) -> bool:
        reported = ""
        while self._end is None:
            client = ArrivalClient(self._connections, self._recorder, self._settings.run)
            self._behaviour.probe(client)
            if client.last_outcome == OK:
                return True
            if client.last_outcome != reported:
                reported = client.last_outcome
                self._recorder.write(record_line("waiting", self._now(), reported))
            gevent.sleep(PROBE_EVERY)
        return False

    def _dispatch(self) -> None:
        turn = 0
        while True:
            due = self._arrivals.peek()
            now = self._now()
            # Arrivals that were due before the stop are still started; otherwise the last ones would be missing from
            # the totals.
            if self._end is not None and (due is None or due > self._end_at):
                return
            if due is None or due > now:
                if self._changed.wait(timeout=None if due is None else due - now):
                    self._changed.clear()
                continue
            self._begin(self._arrivals.take(), due, now - due)
            turn = (turn + 1) % TURN
            if not turn:
                # When the dispatcher is behind it never waits, so it must yield for requests in flight to proceed.
                gevent.sleep(0)

    def _begin(self, number: int, due: float, behind: float) -> None:
        self._recorder.arrived()
        if behind > self._settings.late_after:
            self._recorder.dropped(due, "started too late")
        elif self._in_flight >= self._settings.pool:
            self._recorder.dropped(due, "too many requests in flight")
        else:
            self._in_flight += 1
            # A raw greenlet: links, a return value and a pool would cost more time than sending the request.
            gevent.spawn_raw(self._arrive, due, number)

    def _arrive(self, due: float, number: int) -> None:
        client = ArrivalClient(self._connections, self._recorder, self._settings.run, due, self._ended)
        try:
            self._behaviour.arrive(client, number)
        except Exception as error:  # noqa: BLE001  any error of a behaviour ends the load and is reported
            self._broken(error)
        finally:
            self._in_flight -= 1
            if not self._in_flight and self._end is not None:
                self._all_finished.set()
