"""Report at the end of a session that experiments were skipped because no cluster was selected."""

from __future__ import annotations

import pytest

NO_CLUSTER = "needs a cluster: add --cluster"
# Exit code when experiments were skipped for lack of a cluster although one is required.
CLUSTER_REQUIRED = 7


class MissingCluster:
    """The plugin for sessions without ``--cluster``. ``required`` is the reason why that is an error, or empty."""

    def __init__(self, required: str) -> None:
        self._required = required
        self._skipped = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        self._skipped += report.skipped and reason == f"Skipped: {NO_CLUSTER}"

    # Last, so that an exit code set by another plugin takes precedence.
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._skipped and self._required and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = CLUSTER_REQUIRED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._skipped:
            return
        what = "1 experiment was" if self._skipped == 1 else f"{self._skipped} experiments were"
        line = f"resilience: {what} skipped because no cluster was selected: add --cluster"
        if self._required:
            allow = "set RESILIENCE_REQUIRED=false to permit this"
            line += f" (exit code {CLUSTER_REQUIRED}, because {self._required}; {allow})"
        terminalreporter.write_line(line, yellow=True, bold=True)
