"""What a job of GitHub Actions shows of a run: the summary of the job, and annotations of files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.common.option_values import TRUE
from harness.engine.outcome import left_behind
from harness.engine.settings import Settings
from harness.pytest_plugin.game_day import TurnItem
from harness.pytest_plugin.tally import Tally
from harness.pytest_plugin.terminal import progress
from harness.results.record import RunRecord
from harness.results.reporting.annotations import Annotation, Level, Places, of_record, of_skip
from harness.results.reporting.publish import SUMMARY

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
# GitHub rejects the whole summary of a step above this size.
MAX_SUMMARY = 1024 * 1024


class GithubJob:
    """The plugin of the process with the terminal. ``tally`` has the experiments that were skipped."""

    def __init__(
        self, config: pytest.Config, settings: Settings, tally: Tally, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._config = config
        self._tally = tally
        self._environ = environ
        chosen = settings.annotations
        on_github = environ.get("GITHUB_ACTIONS", "").strip().lower() in TRUE
        self._annotates = chosen == "github" or (chosen == "auto" and on_github)
        self._run: RunRecord | None = None
        self._lines: dict[str, int] = {}
        self._files: dict[str, Path] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        # The node ID of a game day's item names the game day. Only here, since rounds are added while it runs.
        if isinstance(item, TurnItem):
            self._files[item.nodeid] = item.experiment.file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # The only way to the line of a test that a worker of pytest-xdist ran.
        if report.location is not None and report.location[1] is not None:
            self._lines[report.nodeid] = report.location[1] + 1

    def pytest_resilience_run_finished(self, run: RunRecord, folder: str) -> None:
        self._run = run
        if target := self._environ.get(SUMMARY_VARIABLE):
            try:
                append_summary(Path(folder, SUMMARY), Path(target))
            except (OSError, ValueError) as error:
                # The verdict is more important than where it is shown.
                progress(self._config, f"warning: summary.md was not added to {SUMMARY_VARIABLE}: {error}")

    # Last: the lines are for GitHub, not for a reader of the log.
    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._annotates:
            return
        for annotation in self._annotations():
            terminalreporter.ensure_newline()
            terminalreporter.write_line(str(annotation))

    def _annotations(self) -> list[Annotation]:
        places = Places(self._config.rootpath, self._workspace(), self._lines, self._files)
        found = []
        if self._run is not None:
            title = "UNDO FAILED: still in the cluster"
            found += [Annotation(Level.ERROR, title, line) for line in left_behind(self._run)]
            found += [each for record in self._run.experiments for each in of_record(record, places)]
        # GitHub shows ten annotations of each level for a step: of the errors, the worst come first.
        found += [of_skip(skip, places) for skip in self._tally.skipped]
        return sorted(found, key=lambda each: list(Level).index(each.level))

    def _workspace(self) -> Path:
        """Return the folder that GitHub shows paths relative to: the workspace, otherwise that of the repository."""
        root = self._config.rootpath
        named = self._environ.get("GITHUB_WORKSPACE")
        if named and root.resolve().is_relative_to(Path(named).resolve()):
            return Path(named)
        return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)


def append_summary(summary: Path, target: Path) -> None:
    """Append the run's summary to the file that GitHub shows. Raises OSError, and ValueError if GitHub would reject it.

    The file must be a regular one: writing to a pipe might never end.
    """
    if target.exists() and not target.is_file():
        raise ValueError(f"{target} is not a regular file")
    text = summary.read_bytes()
    before = target.stat().st_size if target.exists() else 0
    if before + len(text) + 1 > MAX_SUMMARY:
        raise ValueError(f"found {before} + {len(text)} bytes, GitHub accepts at most {MAX_SUMMARY}")
    with target.open("ab") as stream:
        # Without an empty line before it, GitHub would show a heading after other text as part of that text.
        stream.write(b"\n" * bool(before) + text)
