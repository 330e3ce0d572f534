"""Send metrics, traces and annotations at the end of a session, and show what could not be sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.clock import Clock, SystemClock
from harness.engine.telemetry_options import Telemetry
from harness.pytest_plugin.terminal import progress
from harness.results.record import RunRecord
from harness.results.reporting.plain import harmless
from harness.results.reporting.publish import publish
from harness.results.reporting.store import RunStore
from harness.telemetry.sending import destinations, sent


class TelemetrySender:
    """The plugin of the process with the terminal."""

    def __init__(self, config: pytest.Config, chosen: Telemetry, clock: Clock | None = None) -> None:
        self._config, self._chosen, self._clock = config, chosen, clock or SystemClock()

    # First, since other companions show or send the report, which must have the warnings.
    @pytest.hookimpl(tryfirst=True)
    def pytest_resilience_run_finished(self, run: RunRecord, folder: str) -> None:
        if not self._chosen.wanted:
            return
        warnings = [harmless(text) for text in self._warnings(run)]
        for text in warnings:
            progress(self._config, f"warning: not sent to {text}")
        if warnings:
            run.warnings += [f"not sent to {text}" for text in warnings]
            self._rewrite(run, Path(folder))

    def _warnings(self, run: RunRecord) -> list[str]:
        return sent(destinations(run, self._chosen, self._clock), self._clock)

    def _rewrite(self, run: RunRecord, folder: Path) -> None:
        try:
            publish(RunStore(folder), run)
        except OSError as error:
            progress(self._config, f"warning: the report does not have these warnings: {error}")
