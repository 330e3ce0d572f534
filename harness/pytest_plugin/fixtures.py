"""The fixtures for experiments written as Python tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from harness.cluster.protocol import Cluster
from harness.common.errors import Vetoed
from harness.common.naming import experiment_name
from harness.engine.python_experiment import PythonExperiment
from harness.model.timeline import Injection, Timeline
from harness.prometheus.client import Prometheus
from harness.pytest_plugin.items import RECORD_KEY, SESSION_KEY, is_disruptive

# Receives the exception that ended a test, so that the record contains the reason.
ENDED_KEY = pytest.StashKey[Callable[[BaseException], None]]()
# Set if the veto webhook denied the injection, so that the test was skipped.
DENIED_KEY = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Cluster:
    """The cluster of this session."""
    return pytestconfig.stash[SESSION_KEY].connect().cluster


@pytest.fixture(scope="session")
def prometheus(pytestconfig: pytest.Config) -> Prometheus:
    """The cluster's Prometheus; without one the test is skipped, or fails with --cluster-strict."""
    found = pytestconfig.stash[SESSION_KEY].connect().prometheus
    if found is None:
        skip_for_missing(pytestconfig, "Prometheus")
    assert found is not None
    return found


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> Iterator[PythonExperiment]:
    """An experiment whose steps the test calls: see ``harness.engine.python_experiment``."""
    run = request.config.stash[SESSION_KEY].run_for(request.path)
    name = experiment_name(request.node.name, request.node.nodeid)
    hypothesis = (request.function.__doc__ or request.node.name).strip()
    disruptive = is_disruptive(request.node)
    try:
        made = PythonExperiment(run, name, hypothesis, request.path, request.node.nodeid, disruptive=disruptive)
    except Vetoed as error:
        if request.config.stash[SESSION_KEY].settings.strict:
            raise
        pytest.skip(str(error))
    request.node.stash[RECORD_KEY] = made.keeper.record
    request.node.stash[ENDED_KEY] = made.ended_by
    with made:
        yield made
        # pytest makes no report of a test that a signal ended: only the status of the session shows it here.
        if request.session.exitstatus == pytest.ExitCode.INTERRUPTED and not made.keeper.record.has_verdict:
            made.keeper.record.interrupted = True
    if DENIED_KEY in request.node.stash:
        del request.node.stash[RECORD_KEY]
        run.store.discard([made.keeper.record])
        return
    request.config.hook.pytest_resilience_experiment_judged(record=made.keeper.record)


@pytest.fixture
def namespace(experiment: PythonExperiment) -> str:
    """The name of the experiment's namespace."""
    return experiment.namespace


@pytest.fixture
def load(experiment: PythonExperiment) -> Callable[..., None]:
    """Start the load: ``load("steady", rate=50, target="service/podinfo:http")``."""
    return experiment.load


@pytest.fixture
def chaos(experiment: PythonExperiment) -> Callable[..., AbstractContextManager[list[Injection]]]:
    """Inject faults for the duration of a ``with`` block: ``with chaos(PodKill(selector="app=podinfo")): …``."""
    return experiment.inject


@pytest.fixture
def timeline(experiment: PythonExperiment) -> Timeline:
    """The observations so far."""
    return experiment.timeline


def skip_for_missing(config: pytest.Config, what: str) -> None:
    """Skip the test because the cluster has no ``what``; with --cluster-strict fail it."""
    message = f"this cluster has no {what}"
    if config.stash[SESSION_KEY].settings.strict:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
