"""The pytest plugin: options, hooks and fixtures. What they do is done elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

import pytest
from pluggy import Result

from harness import hookspecs
from harness.clock import SystemClock
from harness.cluster.protocol import Capability, Cluster
from harness.errors import CapabilityMissing, HarnessError, InputError
from harness.guard.policy import load_guard
from harness.interrupts import deferred, terminate_as_interrupt
from harness.items import RECORD_KEY, SESSION_KEY, ExperimentFile, ExperimentItem, is_experiment
from harness.naming import experiment_name
from harness.observation import Injection, Timeline
from harness.outcome import Broken, left_behind
from harness.probes.prometheus import Prometheus
from harness.python_experiment import PythonExperiment
from harness.record import RunRecord
from harness.reporting.plain import harmless
from harness.reporting.summary import junit_properties, terminal_lines
from harness.run import new_run_id
from harness.session import Session
from harness.settings import OPTIONS, resolve, without_passwords
from harness.terminal import is_worker, notice, progress

# Outcomes of pytest itself end at 5; this one says that the cluster could not be had.
CLUSTER_UNUSABLE = 6
# Seconds that a worker of pytest-xdist gets to take everything back.
WORKER_EXIT = 180
_RUN_KEY = pytest.StashKey[RunRecord]()
# Held from an item's set-up until everything of it is taken down.
_TURN_KEY = pytest.StashKey[ExitStack]()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("resilience", "resilience experiments on a live Kubernetes cluster")
    group.addoption(
        "--cluster",
        dest="resilience_cluster",
        nargs="?",
        const="auto",
        metavar="auto|local|kind|current|CONTEXT",
        help="run experiments on this cluster (with =; alone it means auto); without it they are skipped",
    )
    for option in OPTIONS:
        how = {"action": "store_true", "default": None} if option.flag else {"metavar": option.metavar}
        group.addoption(option.command_line, dest=option.destination, help=option.help, **how)
        parser.addini(option.ini, f"the same as {option.command_line}", default="")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(args: list[str]) -> None:
    # argparse would take the path in `--cluster experiments/` for the option's value.
    args[:] = ["--cluster=auto" if argument == "--cluster" else argument for argument in args]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "resilience: an experiment on a live cluster")
    config.addinivalue_line("markers", "requires(*capabilities): skipped when the cluster lacks one of them")
    config.addinivalue_line("markers", "disruptive: hits more than its own namespace; runs with --allow-disruptive")
    config.addinivalue_line("markers", "twin: a broken copy of an experiment that must come out BROKEN")
    options = vars(config.option)
    try:
        chosen = config.getoption("resilience_cluster") or ""
        settings = resolve(chosen, options.get, lambda name: str(config.getini(name)))
        guard = load_guard(config.rootpath, settings.guard)
    except InputError as error:
        raise pytest.UsageError(str(error)) from error
    shared = getattr(config, "workerinput", {}).get("resilience") or {}
    clock = SystemClock()
    begun = clock.monotonic()

    def told(message: str) -> str:
        return f"{clock.monotonic() - begun:5.0f} s  {message}"

    run_id = shared.get("run_id") or new_run_id(clock)
    config.stash[SESSION_KEY] = Session(
        settings=settings,
        guard=guard,
        root=config.rootpath,
        run_id=run_id,
        seed=shared.get("seed", settings.seed if settings.seed is not None else int(run_id[-4:], 16)),
        command=without_passwords(" ".join(["pytest", *config.invocation_params.args])),
        progress=lambda message: progress(config, told(message)),
        notice=lambda message: notice(config, told(message)),
        clock=clock,
    )
    if chosen:
        terminate_as_interrupt()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - a type of pytest-xdist
    session = node.config.stash[SESSION_KEY]
    # After Ctrl-C a worker still has effects to take back, for which the usual ten seconds are too few.
    node.nodemanager.EXIT_TIMEOUT = WORKER_EXIT
    node.workerinput["resilience"] = {"run_id": session.run_id, "seed": session.seed}


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if is_experiment(file_path):
        collected: pytest.Collector = ExperimentFile.from_parent(parent, path=file_path)
        return collected
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    settings = config.stash[SESSION_KEY].settings
    for item in filter(_needs_cluster, items):
        if not settings.cluster:
            item.add_marker(pytest.mark.skip(reason="needs a cluster: --cluster"))
        elif settings.plan:
            if not isinstance(item, ExperimentItem):
                item.add_marker(pytest.mark.skip(reason="its steps are code, which cannot be planned"))
        elif item.get_closest_marker("disruptive") and not settings.allow_disruptive:
            item.add_marker(pytest.mark.skip(reason="hits more than its own namespace: --allow-disruptive"))


def pytest_collection_finish(session: pytest.Session) -> None:
    ours = session.config.stash[SESSION_KEY]
    chosen = [item for item in session.items if item.get_closest_marker("disruptive") and _needs_cluster(item)]
    ours.disruptive = bool(chosen) and ours.settings.allow_disruptive


def pytest_runtestloop(session: pytest.Session) -> None:
    """Connect when everything is collected and nothing was wrong with it, and before anything runs."""
    option = session.config.option
    if option.collectonly or (session.testsfailed and not option.continue_on_collection_errors):
        return
    if any(_needs_cluster(item) for item in session.items):
        _connect(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:  # noqa: ANN401, ARG001
    _connect(node.config)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with ExitStack() as item.stash[_TURN_KEY]:
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not _needs_cluster(item):
        return
    session = item.config.stash[SESSION_KEY]
    _skip_if_halted(session)
    cluster = session.connect().cluster
    alone = item.get_closest_marker("disruptive") is not None
    turn = item.stash[_TURN_KEY]
    # Plugins that repeat an item set it up again within one protocol: it would wait for itself.
    turn.close()
    turn.enter_context(session.turn(item.name, partial(_skip_if_halted, session), alone=alone))
    missing = {Capability(name) for mark in item.iter_markers("requires") for name in mark.args}
    missing -= cluster.capabilities() if missing else set()
    if missing:
        _lacking(item.config, ", ".join(sorted(missing)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Result[Any], None]:
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    if call.when == "call" and report.failed and call.excinfo is not None and _needs_cluster(item):
        error = call.excinfo.value
        if isinstance(error, CapabilityMissing):
            if not item.config.stash[SESSION_KEY].settings.strict:
                report.outcome = "skipped"
                report.longrepr = (str(item.path), 0, f"Skipped: this cluster cannot: {error}")
        elif isinstance(error, HarnessError) or (isinstance(item, ExperimentItem) and not isinstance(error, Broken)):
            # pytest shows what fails outside the call as an error: nothing was shown either way.
            report.when = "setup"
    record = item.stash.get(RECORD_KEY, None)
    # A Python test has its record when its fixture ends; JUnit takes the properties of the last report.
    if record is not None:
        report.user_properties += junit_properties(record, item.config.stash[SESSION_KEY].report)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Last of all: fixtures end and workers stop in this hook too, and both may still have to take something back."""
    ours = session.config.stash[SESSION_KEY]
    if is_worker(session.config):
        ours.close()
        return
    # Another Ctrl-C could only leave half a cluster behind; the session ends right after this anyway.
    with suppress(KeyboardInterrupt), deferred(), ExitStack() as last:
        last.enter_context(_told(session, "the cluster could not be taken down"))
        last.callback(ours.take_down, passed=exitstatus == pytest.ExitCode.OK)
        last.enter_context(_told(session, "the report could not be written"))
        run = ours.write_report()
        if run is not None:
            session.config.stash[_RUN_KEY] = run
            session.config.hook.pytest_resilience_run_finished(run=run, folder=str(ours.store.folder))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    run = config.stash.get(_RUN_KEY, None)
    if run is None:
        return
    terminalreporter.section("resilience")
    for text, style in terminal_lines(run, config.stash[SESSION_KEY].report, get_terminal_size().columns):
        terminalreporter.write_line(text, **({style: True} if style else {}))
    left = left_behind(run)
    if left:
        terminalreporter.section("UNDO FAILED: these effects are still in the cluster", red=True, bold=True)
        for line in left:
            terminalreporter.write_line(harmless(line), red=True, bold=True)


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Cluster:
    """The cluster of this session."""
    return pytestconfig.stash[SESSION_KEY].connect().cluster


@pytest.fixture(scope="session")
def prometheus(pytestconfig: pytest.Config) -> Prometheus:
    """The cluster's Prometheus; the test is skipped (with --cluster-strict: fails) when there is none."""
    found = pytestconfig.stash[SESSION_KEY].connect().prometheus
    if found is None:
        _lacking(pytestconfig, "Prometheus")
    assert found is not None
    return found


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> Iterator[PythonExperiment]:
    """An experiment that the test drives: see ``harness.python_experiment``."""
    run = request.config.stash[SESSION_KEY].connect()
    name = experiment_name(request.node.name, request.node.nodeid)
    hypothesis = (request.function.__doc__ or request.node.name).strip()
    disruptive = request.node.get_closest_marker("disruptive") is not None
    made = PythonExperiment(run, name, hypothesis, request.path, request.node.nodeid, disruptive=disruptive)
    request.node.stash[RECORD_KEY] = made.keeper.record
    with made:
        yield made
    request.config.hook.pytest_resilience_experiment_judged(record=made.keeper.record)


@pytest.fixture
def namespace(experiment: PythonExperiment) -> str:
    """The experiment's own namespace."""
    return experiment.namespace


@pytest.fixture
def load(experiment: PythonExperiment) -> Callable[..., None]:
    """Start the load: ``load("steady", rate=50, target="service/podinfo:http")``."""
    return experiment.load


@pytest.fixture
def chaos(experiment: PythonExperiment) -> Callable[..., AbstractContextManager[list[Injection]]]:
    """Inject faults for the length of a block: ``with chaos(PodKill(selector="app=podinfo")): …``."""
    return experiment.inject


@pytest.fixture
def timeline(experiment: PythonExperiment) -> Timeline:
    """Everything seen so far."""
    return experiment.timeline


def _skip_if_halted(session: Session) -> None:
    if session.halted:
        pytest.skip(session.halted)


def _needs_cluster(item: pytest.Item) -> bool:
    if isinstance(item, ExperimentItem):
        return True
    # By where a fixture comes from, not by its name: "cluster" and "load" are words that other projects use too.
    fixtures = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return any(found and found[-1].func.__module__ == __name__ for found in fixtures.values())


def _connect(config: pytest.Config) -> None:
    session = config.stash[SESSION_KEY]
    if session.connected or not session.settings.cluster:
        return
    try:
        progress(config, session.header())
    except (HarnessError, OSError) as error:
        pytest.exit(f"{type(error).__name__}: {error}", returncode=CLUSTER_UNUSABLE)


def _lacking(config: pytest.Config, what: str) -> None:
    message = f"this cluster has no {what}"
    if config.stash[SESSION_KEY].settings.strict:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@contextmanager
def _told(session: pytest.Session, what: str) -> Iterator[None]:
    try:
        yield
    except (HarnessError, OSError) as error:
        progress(session.config, f"{what}: {error}")
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
