"""Ctrl-C and SIGTERM: what was broken is mended, what was made is taken away, and the report tells of it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord
from tests.plugin.conftest import HANGS, Project

LONG = """
faults: [mark: {}]
objectives: [told: {}]
"""
PYTHON_TEST = """
import time
from tests.fake_plugin import Mark

def test_long(experiment, chaos):
    experiment.workload("workloads/shop")
    with chaos(Mark()):
        time.sleep(60)
"""


def _interrupted(
    project: Project, number: signal.Signals, *arguments: str, conftest: str = ""
) -> tuple[str, int, ExperimentRecord]:
    """Start, send the signal as soon as the fault is there, and wait for the end."""
    process = project.start("--cluster", "-s", *arguments, conftest=conftest)
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line)
            if "it is marked" in line:
                process.send_signal(number)
                break
        rest, _ = process.communicate(timeout=HANGS)
    finally:
        process.kill()
        process.wait()
    text = "".join(lines) + rest
    experiments = project.record().experiments
    assert len(experiments) == 1, text
    return text, process.returncode, experiments[0]


def _long_experiment(project: Project) -> str:
    file = project.experiment("long", LONG)
    file.write_text(file.read_text().replace("fault: 50ms", "fault: 60s"))
    return "experiments/long.yaml"


@pytest.mark.parametrize("prepare", [_long_experiment, None], ids=["experiment file", "python test"])
def test_effects_are_undone_and_the_report_is_written(
    project: Project, interruption: signal.Signals, prepare: Callable[[Project], str] | None
) -> None:
    project.pytester.makepyfile(test_long=PYTHON_TEST)
    text, code, record = _interrupted(project, interruption, prepare(project) if prepare else "test_long.py")
    assert code == pytest.ExitCode.INTERRUPTED, text
    assert record.verdict == Verdict.INCONCLUSIVE
    assert [undo.state for undo in record.faults[0].undo] == ["done"]
    assert project.happened() == ["choose auto", "made True", "take down", "left: []"]
    assert "1 experiment interrupted" in text
    assert next((project.root / "reports").glob("*/index.html")).stat().st_size > 1000
    if prepare:
        assert record.reason == f"interrupted by {interruption.name}"


# In the project's own process, so that the second signal comes at this very step, however slow the machine is.
AGAIN = """
import os
import pytest
from tests.fake_plugin import Mark

def again():
    print("a second signal", flush=True)
    os.kill(os.getpid(), {number})

{hook}
"""
UNDOING = """
undo = Mark.undo.__func__

def interrupted(cls, cluster, parameters):
    again()
    return undo(cls, cluster, parameters)

Mark.undo = classmethod(interrupted)
"""
STEPS = ("keyboard_interrupt", "sessionfinish", "resilience_run_finished", "terminal_summary", "unconfigure")
HOOK = """
@pytest.hookimpl(tryfirst=True)
def pytest_{step}():
    again()
"""


@pytest.mark.parametrize(
    ("number", "step"),
    [
        *((number, "undo") for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
        *((signal.SIGHUP, step) for step in STEPS),
    ],
)
def test_a_second_signal_changes_nothing(project: Project, number: signal.Signals, step: str) -> None:
    hook = UNDOING if step == "undo" else HOOK.format(step=step)
    conftest = AGAIN.format(number=int(number), hook=hook)
    text, code, record = _interrupted(project, number, _long_experiment(project), conftest=conftest)
    assert "a second signal" in text
    assert code == pytest.ExitCode.INTERRUPTED, text
    assert [undo.state for undo in record.faults[0].undo] == ["done"]
    assert record.stage == "closed"
    assert project.happened() == ["choose auto", "made True", "take down", "left: []"]
