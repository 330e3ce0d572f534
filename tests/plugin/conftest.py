"""A user's project in a folder of its own, and pytest run on it, on a cluster in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.results.record import RunRecord
from tests.fake_plugin import FakeChoice, kinds
from tests.fake_run import write_project, write_workload

ROOT = Path(__file__).resolve().parents[2]
# Seconds after which a process hangs for certain, on the busiest machine too.
HANGS = 900.0
# Other plugins would be imported and rewritten anew in every session within this one.
QUICK = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider", "--assert=plain")
# The project's own conftest: whatever cluster is asked for, it is a fake one, and asking for it is written down.
CONFTEST = """
from pathlib import Path
import harness.pytest_plugin.session
import harness.experiment.registry
from tests.fake_plugin import FakeChoice, kinds

for kind, found in kinds().items():
    setattr(harness.experiment.registry, kind, found)
CHOICE = FakeChoice(Path(__file__).parent)
harness.pytest_plugin.session.choose = CHOICE.choose
harness.pytest_plugin.session.take_down = CHOICE.take_down
"""


@dataclass
class Project:
    """The project, and what happened to its cluster."""

    pytester: pytest.Pytester
    choice: FakeChoice

    @property
    def root(self) -> Path:
        return self.pytester.path

    def run(self, *arguments: str) -> pytest.RunResult:
        """pytest in this process."""
        return self.pytester.runpytest_inprocess(*QUICK, "-rA", *arguments)

    def start(self, *arguments: str, conftest: str = "", folder: Path | None = None) -> subprocess.Popen[str]:
        """pytest in a process of its own, which leads a process group of its own; not waited for. ``conftest`` is added
        to the project's own."""
        self.pytester.makeconftest(CONFTEST + conftest)
        # A shell starts its background jobs with Ctrl-C ignored, nohup ignores a lost terminal, and both are inherited:
        # not what is tested here.
        command = ["env", "--default-signal=INT,HUP", sys.executable, "-m", "pytest", *QUICK, "-rA", *arguments]
        return subprocess.Popen(
            command,
            cwd=folder or self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def happened(self) -> list[str]:
        """What was asked of the cluster's maker, line by line, in order."""
        return self.choice.happened()

    @property
    def touched(self) -> bool:
        """Whether a cluster was asked for, or anything left in the report folder."""
        return bool(self.happened()) or (self.root / "reports").exists()

    def record(self) -> RunRecord:
        """The only run's stored record."""
        (file,) = (self.root / "reports").glob("*/results.json")
        return RunRecord.model_validate_json(file.read_text())

    def experiment(self, name: str, body: str = "") -> Path:
        """An experiment file of quick phases; ``body`` replaces the fault and the objective."""
        text = SHORT.format(name=name) + (body or "faults: [mark: {}]\nobjectives: [told: {}]\n")
        return write_project(self.root, text, f"{name}.yaml")


SHORT = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {{name: {name}}}
hypothesis: What is told is what is shown.
workload: workloads/shop
phases: {{baseline: 50ms, fault: 50ms, recovery: 1s, settle: 50ms}}
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    ours = ("RESILIENCE_", "PYTEST_ADDOPTS", "GITHUB_")
    for name in [name for name in os.environ if name.startswith(ours) or name == "CI"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "160")
    pytester.makeini("[pytest]\n")
    write_workload(pytester.path)
    choice = FakeChoice(pytester.path)
    monkeypatch.setattr("harness.pytest_plugin.session.choose", choice.choose)
    monkeypatch.setattr("harness.pytest_plugin.session.take_down", choice.take_down)
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield Project(pytester, choice)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["ctrl-c", "sigterm", "sighup"])
def interruption(request: pytest.FixtureRequest) -> signal.Signals:
    """What ends a session early."""
    number: signal.Signals = request.param
    return number
