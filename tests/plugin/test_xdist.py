"""pytest-xdist: one cluster for all workers, made once and taken down once, and one report of everything."""

from __future__ import annotations

import pytest

from harness.pytest_plugin.plugin import CLUSTER_UNUSABLE
from tests.plugin.conftest import HANGS, Project
from tests.plugin.test_plan import KILL

WORKERS = ("-p", "xdist", "-n", "2")
# Both begin only when both workers are connected: one that connects later would wait for the experiment that waits for
# it. Every experiment stays where it is until it was seen what the other one does: it waits, or it is there too.
WATCH_TURNS = """
import time
from pathlib import Path

import pytest

from harness.pytest_plugin.items import SESSION_KEY

LOG = Path(__file__).with_name("turns.log")
CONNECTED = Path(__file__).with_name("connected.log")


def log(line, file=LOG):
    with file.open("a") as stream:
        stream.write(line + "\\n")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    session = config.stash[SESSION_KEY]
    say, lock = session.notice, session.worker_lock

    def worker_lock(what, *given, **more):
        if what != "connecting":
            log("connected", CONNECTED)
            while len(CONNECTED.read_text().split()) < 2:
                time.sleep(0.001)
        return lock(what, *given, **more)

    session.worker_lock = worker_lock
    session.notice = lambda message: ("connecting" in message or log("wait"), say(message))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    log("begin")
    while len(LOG.read_text().split()) < 2:
        time.sleep(0.001)
    yield
    log("end")
"""


PRINTS_ORDER = """
import pytest
from pathlib import Path


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    with Path(__file__).with_name("order.log").open("a") as stream:
        stream.write(item.name + "\\n")
    yield
"""


def _run(project: Project, *arguments: str) -> tuple[str, int]:
    process = project.start("--cluster", *WORKERS, *arguments)
    text, _ = process.communicate(timeout=HANGS)
    return text, process.returncode


def test_two_workers_share_a_cluster_and_a_report(project: Project) -> None:
    bodies = {"a-held": "", "b-missed": "objectives: [told: {says: BROKEN}]\n", "c-held": "", "d-held": ""}
    for name, body in bodies.items():
        project.experiment(name, body)
    text, code = _run(project, "--resilience-seed=5", "experiments")
    assert code == pytest.ExitCode.TESTS_FAILED, text
    assert "3 passed" in text
    assert "1 failed" in text
    assert text.count("resilience: owned fake cluster") == 1
    assert text.count("report: ") == 1
    run = project.record()
    assert {record.name for record in run.experiments} == set(bodies)
    assert {record.seed for record in run.experiments} == {5}
    assert run.environment is not None
    happened = project.happened()
    # The controller and both workers ask, one after the other; only the first finds none.
    assert happened.count("choose auto") == 3
    assert [line for line in happened if line.startswith("made")] == ["made True", "made False", "made False"]
    assert happened.count("take down") == 1
    assert happened.index("take down") > max(index for index, line in enumerate(happened) if "choose" in line)


def test_an_unreachable_cluster_ends_all_workers(project: Project) -> None:
    project.experiment("held")
    (project.root / "cluster.gone").touch()
    text, code = _run(project, "experiments")
    assert code == CLUSTER_UNUSABLE, text
    assert "ClusterUnreachable: nobody answers" in text


def test_disruptive_experiment_runs_alone_among_the_workers(project: Project) -> None:
    project.experiment("ordinary")
    project.experiment("everywhere", "disruptive: true\nfaults: [mark: {}]\nobjectives: [told: {}]\n")
    project.pytester.makepyfile(watch_turns=WATCH_TURNS)
    text, code = _run(project, "-p", "watch_turns", "--allow-disruptive", "experiments")
    assert code == pytest.ExitCode.OK, text
    happened = (project.root / "turns.log").read_text().split()
    assert [line for line in happened if line != "wait"] == ["begin", "end", "begin", "end"]
    assert "everywhere: waiting for " in text or "ordinary: waiting for " in text


def test_every_plan_is_shown_whichever_worker_makes_it(project: Project) -> None:
    for name in ("first", "second"):
        project.experiment(name, KILL)
    text, code = _run(project, "--plan", "experiments")
    assert code == pytest.ExitCode.OK, text
    for name in ("first", "second"):
        assert f"plan of {name}" in text
        assert f"create namespace rh-{name}-" in text


def test_workers_run_disruptive_experiments_last(project: Project) -> None:
    project.experiment("a-wide", "disruptive: true\nfaults: [mark: {}]\nobjectives: [told: {}]\n")
    for name in ("b", "c", "d"):
        project.experiment(name)
    process = project.start(
        "--cluster", "-p", "xdist", "-n", "1", "--allow-disruptive", "-v", "experiments", conftest=PRINTS_ORDER
    )
    text, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, text
    order = (project.root / "order.log").read_text().split()
    assert order == ["b", "c", "d", "a-wide"]


def test_worker_runs_the_longest_experiments_first(project: Project) -> None:
    short, longer = project.experiment("a-short"), project.experiment("b-long")
    longer.write_text(longer.read_text().replace("settle: 50ms", "settle: 60ms"))
    process = project.start("--cluster", "-p", "xdist", "-n", "1", "experiments", conftest=PRINTS_ORDER)
    text, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, text
    assert (project.root / "order.log").read_text().split() == [longer.stem, short.stem]


def test_one_process_keeps_the_order_of_the_files(project: Project) -> None:
    project.experiment("a-wide", "disruptive: true\nfaults: [mark: {}]\nobjectives: [told: {}]\n")
    project.experiment("b")
    process = project.start("--cluster", "--allow-disruptive", "experiments", conftest=PRINTS_ORDER)
    text, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, text
    assert (project.root / "order.log").read_text().split() == ["a-wide", "b"]


@pytest.mark.parametrize(
    ("arguments", "chunk"),
    [(["--cluster"], "1"), (["--cluster", "--maxschedchunk=5"], "5"), ([], "None")],
    ids=["cluster", "chosen", "none"],
)
def test_workers_get_one_experiment_after_another(project: Project, arguments: list[str], chunk: str) -> None:
    prints = "def pytest_sessionstart(session):\n    print('chunk:', session.config.option.maxschedchunk)\n"
    process = project.start(*arguments, *WORKERS, "-s", "--collect-only", "experiments", conftest=prints)
    text, _ = process.communicate(timeout=HANGS)
    assert f"chunk: {chunk}\n" in text
