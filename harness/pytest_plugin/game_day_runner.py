"""The companion that runs a game day: pauses, rules and rounds between the items, and the day's record at the end."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from pluggy import Result

from harness.common.errors import InputError, Problem
from harness.gameday.day import Day
from harness.gameday.rules import rules_for
from harness.gameday.running import DayRun
from harness.model.verdict import Verdict
from harness.pytest_plugin.game_day import DAY_KEY, RUNNING_KEY, PlannedDay, TurnItem, items_of
from harness.pytest_plugin.items import LEFT_OUT_KEY, RECORD_KEY, SESSION_KEY
from harness.pytest_plugin.terminal import progress
from harness.results.game_day_record import LeftOutRecord
from harness.results.record import RunRecord

_SKIPPED = "Skipped: "


class GameDayRunner:
    """The plugin of the process with the terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._run: DayRun | None = None
        # Why an item has no record, by node ID.
        self._reasons: dict[str, str] = {}

    @property
    def _planned(self) -> PlannedDay | None:
        return self._config.stash.get(DAY_KEY, None)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        others = [item for item in items if not isinstance(item, TurnItem)]
        if self._planned is not None and others:
            found = f"{self._planned.game_day.file.name} and {len(others)} other tests, such as {others[0].nodeid}"
            raise pytest.UsageError(f"found {found}; expected a game day alone: its verdict is that of its own runs")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        planned = self._planned
        # pytest calls this hook even after the refusal above.
        if planned is None or not all(isinstance(item, TurnItem) for item in session.items):
            return
        kept = [item.turn for item in session.items if isinstance(item, TurnItem)]
        dropped = [turn for turn in planned.turns if turn not in kept]
        reason = "deselected on the command line"
        planned.state.choice.left_out += [LeftOutRecord(name=turn.title, reason=reason) for turn in dropped]
        planned.turns = kept
        for line in planned.lines():
            progress(self._config, line)
        ours = self._config.stash[SESSION_KEY]
        if ours.settings.plan or self._config.option.collectonly:
            return
        day = Day(
            game_day=planned.game_day,
            seed=planned.state.seed,
            started=planned.state.started,
            clock=ours.clock,
            folder=ours.store.folder,
            connect=ours.connect,
            progress=ours.progress,
            halted=lambda: ours.halted,
            turns=kept,
            done=list(planned.state.turns),
            continued=planned.continued,
        )
        rules = rules_for(planned.game_day)
        self._run = DayRun(
            day, planned.state, planned.store, rules, ours.run_id, planned.rounds, expected=planned.expected
        )
        self._config.stash[RUNNING_KEY] = self._run
        try:
            self._run.arrange(kept)
        except OSError as error:
            why = f"the sealed plan cannot be stored: {error.strerror}: {error.filename}"
            pytest.exit(why, returncode=pytest.ExitCode.USAGE_ERROR)
        if day.sealed:
            session.items[:] = items_of(planned, kept, sealed_from=len(day.done) + 1)

    def pytest_resilience_run_started(self, run: RunRecord) -> None:
        planned = self._planned
        if planned is None or run.environment is None:
            return
        state, context = planned.state, run.environment.context
        # With --cluster=auto the cluster is known only now.
        if planned.continued and state.context not in {"", context}:
            found = f"the interrupted game day ran on the cluster {state.context}, and this run is on {context}"
            message = f"{found}; expected the same: select it with --cluster={state.context}, or add --fresh"
            raise InputError([Problem(message, planned.game_day.file)])
        state.context = context

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, Result[Any], None]:
        if self._run is None or not isinstance(item, TurnItem):
            yield
            return
        item.stash[LEFT_OUT_KEY] = self._run.before(item.turn)
        outcome = yield
        # After Ctrl-C the turn has not ended: it runs again when the day continues.
        if outcome.excinfo is None:
            reason = self._reasons.pop(item.nodeid, "")
            self._run.after(item.turn, item.nodeid, item.stash.get(RECORD_KEY, None), reason)
            if nextitem is None:
                self._add_round(item.session)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed:
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        self._reasons[report.nodeid] = reason.removeprefix(_SKIPPED)

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        run, planned = self._run, self._planned
        if run is None or planned is None:
            return
        try:
            # A session that ends before its first item has nothing to report: its error says why.
            record = run.end() if run.begun else None
        finally:
            planned.held.close()
        if record is None:
            return
        self._config.stash[SESSION_KEY].parts["game_day"] = record
        progress(self._config, f"game day {record.name}: {record.verdict}: {record.reason}")
        if record.verdict is not Verdict.HELD and session.exitstatus == pytest.ExitCode.OK:
            # Each run passed, but the day did not begin or end as planned.
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _add_round(self, session: pytest.Session) -> None:
        """Add the turns of the next round while the day's duration allows. pytest's loop runs what is added."""
        assert self._run is not None
        number, planned = self._run.next_round(), self._planned
        if number is None or planned is None:
            return
        turns = planned.round(number)
        self._run.arrange(turns)
        progress(self._config, f"game day {planned.game_day.name}: round {number}")
        sealed_from = len(session.items) + 1 if self._run.day.sealed else 0
        self._run.day.turns += turns
        session.items += items_of(planned, turns, sealed_from=sealed_from)
        session.testscollected = len(session.items)
