"""Run an unchanged locustfile by Locust's own main function, with the phases and the end given by the harness.

Locust's configuration files and the LOCUST_* variables of its own options are not read: they could end the load early
or start it elsewhere. All other variables reach the locustfile, also LOCUST_* ones of options that it declares.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import locust.main
from gevent.os import make_nonblocking, nb_read
from locust import argument_parser, events
from locust.env import Environment

from .arrivals import Arrivals
from .inflight import InFlight
from .recorder import Recorder, listen
from .scrub import ScrubbedStream, Scrubber, resolved
from .shape import HeldShape

STOPPED = "stopped by the harness"
LOOK_EVERY = 0.05
# The kernel kills the process this many seconds after max_seconds, in case its event loop hangs.
ALARM_GRACE = 30


def main(settings: dict[str, Any]) -> None:
    """Run the locustfile of the settings; returns never, since Locust exits the process."""
    scrub = Scrubber(os.environ)
    output = ScrubbedStream(sys.stdout, scrub)
    # A process that is killed must leave its last lines.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.stdout = sys.stderr = output
    forget_configuration()
    signal.alarm(int(settings["max_seconds"]) + ALARM_GRACE)
    recorder = Recorder(Path(settings["records"]), scrub, settings["host"])
    session = _Session(settings, recorder)
    # Before the locustfile is imported, so that its own listeners cannot come first and change what is recorded.
    events.init.add_listener(session.begin)
    events.spawning_complete.add_listener(session.spawned)
    events.quitting.add_listener(session.quitting)
    sys.argv = ["locust", *arguments(settings)]
    try:
        locust.main.main()
    finally:
        output.finish()


def arguments(settings: dict[str, Any]) -> list[str]:
    """Return Locust's command line; the secrets in it exist only in this process."""
    users, rate = settings["users"], settings["spawn_rate"]
    given = ["-f", settings["locustfile"], "--headless", "--host", settings["host"], "--only-summary"]
    given += ["--loglevel", "WARNING", "--exit-code-on-error", "0", "--stop-timeout", str(int(settings["stop_grace"]))]
    # The shape sets the users; Locust warns about numbers that it does not use.
    given += [] if users is None else ["--users", str(users), "--spawn-rate", str(rate)]
    given += ["--tags", *settings["tags"]] if settings["tags"] else []
    given += ["--exclude-tags", *settings["exclude_tags"]] if settings["exclude_tags"] else []
    for name, value in settings["options"].items():
        given += option(name, value)
    # The classes come first: `--tags` would take them for tags.
    return [*settings["classes"], *given]


def option(name: str, value: object) -> list[str]:
    """Return an option that the locustfile declares, as arguments; true is a flag, false is none."""
    flag = f"--{name}"
    if isinstance(value, bool):
        return [flag] if value else []
    if isinstance(value, list):
        return [flag, *(resolved(str(one), os.environ) for one in value)]
    return [flag, resolved(str(value), os.environ)]


def forget_configuration() -> None:
    """Make Locust ignore its configuration files and the variables of its own options."""
    parser = argument_parser.get_parser([])
    for action in parser._actions:  # noqa: SLF001 - there is no public list
        name = getattr(action, "env_var", None)
        if name:
            os.environ.pop(name, None)
    original: Callable[..., Any] = argument_parser.get_empty_argument_parser
    argument_parser.get_empty_argument_parser = lambda add_help=True, **_: original(
        add_help=add_help, default_config_files=[]
    )


class _Session:
    """One run of the locustfile, from Locust's ``init`` event to its end."""

    def __init__(self, settings: dict[str, Any], recorder: Recorder) -> None:
        self._settings, self._recorder = settings, recorder
        self._in_flight = InFlight()
        self._spawned = False
        self._ended = ""
        self._arrivals: Arrivals | None = None
        self._shape: HeldShape | None = None
        self._environment: Environment

    def begin(self, environment: Environment, **_: object) -> None:
        """Attach to the environment and start reading the commands of the harness."""
        self._environment = environment
        listen(environment, self._recorder)
        self._choose_shape()
        self._in_flight.watch()
        if self._settings["rate"] is not None:
            self._arrivals = Arrivals(self._settings, environment, self._recorder)
            self._arrivals.gate()
        for work in (self._read_commands, self._make_ready, self._keep_recording):
            # gevent only prints the exception of a greenlet, and the load would go on without records or commands.
            gevent.spawn(work).link_exception(lambda failed: self.stop(f"internal error: {failed.exception!r}"))
        gevent.spawn_later(self._settings["max_seconds"], self.stop, "max_seconds is over")

    def spawned(self, **_: object) -> None:
        self._spawned = True

    def stop(self, reason: str) -> None:
        """Stop the users: those in a task may finish it within the stop grace."""
        if self._ended:
            return
        self._ended = reason
        if self._arrivals:
            self._arrivals.stop()
        gevent.spawn_later(max(0.0, self._settings["stop_grace"] - 0.2), self._record_unfinished)
        assert self._environment.runner is not None
        gevent.spawn(self._environment.runner.quit)

    def quitting(self, **_: object) -> None:
        """Write the last record: the test ended, by the harness or by the locustfile itself."""
        # Locust's final tables would hide the last output of users that failed.
        logging.getLogger("locust.stats_logger").disabled = True
        self._recorder.end(self._ended or "the locustfile ended the test")

    def _record_unfinished(self) -> None:
        for started, name in self._in_flight.unfinished(self._environment):
            self._recorder.unfinished(started, name)
        self._recorder.flush()

    def _keep_recording(self) -> None:
        self._recorder.keep_flushing(self._environment)

    def _choose_shape(self) -> None:
        wanted, environment = self._settings["shape"], self._environment
        shape = environment.shape_class
        if wanted:
            shape = (environment.available_shape_classes or {}).get(wanted, shape)
        # Users and rates of the experiment come before a shape that the locustfile happens to define.
        elif self._settings["users"] is not None:
            shape = None
        environment.shape_class = None
        if shape is not None:
            shape.runner = environment.runner
            self._shape = HeldShape(shape, self._recorder)
            environment.shape_class = self._shape  # type: ignore[assignment]

    def _make_ready(self) -> None:
        reported = ""
        while not self._ready():
            if self._ended:
                return
            last = self._recorder.last_outcome or "no request has ended yet"
            if last != reported:
                reported = last
                self._recorder.write("waiting", time.monotonic(), last)
            gevent.sleep(LOOK_EVERY)
        self._recorder.write("ready", time.monotonic(), None)
        runner = self._environment.runner
        assert runner is not None
        while not self._ended:
            gevent.sleep(LOOK_EVERY)
            if not self._shape and not runner.user_count:
                last = self._recorder.last_outcome
                self.stop(f"all users of the locustfile ended{f'; last seen: {last}' if last else ''}")

    def _ready(self) -> bool:
        if self._arrivals:
            return self._spawned and self._arrivals.ready()
        return self._recorder.answered and (self._spawned or self._shape is not None)

    def _read_commands(self) -> None:
        source = sys.stdin.fileno()
        make_nonblocking(source)
        rest = b""
        while new := nb_read(source, 65536):
            *lines, rest = (rest + new).split(b"\n")
            for line in lines:
                self._execute(json.loads(line))
        self.stop("the harness is gone: standard input closed")

    def _execute(self, command: dict[str, Any]) -> None:
        if "stop" in command:
            self.stop(STOPPED)
            return
        if self._shape:
            self._shape.enter(command["at"])
        if self._arrivals:
            self._arrivals.enter(command["phase"], command["at"], command["effective"])
