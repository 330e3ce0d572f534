"""Collect the skipped experiments and the outcomes of a dry run from all processes of a session, and print them."""

from __future__ import annotations

from typing import TypedDict

import pytest

from harness.experiment.declaration import Experiment
from harness.model.quantities import counted
from harness.results.record import RunRecord
from harness.results.reporting.overview import headline
from harness.results.reporting.plain import one_line
from harness.results.reporting.summary import MAX_SKIP_REASON, skipped_lines
from harness.results.skip_record import SkipRecord

# The reasons why a planned experiment would not run; empty: it would.
REFUSALS_KEY = pytest.StashKey[list[str]]()
# The twin with the same workload as a mutant that is left out for it.
COVERED_KEY = pytest.StashKey[str]()
_SKIPPED = "Skipped: "
_ABOUT = "resilience"


class About(TypedDict):
    """The facts of an item that its reports lack. Only plain types: pytest-xdist sends it from a worker."""

    name: str
    twin: str
    mutant: str
    weakened: list[str]
    python: bool
    refusals: list[str] | None


def describe(item: pytest.Item, report: pytest.TestReport, experiment: Experiment | None) -> None:
    """Add to the report of an item what the tally needs; an attribute also arrives from a worker.

    ``experiment`` is None for a Python test."""
    vars(report)[_ABOUT] = About(
        name=item.name,
        twin=item.stash.get(COVERED_KEY, experiment.twin if experiment else ""),
        mutant=experiment.mutant if experiment else "",
        weakened=list(experiment.weakened) if experiment else [],
        python=experiment is None,
        refusals=item.stash.get(REFUSALS_KEY, None),
    )


class Tally:
    """The plugin of the process with the terminal. ``planning``: the session is a dry run."""

    def __init__(self, *, planning: bool) -> None:
        self._planning = planning
        # By node ID, since a plugin may run an item again.
        self._skipped: dict[str, SkipRecord] = {}
        self._planned: dict[str, tuple[str, list[str]]] = {}
        self._mutants: dict[str, tuple[str, list[str]]] = {}
        self._unplanned: set[str] = set()

    @property
    def skipped(self) -> list[SkipRecord]:
        """The experiments that were skipped; those of a dry run do not count."""
        return list(self._skipped.values())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        about: About | None = vars(report).get(_ABOUT)
        # pytest reports an expected failure as skipped too.
        if about is None or not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix(_SKIPPED)
        if not self._planning:
            named = {key: about[key] for key in ("name", "twin", "mutant")}
            skip = SkipRecord(id=report.nodeid, reason=reason, weakened=about["weakened"], **named)
            self._skipped[report.nodeid] = skip
        elif about["python"]:
            self._unplanned.add(report.nodeid)
        else:
            refusals = about["refusals"]
            planned = self._mutants if about["mutant"] else self._planned
            planned[report.nodeid] = about["name"], [reason] if refusals is None else refusals

    # Last: the result of a dry run is easily lost among its plans.
    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._planned or self._unplanned:
            refused = any(refusals for _, refusals in self._planned.values())
            terminalreporter.write_line(self._plan_line(), bold=True, **{"yellow" if refused else "green": True})
        for line in self._mutant_lines():
            terminalreporter.write_line(line)

    def write_without_run(self, reporter: pytest.TerminalReporter, width: int) -> None:
        """Print the skipped experiments of a session that ran none, and so has no report."""
        if not self._skipped:
            return
        nothing = RunRecord(run="", started="", seed=0, harness="", skipped=self.skipped)
        # section() does not end the line of dots.
        reporter.ensure_newline()
        reporter.section("resilience")
        reporter.write_line(headline(nothing), yellow=True)
        for line, _ in skipped_lines(self.skipped, width):
            reporter.write_line(line, yellow=True)

    def _plan_line(self) -> str:
        """Return ``plan: 3 experiments would run, 1 would not: NAME (first reason)``."""
        refused = [f"{name} ({refusals[0]})" for name, refusals in self._planned.values() if refusals]
        line = f"plan: {counted(len(self._planned) - len(refused), 'experiment')} would run"
        if refused:
            line += f", {len(refused)} would not: {'; '.join(refused)}"
        if self._unplanned:
            line += f"; {counted(len(self._unplanned), 'Python test')} cannot be planned"
        return one_line(line, MAX_SKIP_REASON * max(1, len(refused)))

    def _mutant_lines(self) -> list[str]:
        """Return ``mutants: 2 would run, 1 would not``, and a line with the reason for each that would not."""
        if not self._mutants:
            return []
        refused = [f"{name}: {refusals[0]}" for name, refusals in self._mutants.values() if refusals]
        first = f"mutants: {len(self._mutants) - len(refused)} would run, {len(refused)} would not"
        return [first + ":" * bool(refused), *(f"  {one_line(line, MAX_SKIP_REASON)}" for line in refused)]
