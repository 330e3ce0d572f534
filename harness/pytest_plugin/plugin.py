"""The pytest plugin: options, hooks and fixtures. The work itself is done in ``session`` and ``items``."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pluggy import Result

from harness.cluster.protocol import Capability
from harness.common.clock import SystemClock
from harness.common.errors import (
    CapabilityMissing,
    ClusterError,
    HarnessError,
    InputError,
    PrometheusUnusable,
    Vetoed,
)
from harness.common.excerpts import with_excerpts
from harness.common.interrupts import deferred, give_lines, rearm, terminate_as_interrupt
from harness.engine.options import OPTIONS
from harness.engine.outcome import Broken
from harness.engine.preflight.veto import check_run
from harness.engine.settings import Settings, recorded_command, resolve
from harness.engine.steps.run import new_run_id
from harness.engine.steps.veto import allow_all
from harness.experiment.files import is_experiment, is_game_day
from harness.experiment.project_files import ProjectFiles
from harness.notifications.channels import veto_of
from harness.pytest_plugin import fixtures, hookspecs, locust_plugin, mutants, workers
from harness.pytest_plugin.budget import deselect
from harness.pytest_plugin.companions import register_companions
from harness.pytest_plugin.fixtures import (
    DENIED_KEY,
    ENDED_KEY,
    chaos,
    cluster,
    experiment,
    load,
    namespace,
    prometheus,
    skip_for_missing,
    timeline,
)
from harness.pytest_plugin.game_day import DAY_KEY, GameDayFile, refuse_workers
from harness.pytest_plugin.ini_values import ini_value
from harness.pytest_plugin.items import (
    LEFT_OUT_KEY,
    RECORD_KEY,
    SESSION_KEY,
    ExperimentFile,
    ExperimentItem,
    deployed_by,
    folder_of,
    is_disruptive,
    longest_phases,
    opt_in_missing,
)
from harness.pytest_plugin.missing_cluster import NO_CLUSTER, MissingCluster
from harness.pytest_plugin.notifications import add_leftovers
from harness.pytest_plugin.session import Session
from harness.pytest_plugin.tally import Tally, describe
from harness.pytest_plugin.terminal import is_worker, notice, progress, reported
from harness.results.reporting.mutation import below_required
from harness.results.reporting.overview import overruled
from harness.results.reporting.summary import junit_properties

# pytest finds fixtures among a plugin's own names.
__all__ = ["chaos", "cluster", "experiment", "load", "namespace", "prometheus", "timeline"]

# pytest's own exit codes end at 5. 6: no usable cluster, 8: the Prometheus of --prometheus-url does not answer.
CLUSTER_UNUSABLE, PROMETHEUS_UNUSABLE = 6, 8
# Only in the process with the terminal, and only with --cluster.
_TALLY_KEY = pytest.StashKey[Tally]()
# The lock of the workers, held from an item's setup until the end of its teardown.
_LOCK_KEY = pytest.StashKey[ExitStack]()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    locust_plugin.block(pluginmanager)
    group = parser.getgroup("resilience", "resilience experiments on a live Kubernetes cluster")
    group.addoption(
        "--cluster",
        dest="resilience_cluster",
        nargs="?",
        const="auto",
        metavar="auto|local|kind|current|in-cluster|CONTEXT",
        help="run experiments on this cluster (--cluster alone means auto; give a value with =); default: skip them",
    )
    for option in OPTIONS:
        how: dict[str, Any] = {"action": "store_true", "default": None} if option.flag else {"metavar": option.metavar}
        if option.many:
            how["action"] = "append"
        how |= {"nargs": "?", "const": option.bare} if option.bare else {}
        group.addoption(option.command_line, dest=option.destination, help=option.help, **how)
        parser.addini(option.ini, f"the same as {option.command_line}", default="")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    locust_plugin.drop(early_config, parser)
    # Otherwise argparse takes the path in `--cluster experiments/` as the value of the option.
    bare = {"--cluster": "auto", **{each.command_line: each.bare for each in OPTIONS if each.bare}}
    args[:] = [f"{argument}={bare[argument]}" if argument in bare else argument for argument in args]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "resilience: an experiment on a live cluster")
    config.addinivalue_line("markers", "requires(*capabilities): skipped when the cluster lacks one of them")
    config.addinivalue_line("markers", "disruptive: affects more than its own namespace; needs --allow-disruptive")
    config.addinivalue_line("markers", "twin: a deliberately broken copy of an experiment; its verdict must be BROKEN")
    options = vars(config.option)
    try:
        chosen = config.getoption("resilience_cluster") or ""
        settings = resolve(chosen, options.get, partial(ini_value, config))
        shared = getattr(config, "workerinput", {}).get("resilience") or {}
        # A worker may start in another folder, but all processes of a session share the files in this one.
        here = Path(shared.get("here", config.invocation_params.dir))
        files = ProjectFiles(here, settings.guard, settings.halt_file, [config.rootpath])
        files.guard()
        refuse_workers(config)
    except InputError as error:
        raise pytest.UsageError(with_excerpts(error)) from error
    clock = SystemClock()
    begun = clock.monotonic()

    def timed(message: str) -> str:
        return f"{clock.monotonic() - begun:5.0f} s  {message}"

    run_id = shared.get("run_id") or new_run_id(clock)
    config.stash[SESSION_KEY] = Session(
        settings=settings,
        here=here,
        files=files,
        run_id=run_id,
        seed=shared.get("seed", settings.seed if settings.seed is not None else int(run_id[-4:], 16)),
        command=recorded_command([str(argument) for argument in config.invocation_params.args]),
        progress=lambda message: progress(config, timed(message)),
        notice=lambda message: notice(config, timed(message)),
        veto=veto_of(settings.addresses, run_id, clock) or allow_all,
        clock=clock,
        started=shared.get("started", ""),
    )
    config.pluginmanager.register(mutants, "resilience-mutants")
    config.pluginmanager.register(workers, "resilience-workers")
    if chosen and not is_worker(config):
        try:
            config.stash[_TALLY_KEY] = register_companions(config, settings)
        except InputError as error:
            raise pytest.UsageError(with_excerpts(error)) from error
    if chosen:
        config.add_cleanup(terminate_as_interrupt())
    elif not is_worker(config):
        config.pluginmanager.register(MissingCluster(settings.required), "resilience-missing-cluster")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if is_experiment(file_path):
        collected: pytest.Collector = ExperimentFile.from_parent(parent, path=file_path)
        return collected
    if is_game_day(file_path):
        found: pytest.Collector = GameDayFile.from_parent(parent, path=file_path)
        return found
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what fits the time budget, and let the workers of pytest-xdist run disruptive experiments last.

    Each runs alone, so that between others it would make every worker wait until theirs have ended. The others start
    with the longest, so that all workers end at about the same time; a time budget or a game day has its own order.
    """
    day = DAY_KEY in config.stash
    deselect(config, items, day)
    if hasattr(config, "workerinput"):
        if not day and config.stash[SESSION_KEY].settings.budget is None:
            items.sort(key=longest_phases, reverse=True)
        items.sort(key=is_disruptive)


def pytest_collection_finish(session: pytest.Session) -> None:
    ours = session.config.stash[SESSION_KEY]
    ours.disruptive = ours.settings.allow_disruptive and any(map(_needs_cluster, filter(is_disruptive, session.items)))
    ours.deployed = deployed_by(session.items)
    # A game day has added its folders; in the order of its items they would show a sealed order.
    if DAY_KEY not in session.config.stash:
        ours.files.add(folder_of(item) for item in session.items if _needs_cluster(item))


def pytest_runtestloop(session: pytest.Session) -> None:
    """Connect to the cluster after an error-free collection and before the first test runs."""
    option = session.config.option
    if option.collectonly or (session.testsfailed and not option.continue_on_collection_errors):
        return
    if any(_needs_cluster(item) for item in session.items):
        _connect(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:  # noqa: ANN401
    files = {node.config.rootpath / node_id.partition("::")[0] for node_id in ids}
    node.config.stash[SESSION_KEY].files.add(sorted({file.parent for file in files}))
    _connect(node.config)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    rearm()
    with ExitStack() as item.stash[_LOCK_KEY]:
        yield


# First, since pytest sets up the fixtures in the same hook, and they need the lock.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if not _needs_cluster(item):
        return
    session = item.config.stash[SESSION_KEY]
    reason = _skip_reason(item, session.settings) or item.stash.get(LEFT_OUT_KEY, "")
    if reason:
        # Not with pytest's skip marker, which has no effect under ``-p no:skipping``.
        raise pytest.skip.Exception(reason, _use_item_location=True)
    _skip_if_halted(session)
    cluster = session.connect().cluster
    alone = is_disruptive(item)
    lock = item.stash[_LOCK_KEY]
    # Plugins that repeat an item set it up again within one protocol: without this it would wait for itself.
    lock.close()
    lock.enter_context(session.worker_lock(item.name, partial(_skip_if_halted, session), alone=alone))
    missing = {Capability(name) for mark in item.iter_markers("requires") for name in mark.args}
    missing -= cluster.capabilities() if missing else set()
    if missing:
        skip_for_missing(item.config, ", ".join(sorted(missing)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Result[Any], None]:
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    ended_by = item.stash.get(ENDED_KEY, None)
    if call.excinfo is not None and ended_by is not None and call.when != "teardown":
        ended_by(call.excinfo.value)
    if call.when == "call" and report.failed and call.excinfo is not None and _needs_cluster(item):
        error = call.excinfo.value
        strict = item.config.stash[SESSION_KEY].settings.strict
        if isinstance(error, CapabilityMissing):
            if not strict:
                report.outcome = "skipped"
                report.longrepr = (str(item.path), 0, f"Skipped: not supported by this cluster: {error}")
        elif isinstance(error, Vetoed) and not isinstance(item, ExperimentItem) and not strict:
            item.stash[DENIED_KEY] = True
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, f"Skipped: {error}")
        elif isinstance(error, HarnessError) or (isinstance(item, ExperimentItem) and not isinstance(error, Broken)):
            # pytest reports a failure outside of the call as an error, not as failed: nothing was proven.
            report.when = "setup"
    if report.skipped and _needs_cluster(item):
        describe(item, report, item.experiment if isinstance(item, ExperimentItem) else None)
    record = item.stash.get(RECORD_KEY, None)
    # The record of a Python test is complete after its fixture ends; JUnit uses the properties of the last report.
    if record is not None:
        report.user_properties += junit_properties(record, item.config.stash[SESSION_KEY].report)
        add_leftovers(report, record)


@pytest.hookimpl(tryfirst=True)
def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Runs first, before pytest prints the location of the interrupt."""
    give_lines(excinfo.value)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Runs last: fixtures end and workers stop in the same hook, and both may still have effects to undo."""
    ours = session.config.stash[SESSION_KEY]
    if is_worker(session.config):
        ours.close()
        return
    # A second Ctrl-C could leave a half-deleted cluster; the session ends right after this anyway.
    with suppress(KeyboardInterrupt), deferred(), ExitStack() as last:
        last.enter_context(reported(session, "could not delete the cluster"))
        last.callback(ours.take_down, passed=exitstatus == pytest.ExitCode.OK)
        last.enter_context(reported(session, "could not write the report"))
        tally = session.config.stash.get(_TALLY_KEY, None)
        run = ours.write_report(tally.skipped if tally else ())
        if run is not None:
            if (overruled(run) or below_required(run)) and session.exitstatus == pytest.ExitCode.OK:
                # A passing rerun makes pytest's session pass, but it does not revoke an earlier BROKEN verdict.
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            session.config.hook.pytest_resilience_run_finished(run=run, folder=str(ours.store.folder))


def _skip_reason(item: pytest.Item, settings: Settings) -> str:
    if not settings.cluster:
        return NO_CLUSTER
    if settings.plan:
        return "" if isinstance(item, ExperimentItem) else "a dry run cannot plan the steps of a Python test"
    return opt_in_missing(item, settings)


def _skip_if_halted(session: Session) -> None:
    if session.halted:
        pytest.skip(session.halted)


def _needs_cluster(item: pytest.Item) -> bool:
    if isinstance(item, ExperimentItem):
        return True
    # Compare the module of the fixture, not its name: other projects have fixtures named "cluster" or "load" too.
    found_by_name = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return any(found and found[-1].func.__module__ == fixtures.__name__ for found in found_by_name.values())


def _connect(config: pytest.Config) -> None:
    session = config.stash[SESSION_KEY]
    if session.connected or not session.settings.cluster:
        return
    try:
        progress(config, f"resilience: {session.files.describe()}")
        progress(config, session.header())
        if not is_worker(config) and not session.settings.plan:
            check_run(session.connect())
            config.hook.pytest_resilience_run_started(run=session.record, folder=str(session.store.folder))
    except (HarnessError, OSError) as error:
        # An invalid kubeconfig is both InputError and ClusterError; it counts as an unusable cluster.
        if isinstance(error, InputError) and not isinstance(error, ClusterError):
            pytest.exit(with_excerpts(error), returncode=pytest.ExitCode.USAGE_ERROR)
        code = PROMETHEUS_UNUSABLE if isinstance(error, PrometheusUnusable) else CLUSTER_UNUSABLE
        pytest.exit(f"{type(error).__name__}: {error}", returncode=code)
