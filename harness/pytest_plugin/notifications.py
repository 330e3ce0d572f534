"""Notify the addresses of a session: of its start, its end, and at once of anything left behind in the cluster."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.common.excerpts import with_excerpts
from harness.engine.outcome import leftovers
from harness.engine.settings import Settings
from harness.notifications.channels import channels_of, channels_of_recipients
from harness.notifications.event import GameDayFacts
from harness.notifications.events import Events, link_of
from harness.notifications.notifier import Notifier
from harness.pytest_plugin.game_day import DAY_KEY, RUNNING_KEY
from harness.pytest_plugin.items import SESSION_KEY
from harness.pytest_plugin.session import Session
from harness.pytest_plugin.terminal import reported
from harness.results.record import ExperimentRecord, RunRecord
from harness.results.reporting.publish import REPORT, write_report

_LEFT = "resilience_left"
_ENDED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)


def add_leftovers(report: pytest.TestReport, record: ExperimentRecord) -> None:
    """Add what an experiment left in the cluster to its report; an attribute also arrives from a worker."""
    if record.stage == "closed" and (found := leftovers(record)):
        vars(report)[_LEFT] = found


class Notifications:
    """The plugin of the process with the terminal. A game day adds its own channels to ``notifier``."""

    def __init__(self, session: Session, notifier: Notifier, events: Events) -> None:
        self.notifier = notifier
        self._session = session
        self._day: GameDayFacts | None = None
        self._events = events
        self._started = False
        self._left: set[str] = set()
        self._run: RunRecord | None = None
        self._reason = ""
        self._failures: Sequence[str] = ()

    @classmethod
    def of(cls, config: pytest.Config, settings: Settings) -> Notifications:
        """Return the plugin for the addresses in the settings. Raises InputError."""
        session = config.stash[SESSION_KEY]
        link = link_of(settings.addresses.report_url, session.run_id, os.environ)
        notifier = Notifier(session.clock, channels_of(settings.addresses, session.clock))
        return cls(session, notifier, Events(session.run_id, session.clock, link))

    # Last: the plan of a surprise is sealed in this hook too.
    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        planned = session.config.stash.get(DAY_KEY, None)
        if planned is None or session.config.option.collectonly:
            return
        day, running = planned.game_day, session.config.stash.get(RUNNING_KEY, None)
        self._day = GameDayFacts(name=day.name, sealed=running.day.sealed if running else "")
        try:
            self.notifier.add(
                channels_of_recipients(day.declared.notify, self._session.clock, os.environ, day.document)
            )
        except InputError as error:
            raise pytest.UsageError(with_excerpts(error)) from error

    def pytest_resilience_run_started(self, run: RunRecord) -> None:
        self._started = True
        self.notifier.send(self._events.started(run, self._day))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._left_behind(vars(report).get(_LEFT, []))

    def pytest_resilience_run_finished(self, run: RunRecord) -> None:
        self._run = run
        # An interruption leaves no report of the test.
        self._left_behind([line for record in run.everything for line in leftovers(record)])

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # pytest.exit() has its message in an attribute.
        self._reason = str(getattr(excinfo.value, "msg", "") or f"interrupted by {excinfo.value or 'Ctrl-C'}")

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        halted = self._session.halted
        yield
        if session.exitstatus not in _ENDED:
            self._reason = self._reason or f"exit code {int(session.exitstatus)}"
        report = self._session.store.folder / REPORT if self._run else None
        self._send_last(self._reason or halted or "", report)
        # A second Ctrl-C ends the wait, not the rest of the session.
        with suppress(KeyboardInterrupt):
            self._failures = self.notifier.close()
        if self._failures and self._run:
            with reported(session, "could not add the failed notifications to the report"):
                run = self._run.model_copy(update={"warnings": [*self._run.warnings, *self._failures]})
                self._session.store.write(run)
                write_report(self._session.store.folder, run)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self._failures:
            terminalreporter.ensure_newline()
            terminalreporter.write_line(f"warning: {line}", yellow=True)

    def _send_last(self, reason: str, report: Path | None) -> None:
        if reason and (self._started or self._session.settings.cluster):
            self.notifier.send(self._events.aborted(reason, self._run or self._session.record, report))
        elif self._run and self._run.game_day and self._run.game_day.aborted:
            self.notifier.send(self._events.aborted(self._run.game_day.aborted, self._run, report))
        elif self._run and report:
            self.notifier.send(self._events.finished(self._run, report))

    def _left_behind(self, lines: Sequence[str]) -> None:
        new = [line for line in lines if line not in self._left]
        if new:
            self._left.update(new)
            self.notifier.send(self._events.left_behind(new, self._session.record))
