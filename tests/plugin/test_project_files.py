"""Guard file, halt file and report folder are found whatever pytest takes for its rootdir."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.pytest_plugin.plugin import CLUSTER_UNUSABLE
from harness.results.reporting.store import load
from tests.fake_run import write_project
from tests.plugin.conftest import QUICK, SHORT, Project

KILL = "faults: [podKill: {selector: app=shop, count: 1}]\nobjectives: [told: {}]\n"
PYTHON = """
from harness.faults.pod_kill import PodKill
from tests.fake_plugin import Told

def test_one(experiment, chaos):
    experiment.workload("workloads/shop")
    experiment.baseline(seconds=0.05)
    with chaos(PodKill(selector="app=shop")):
        pass
    experiment.assert_objectives(Told(), recovery=0.1, settle=0.05)
"""
WAYS = {
    "one file": ("app", ["experiments/kill.yaml", "experiments/held.yaml"]),
    "option with a space": ("app", ["--kubeconfig", "../kc.yaml", "experiments"]),
    "from above": (".", ["app/experiments"]),
    "from inside": ("app/experiments", ["."]),
    "from beside": ("other", ["../app/experiments"]),
    "rootdir": ("app", ["--rootdir", "..", "experiments"]),
    "rootdir elsewhere": ("app", ["--rootdir=../other", "experiments"]),
    "another ini-file": ("app", ["-c", "../other/pytest.ini", "experiments"]),
    "importlib": ("app", ["--import-mode=importlib", "experiments"]),
    "without plug-ins": ("app", ["-p", "no:cacheprovider", "-p", "no:junitxml", "experiments"]),
    "without a terminal": ("app", ["-p", "no:terminal", "experiments"]),
}


@pytest.fixture
def app(project: Project) -> Path:
    """A project one folder below another one, with an experiment that kills a pod and one that kills none."""
    (project.root / "tox.ini").unlink()
    app = project.root / "app"
    write_project(app, SHORT.format(name="kill") + KILL, "kill.yaml")
    write_project(app, SHORT.format(name="held") + "objectives: [told: {}]\n", "held.yaml")
    (project.root / "other").mkdir()
    (project.root / "other" / "pytest.ini").write_text("[pytest]\n")
    (project.root / "kc.yaml").write_text("{}")
    return app


def _run(project: Project, monkeypatch: pytest.MonkeyPatch, way: str) -> pytest.RunResult:
    folder, arguments = WAYS[way]
    monkeypatch.chdir(project.root / folder)
    # Not ``project.run``: its -rA is an option of the terminal plug-in, which one of the ways leaves out.
    return project.pytester.runpytest_inprocess(*QUICK, "--cluster=auto", *arguments)


def _ran(root: Path) -> list[str]:
    """The names of the experiments that were run with reports below a folder; what is refused is not run."""
    return [record.name for file in root.rglob("results.json") for record in load(file).experiments]


@pytest.mark.parametrize("way", WAYS)
def test_guard_and_halt_apply_however_pytest_is_started(
    project: Project, app: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    guard = app / "resilience-guard.yaml"
    guard.write_text("namespaces: [sandbox-*]\n")
    result = _run(project, monkeypatch, way)
    assert _ran(project.root / WAYS[way][0] / "reports") == ["held"]
    if way != "without a terminal":
        result.stdout.fnmatch_lines([f"resilience: guard: {guard}; no halt file .resilience-halt found"])
    (app / ".resilience-halt").write_text("lunch")
    assert _run(project, monkeypatch, way).ret == CLUSTER_UNUSABLE
    assert _ran(project.root) == ["held"]


def test_without_a_guard_both_experiments_run(project: Project, app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(project, monkeypatch, "option with a space").ret == 0
    assert sorted(_ran(app / "reports")) == ["held", "kill"]


def test_ini_file_beside_a_moved_rootdir_changes_nothing(
    project: Project, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (app / "pytest.ini").write_text("[pytest]\n")
    (app / "resilience-guard.yaml").write_text("namespaces: [sandbox-*]\n")
    _run(project, monkeypatch, "option with a space")
    assert _ran(app / "reports") == ["held"]


@pytest.mark.parametrize("way", ["option with a space"])
def test_python_tests_are_guarded_however_pytest_is_started(
    project: Project, app: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    (app / "experiments" / "kill.yaml").unlink()
    (app / "experiments" / "test_kill.py").write_text(PYTHON)
    (app / "resilience-guard.yaml").write_text("namespaces: [sandbox-*]\n")
    assert _run(project, monkeypatch, way).ret == pytest.ExitCode.TESTS_FAILED
    (file,) = project.root.rglob("results.json")
    assert "matches none of the guard's namespaces: sandbox-*" in file.read_text()


@pytest.mark.parametrize("mode", ["load"])
def test_workers_obey_guard_and_halt_too(project: Project, app: Path, mode: str) -> None:
    arguments = (
        "--cluster=auto",
        "-p",
        "xdist",
        "-n",
        "2",
        "--dist",
        mode,
        "--kubeconfig",
        "../kc.yaml",
        "experiments",
    )
    (app / "resilience-guard.yaml").write_text("namespaces: [sandbox-*]\n")
    process = project.start(*arguments, folder=app)
    text, _ = process.communicate()
    assert _ran(app / "reports") == ["held"], text
    (app / ".resilience-halt").touch()
    process = project.start(*arguments, folder=app)
    text, _ = process.communicate()
    assert process.returncode == CLUSTER_UNUSABLE, text


def test_broken_guard_beside_experiments_ends_the_session(project: Project) -> None:
    project.experiment("held")
    file = project.root / "experiments" / "resilience-guard.yaml"
    file.write_text("budgets: maybe\n")
    result = project.run("--cluster", "experiments")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"{file}:1: budgets" in result.stdout.str()
    assert not project.touched


def test_missing_guard_is_reported_with_the_searched_folders(project: Project) -> None:
    project.experiment("held")
    result = project.run("--cluster", "experiments")
    searched = f"{project.root / 'experiments'}, {project.root}"
    expected = f"resilience: guard: no resilience-guard.yaml found (searched upwards from {searched})"
    result.stdout.fnmatch_lines([f"{expected}; no halt file .resilience-halt found"])


def test_two_guard_files_both_apply(project: Project) -> None:
    project.experiment("kill", KILL)
    (project.root / "resilience-guard.yaml").write_text("maxDuration: 1s\n")
    (project.root / "experiments" / "resilience-guard.yml").write_text("maxDuration: 1h\nprotected: [x]\n")
    result = project.run("--cluster", "experiments")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*resilience-guard.yml, *resilience-guard.yaml; all of them apply*"])
    assert "the guard allows at most 1 s" in result.stdout.str()


def test_paths_of_an_ini_file_are_relative_to_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.experiment("kill", KILL)
    lines = "resilience_guard = strict.yaml\nresilience_report_dir = out\n"
    (project.root / "tox.ini").write_text(f"[pytest]\n{lines}")
    (project.root / "strict.yaml").write_text("namespaces: [sandbox-*]\n")
    project.experiment("held", "objectives: [told: {}]\n")
    monkeypatch.chdir(project.root / "experiments")
    project.run("--cluster", "kill.yaml", "held.yaml")
    assert _ran(project.root / "out") == ["held"]


def test_workload_of_the_own_project_wins_over_one_above(
    project: Project, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = project.root / "experiments" / "workloads" / "shop" / "deployment.yaml"
    above.write_text(above.read_text().replace("replicas: 3", "replicas: 1"))
    (app / "experiments" / "kill.yaml").write_text(SHORT.format(name="kill") + "objectives: [replicasTold: {}]\n")
    assert _run(project, monkeypatch, "option with a space").ret == 0
