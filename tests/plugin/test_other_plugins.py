"""The plug-ins of pytest that are used most, beside ours: verdicts, guard and exit code are those without them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

from tests.plugin.conftest import CONFTEST, ROOT, Project

REQUIREMENTS = Path(__file__).with_name("requirements-plugins.txt")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resilience-harness" / "pytest-plugins"
LINES = {
    line.partition("==")[0]: line.split()
    for line in REQUIREMENTS.read_text().splitlines()
    if line and not line.startswith("#")
}
ARGUMENTS = {
    "pytest-rerunfailures": ["--reruns=1"],
    "pytest-timeout": ["--timeout=600"],
    "pytest-random-order": ["--random-order"],
    "pytest-cov": ["--cov=.", "--cov-report="],
    "pytest-asyncio": ["--asyncio-mode=auto"],
    "pytest-html": ["--html=report.html", "--self-contained-html"],
    "pytest-json-report": ["--json-report"],
    "pytest-instafail": ["--instafail"],
    "pytest-repeat": ["--count=2"],
    "pytest-order": ["--order-scope=module"],
    "pytest-split": ["--splits=1", "--group=1"],
    "pytest-progress": ["--show-progress"],
}
# What changes how, in what order or how often items run has a session to itself; all others share one.
ALONE = (
    "pytest-rerunfailures",
    "pytest-randomly",
    "pytest-sugar",
    "pytest-repeat",
    "pytest-progress",
)
SESSIONS = [*([name] for name in ALONE), [name for name in LINES if name not in ALONE]]
PYTHON = """
from harness.faults.pod_kill import PodKill
from tests.fake_plugin import Told

def test_python(experiment, chaos):
    experiment.workload("workloads/shop")
    experiment.baseline(seconds=0.05)
    with chaos(PodKill(selector="app=shop")):
        pass
    experiment.assert_objectives(Told(), recovery=0.1, settle=0.05)
"""
EXPECTED = {
    "broken": {"BROKEN"},
    "held": {"HELD"},
    "test-python": {"HELD"},
    "unclear": {"INCONCLUSIVE"},
}
REFUSED = "the guard does not allow an experiment to hit a workload's last healthy pod"


def _installed(name: str) -> Path:
    """A folder with the plug-in, installed when it is not there yet. Skips where the package index has no answer."""
    folder = CACHE / hashlib.sha256(" ".join([sys.version, *LINES[name]]).encode()).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if folder.is_dir():
            return folder
        made = Path(tempfile.mkdtemp(dir=CACHE))
        quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-input", "--retries=1", "--timeout=20"]
        command = [sys.executable, "-m", "pip", "install", *quiet, "--target", str(made), *LINES[name]]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            shutil.rmtree(made)
            pytest.skip(f"{name} could not be installed from the package index: {ended.stderr.strip()[-300:]}")
        made.rename(folder)
    return folder


def _write(project: Project) -> None:
    (project.root / "resilience-guard.yaml").write_text("lastReplica: spared\n")
    project.experiment("held")
    project.experiment("broken", "faults: [mark: {}]\nobjectives: [told: {says: BROKEN}]\n")
    project.experiment("unclear", "objectives: [told: {says: INCONCLUSIVE}]\n")
    kill_all = "faults: [podKill: {selector: app=shop, count: all}]\nobjectives: [told: {}]\n"
    project.experiment("refused", "safety: {lastReplica: allowed}\n" + kill_all)
    (project.root / "experiments" / "test_python.py").write_text(PYTHON)
    project.pytester.makeconftest(CONFTEST)


def _check(project: Project, code: int, text: str) -> None:
    assert "INTERNALERROR" not in text, text
    assert "Traceback" not in text, text
    found: dict[str, set[str]] = {}
    for record in project.record().experiments:
        # A plug-in may run a Python test under several node ids, each of which is another experiment.
        name = record.name.rpartition("-")[0] if record.name.startswith("test-python") else record.name
        found.setdefault("test-python" if name.startswith("test-python") else name, set()).add(str(record.verdict))
        assert record.stage == "closed"
    # The experiment that the guard refuses is skipped with the reason before anything of it is deployed.
    assert found == EXPECTED, text
    assert REFUSED in " ".join(text.split()), text
    assert code == pytest.ExitCode.TESTS_FAILED, text


def _run(project: Project, folders: list[Path], *arguments: str) -> tuple[int, str]:
    quick = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider", "--assert=plain", "--tb=short", "-rs")
    command = [sys.executable, "-m", "pytest", *quick, "--cluster", *arguments, "experiments"]
    path = os.pathsep.join([*map(str, folders), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path}
    ended = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("names", SESSIONS, ids=" ".join)
def test_plugins_change_no_verdict_and_drop_no_guard(project: Project, names: list[str]) -> None:
    folders = [_installed(name) for name in names]
    _write(project)
    arguments = [argument for name in names for argument in ARGUMENTS.get(name, [])]
    code, text = _run(project, folders, *arguments)
    _check(project, code, text)
    plugins = next((line for line in text.splitlines() if line.startswith("plugins: ")), "")
    assert [name for name in names if name.removeprefix("pytest-") not in plugins] == [], text


@pytest.mark.parametrize("mode", ["load", "loadgroup", "each"])
def test_workers_change_no_verdict_and_drop_no_guard(project: Project, mode: str) -> None:
    _write(project)
    _check(project, *_run(project, [], "-n", "2", "--dist", mode))


def test_plugin_alone_with_autoload_off_is_the_same(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    _write(project)
    command = [sys.executable, "-m", "pytest", "-p", "harness.pytest_plugin.plugin", "-rs", "--cluster", "experiments"]
    ended = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
    _check(project, ended.returncode, ended.stdout + ended.stderr)


def test_flip_on_rerun_is_no_pass(project: Project) -> None:
    """BROKEN, then HELD when pytest-rerunfailures runs it again."""
    folders = [_installed("pytest-rerunfailures")]
    project.experiment("flips", "objectives: [told: {}]\n")
    project.pytester.makeconftest(CONFTEST + FLIP)
    code, text = _run(project, folders, "--reruns=2")
    assert code == pytest.ExitCode.TESTS_FAILED, text
    assert "flips was run 2 times: BROKEN, HELD" in text
    assert [str(record.verdict) for record in project.record().experiments] == ["BROKEN", "HELD"]


FLIP = """
from tests.fake_plugin import Told
from harness.objectives.base import Finding
from harness.model.verdict import Verdict

VERDICTS = iter([Verdict.BROKEN, Verdict.HELD])
Told.judge = lambda *_: Finding.exact(
    next(VERDICTS), "as arranged", 1.0, limit=2.0, unit="s", comparison="<=", samples=7
)
"""
