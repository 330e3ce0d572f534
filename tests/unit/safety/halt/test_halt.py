"""The emergency stop: ordered in the cluster or by a file, heard by every run, and never half-believed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster.fake.access import FakeAccess
from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import CONFIG_MAPS, DEPLOYMENTS
from harness.common.clock import SystemClock
from harness.common.errors import Inconclusive
from harness.common.naming import SYSTEM_NAMESPACE
from harness.engine.runner import Runner
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord
from harness.safety.halt import order
from harness.safety.halt.order import Halt
from harness.safety.halt.watch import HaltWatch
from tests.fake_run import PATIENCE, Stage

WHO = Halt("ann@desk", "the shop is on fire", "2026-11-23T10:00:00.000Z")
TEXT = "halted by ann@desk at 2026-11-23T10:00:00.000Z: the shop is on fire"


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(SystemClock())


@pytest.fixture
def watch(cluster: FakeCluster, tmp_path: Path) -> Iterator[HaltWatch]:
    watch = HaltWatch(cluster.api.clone(), SystemClock(), [tmp_path / "halt"])
    yield watch
    watch.stop()


def _heard(watch: HaltWatch) -> str:
    """What the watch knows, as soon as it knows anything."""
    deadline = time.monotonic() + PATIENCE
    while (reason := watch.reason()) is None:
        assert time.monotonic() < deadline, "it never heard of the halt"
        time.sleep(0.001)
    return reason


def test_no_halt_without_an_order(watch: HaltWatch) -> None:
    watch.start()
    assert watch.reason() is None


def test_an_order_that_stands_is_known_when_the_watch_begins(cluster: FakeCluster, watch: HaltWatch) -> None:
    order.order(cluster.api, WHO)
    watch.start()
    assert watch.reason() == TEXT


def test_later_order_is_detected(cluster: FakeCluster, watch: HaltWatch) -> None:
    watch.start()
    order.order(cluster.api, WHO)
    assert _heard(watch) == TEXT


def test_order_given_while_the_watch_is_cut_off_is_detected(cluster: FakeCluster, watch: HaltWatch) -> None:
    watch.start()
    cluster.server.fail_next(0, count=2, method="WATCH")
    cluster.server.drop_connections()
    order.order(cluster.api, WHO)
    assert _heard(watch) == TEXT


def test_halted_run_stays_halted_after_the_order_is_cleared(cluster: FakeCluster, watch: HaltWatch) -> None:
    order.order(cluster.api, WHO)
    watch.start()
    assert order.clear(cluster.api) == WHO
    assert watch.reason() == TEXT
    assert order.clear(cluster.api) is None


def test_an_order_without_words_is_one_too(cluster: FakeCluster, watch: HaltWatch) -> None:
    labels = {"labels": {"resilience.harness/component": "halt"}}
    cluster.server.seed(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "halt", **labels}}, namespace=SYSTEM_NAMESPACE
    )
    watch.start()
    assert watch.reason() == "halted by an unknown user: no reason given"


def test_other_objects_of_the_harness_halt_nothing(cluster: FakeCluster, watch: HaltWatch) -> None:
    cluster.server.seed(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "undo-x"}}, namespace=SYSTEM_NAMESPACE
    )
    watch.start()
    assert watch.reason() is None


def test_run_that_cannot_read_halt_orders_ends(cluster: FakeCluster, watch: HaltWatch) -> None:
    cluster.server.access = FakeAccess([])
    watch.start()
    assert "the watch for halt orders failed: ApiError: 403" in str(watch.reason())


@pytest.mark.parametrize(("text", "reason"), [("", "no reason given"), ("lunch\nmore", "lunch")])
def test_a_file_halts_while_it_exists(watch: HaltWatch, tmp_path: Path, text: str, reason: str) -> None:
    watch.start()
    assert watch.reason() is None
    (tmp_path / "halt").write_text(text)
    assert watch.reason() == f"halted by the file {tmp_path / 'halt'}: {reason}"


def test_a_halt_file_that_cannot_be_read_halts(tmp_path: Path) -> None:
    (tmp_path / "halt").mkdir()
    assert order.read_file(tmp_path / "halt") == Halt(f"the file {tmp_path / 'halt'}")


def test_a_pipe_for_a_halt_file_halts_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "halt")
    assert order.read_file(tmp_path / "halt") == Halt(f"the file {tmp_path / 'halt'}")


def _halted(stage: Stage, says: str) -> ExperimentRecord:
    """Play with a run that is halted as soon as it says this."""
    run = stage.run()
    object.__setattr__(run, "halted", lambda: TEXT if any(says in line for line in stage.said) else None)
    return Runner(run, stage.experiment(), "node").run()


@pytest.mark.parametrize("says", ["deploying", "baseline", "fault", "recovery", "settle"])
def test_halt_ends_any_phase_and_undoes_everything(tmp_path: Path, says: str) -> None:
    stage = Stage(tmp_path)
    record = _halted(stage, says)
    assert (record.verdict, record.reason) == (Verdict.INCONCLUSIVE, TEXT)
    assert stage.namespaces() == []


def test_a_halt_while_the_workload_does_not_become_ready(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    store, run = stage.cluster.server.store, stage.run()
    store.reactors.clear()
    object.__setattr__(run, "halted", lambda: TEXT if store.list(DEPLOYMENTS) else None)
    before = stage.clock.monotonic()
    assert Runner(run, stage.experiment(), "node").run().reason == TEXT
    assert stage.clock.monotonic() - before < 5.0, "it waited for the workload all the same"


def test_go_on_raises_when_halted(tmp_path: Path) -> None:
    run = Stage(tmp_path).run()
    run.go_on()
    object.__setattr__(run, "halted", lambda: TEXT)
    with pytest.raises(Inconclusive, match="on fire"):
        run.go_on()


def test_unexpected_watch_error_ends_the_run(watch: HaltWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that has died must not look like one that has heard nothing."""
    monkeypatch.setattr("threading.excepthook", lambda _: None)

    def broken(_reflector: object, _stop: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("harness.cluster.kube.reflector.Reflector.run", broken)
    watch.start()
    assert "the watch for halt orders failed" in str(watch.reason())


def test_halting_running_experiments_needs_no_namespace_rights(cluster: FakeCluster) -> None:
    cluster.server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}})
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]}
    metadata = {"name": "halting", "namespace": SYSTEM_NAMESPACE}
    cluster.server.access = FakeAccess([{"kind": "Role", "metadata": metadata, "rules": [rule]}])
    order.order(cluster.api, WHO)
    assert order.read(cluster.api.get(CONFIG_MAPS, order.NAME, SYSTEM_NAMESPACE)) == WHO
