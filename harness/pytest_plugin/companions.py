"""The plugins beside the main one: each shows or sends what happened in a session.

They run in the process with the terminal only, and get their facts from hooks and records.
"""

from __future__ import annotations

import pytest

from harness.engine.settings import Settings
from harness.pytest_plugin.budget import BudgetReport
from harness.pytest_plugin.game_day_runner import GameDayRunner
from harness.pytest_plugin.github_job import GithubJob
from harness.pytest_plugin.junit_file import JunitFile
from harness.pytest_plugin.notifications import Notifications
from harness.pytest_plugin.run_summary import RunSummary
from harness.pytest_plugin.tally import Tally
from harness.pytest_plugin.telemetry_sender import TelemetrySender


def register_companions(config: pytest.Config, settings: Settings) -> Tally:
    """Register the companions of a session with a cluster. Returns the tally of its skipped experiments.

    Raises InputError for an address that cannot be notified."""
    tally = Tally(planning=settings.plan)
    plugins: dict[str, object] = {
        "tally": tally,
        "summary": RunSummary(tally),
        "github-job": GithubJob(config, settings, tally),
        "junit-file": JunitFile(config),
        "game-day": GameDayRunner(config),
        "budget": BudgetReport(config),
    }
    if not settings.plan:
        plugins["notifications"] = Notifications.of(config, settings)
        plugins["telemetry"] = TelemetrySender(config, settings.telemetry)
    for name, plugin in plugins.items():
        config.pluginmanager.register(plugin, f"resilience-{name}")
    return tally
