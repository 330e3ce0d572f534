"""The section "resilience" of pytest's terminal summary: verdicts, and effects that could not be undone."""

from __future__ import annotations

from pathlib import Path
from shutil import get_terminal_size

import pytest

from harness.engine.outcome import left_behind
from harness.pytest_plugin.tally import Tally
from harness.results.record import RunRecord
from harness.results.reporting.plain import harmless
from harness.results.reporting.publish import REPORT
from harness.results.reporting.summary import terminal_lines


class RunSummary:
    """The plugin of the process with the terminal. ``tally`` has the experiments that were skipped."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._run: RunRecord | None = None
        self._report = Path()

    def pytest_resilience_run_finished(self, run: RunRecord, folder: str) -> None:
        self._run, self._report = run, Path(folder, REPORT)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        width = get_terminal_size().columns
        if self._run is None:
            self._tally.write_without_run(terminalreporter, width)
            return
        terminalreporter.section("resilience")
        for text, style in terminal_lines(self._run, self._report, width):
            terminalreporter.write_line(text, **({style: True} if style else {}))
        left = left_behind(self._run)
        if left:
            terminalreporter.section("UNDO FAILED: these effects are still in the cluster", red=True, bold=True)
            for line in left:
                terminalreporter.write_line(harmless(line), red=True, bold=True)
