"""Hooks for the project's own test run. The plugin itself comes with the installed package."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from harness.cluster.local.operators import operators_for
from harness.pytest_plugin.items import ExperimentItem
from tests.tiers import Candidate, changed_files, choose

# For the tests of the plugin itself: pytest accepts this in a root conftest only.
pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent
# Set once, so that the workers of pytest-xdist agree over midnight.
DAY = "TEST_DAY"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--tier=core`` runs a part of the catalogue: see ``tests/tiers.py``."""
    parser.addoption("--part", default="1/1", help="run part I of N of the experiments: I/N")
    parser.addoption("--tier", choices=["core", "all"], default="all", help="which experiments of the catalogue to run")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the day of the sample. Raises UsageError for a wrong day or part."""
    part = config.getoption("--part")
    if not re.fullmatch(r"[1-9]/[1-9]", part) or part[0] > part[2]:
        raise pytest.UsageError(f"--part: found {part!r}, expected I/N, such as 1/2")
    day = os.environ.setdefault(DAY, str(int(time.time() // 86400)))
    if not day.isdecimal():
        raise pytest.UsageError(f"{DAY}: found {day!r}, expected a number of days")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the experiments that the tier or the part leaves out."""
    experiments = [item for item in items if isinstance(item, ExperimentItem)]
    found: dict[str, list[ExperimentItem]] = {}
    for item in experiments:
        found.setdefault(item.experiment.name, []).append(item)
    names = set(found)
    if config.getoption("--tier") == "core":
        changed = changed_files(ROOT, os.environ.get("TEST_BASE", ""))
        choice = choose([_candidate(group) for group in found.values()], changed, int(os.environ[DAY]))
        names = set(choice.names)
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(str(choice))
    part, parts = (int(number) for number in config.getoption("--part").split("/"))
    # Disruptive experiments are dealt out by themselves, so that each part has as many of them.
    for alone in (False, True):
        lane = [name for name in sorted(names) if found[name][0].experiment.disruptive is alone]
        names -= {name for number, name in enumerate(lane) if number % parts != part - 1}
    dropped = [item for item in experiments if item.experiment.name not in names]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]


def _candidate(group: list[ExperimentItem]) -> Candidate:
    """One experiment and its twins."""
    experiment = next((item.experiment for item in group if not item.experiment.twin), group[0].experiment)
    parts = [*experiment.faults, *experiment.objectives]
    files = {experiment.file, *experiment.workload.folder.rglob("*")}
    if experiment.load:
        folder = ROOT / "loadprofiles"
        files |= {folder / f"{experiment.load.profile}.yaml", folder / f"{experiment.load.behaviour}.py"}
    # Not the source files of the kinds: those of every kind are run anyway.
    relative = {path.resolve().relative_to(ROOT) for path in files if path.resolve().is_relative_to(ROOT)}
    return Candidate(
        experiment.name,
        frozenset(part.kind for part in parts),
        frozenset(str(path) for path in relative),
        experiment.phases.total * len(group),
        experiment.disruptive,
        bool(operators_for(experiment.deployed)),
    )
