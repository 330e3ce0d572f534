"""The dead-man switch: a run that is gone is swept by a process that outlives it, a run that ends in order is not."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster.fake import FakeCluster
from harness.deadman import ALL_IS_WELL, DeadMan, orphaned
from harness.errors import UndoFailed
from tests.fake_plugin import Mark, kinds
from tests.fake_run import EXPERIMENT, PATIENCE, Stage

MARKED = (
    EXPERIMENT.replace("podKill: {selector: app=shop, count: 1}", "mark: {}")
    .replace("recoveryTime: {of: deployment/shop, max: 10s}", "told: {}")
    .partition("twins:")[0]
)
ROOT = Path(__file__).parents[2]
# A run that arms the switch, says which process it is, and is killed; its cluster is none, so the sweep says so.
DOOMED = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from harness.deadman import DeadMan
folder = Path(sys.argv[1])
made = DeadMan(SimpleNamespace(context="nowhere", kubeconfig=folder / "kubeconfig"), "run1", folder)
print(made._process.pid, flush=True)
sys.stdin.read()
"""


class Guard:
    """Stands in for the switch, and writes down what becomes of it."""

    def __init__(self, *_arguments: Any) -> None:
        self.told: list[str] = []
        MADE.append(self)

    def stand_down(self) -> None:
        self.told.append("all is well")


MADE: list[Guard] = []


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    MADE.clear()
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.registry.{kind}", found)
    monkeypatch.setattr("harness.site.DeadMan", Guard)
    monkeypatch.setattr("harness.site.MACHINES_ARE_HERE", frozenset({"fake"}))
    return Stage(tmp_path)


def _nowhere(folder: Path) -> Any:
    return SimpleNamespace(context="nowhere", kubeconfig=folder / "kubeconfig")


@pytest.mark.parametrize(("said", "swept"), [(b"", True), (ALL_IS_WELL, False), (ALL_IS_WELL[:5], True)])
def test_only_the_whole_message_stands_it_down(monkeypatch: pytest.MonkeyPatch, said: bytes, swept: bool) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(said)))
    assert orphaned() is swept


def test_a_run_that_ends_in_order_stands_it_down(tmp_path: Path) -> None:
    made = DeadMan(_nowhere(tmp_path), "run1", tmp_path)
    made.stand_down()
    made.stand_down()
    assert made._process.wait(PATIENCE) == 0
    assert (tmp_path / "deadman.log").read_text() == ""


def test_a_run_that_is_killed_is_swept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DOOMED, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        guard = os.pidfd_open(int(run.stdout.readline()))
        try:
            assert not select.select([guard], [], [], 0)[0], "it waits"
            # As Ctrl-C at a terminal does: to the run's whole process group, of which the switch is none.
            assert os.getpgid(run.pid) == os.getpgid(0)
            run.send_signal(signal.SIGKILL)
            assert select.select([guard], [], [], PATIENCE)[0], "it swept and ended"
        finally:
            os.close(guard)
    assert "kubeconfig" in (tmp_path / "deadman.log").read_text(), "there is no such cluster, and it looked for it"


def test_one_that_is_slow_to_end_is_no_error_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has been told; on a busy machine it reads that later."""
    monkeypatch.setattr("harness.deadman.STOP_WITHIN", 0.0)
    made = DeadMan(_nowhere(tmp_path), "run1", tmp_path)
    made.stand_down()
    assert made._process.wait(PATIENCE) == 0
    assert (tmp_path / "deadman.log").read_text() == ""


def test_it_has_a_session_of_its_own(tmp_path: Path) -> None:
    """A Ctrl-C or a closed terminal, which ends the run, must not end what takes the run back."""
    made = DeadMan(_nowhere(tmp_path), "run1", tmp_path)
    try:
        assert os.getsid(made._process.pid) != os.getsid(0)
    finally:
        made.stand_down()


def test_it_is_armed_before_a_disruptive_fault_and_stood_down_at_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    inject = Mark.inject

    def watched(self: Mark, *arguments: Any) -> None:
        assert [guard.told for guard in MADE] == [[]]
        inject(self, *arguments)

    monkeypatch.setattr(Mark, "disruptive", True)
    monkeypatch.setattr(Mark, "inject", watched)
    stage.play(stage.experiment(MARKED.replace("hypothesis:", "disruptive: true\nhypothesis:")))
    assert [guard.told for guard in MADE] == [["all is well"]]


def test_it_is_stood_down_when_something_could_not_be_taken_back_and_was_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mark, "disruptive", True)
    text = MARKED.replace("mark: {}", "mark: {fails: undo}").replace("hypothesis:", "disruptive: true\nhypothesis:")
    with pytest.raises(UndoFailed):
        stage.play(stage.experiment(text))
    assert [guard.told for guard in MADE] == [["all is well"]]


def test_what_stays_in_the_api_needs_none(stage: Stage) -> None:
    stage.play(stage.experiment(MARKED))
    assert MADE == []


def test_on_a_cluster_whose_machines_are_elsewhere_there_is_none(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.site.MACHINES_ARE_HERE", frozenset({"local"}))
    monkeypatch.setattr(Mark, "disruptive", True)
    stage.play(stage.experiment(MARKED.replace("hypothesis:", "disruptive: true\nhypothesis:")))
    assert MADE == []
    assert isinstance(stage.cluster, FakeCluster)
