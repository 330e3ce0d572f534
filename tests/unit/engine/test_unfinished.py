"""A fault whose effect outlasts its phase: the recovery phase waits for the end, and nothing is HELD without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.fake.controllers import DeploymentController, Kubelet
from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.resources import PODS
from harness.common.clock import parse_kubernetes_time
from harness.common.errors import ApiError
from harness.model.phase_names import RECOVERY
from harness.model.verdict import Verdict
from tests.fake_run import EXPERIMENT, Stage


class SlowKubelet(Kubelet):
    """Lets pods use up their grace period; ``sweep`` removes those whose time is over."""

    def react(self, store: Store, change: Change) -> None:
        if "deletionTimestamp" not in change.object["metadata"]:
            super().react(store, change)

    @staticmethod
    def sweep(store: Store, now: float) -> None:
        for pod in store.list(PODS):
            metadata = pod["metadata"]
            ends = metadata.get("deletionTimestamp")
            if ends and now >= parse_kubernetes_time(ends):
                store.remove(PODS, metadata["namespace"], metadata["name"])


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    stage = Stage(tmp_path)
    store, sleep = stage.cluster.server.store, stage.clock.sleep
    store.reactors[:] = [SlowKubelet(), DeploymentController()]

    def passing(seconds: float) -> None:
        sleep(seconds)
        SlowKubelet.sweep(store, stage.clock.wall())

    monkeypatch.setattr(stage.clock, "sleep", passing)
    return stage


def _experiment(recovery: str, grace: str = ", gracePeriod: 20s") -> str:
    text = EXPERIMENT.replace("recovery: 5s", f"recovery: {recovery}").replace("count: 1", f"count: 1{grace}")
    return text.replace(
        "recoveryTime: {of: deployment/shop, max: 10s}", "replicas: {of: deployment/shop, neverBelow: 2}"
    )


def test_recovery_waits_until_the_victim_has_ended(stage: Stage) -> None:
    record = stage.play(stage.experiment(_experiment("60s").partition("twins:")[0]))
    assert record.verdict is Verdict.HELD, record.reason
    recovery = next(phase for phase in record.phases if phase.name == RECOVERY)
    assert 17 <= recovery.end - recovery.start <= 20


@pytest.mark.parametrize(
    ("grace", "seconds"), [(", gracePeriod: 20s", 20), ("", 30)], ids=["of the fault", "of the pod"]
)
def test_no_verdict_holds_while_the_victim_terminates(stage: Stage, grace: str, seconds: int) -> None:
    record = stage.play(stage.experiment(_experiment("5s", grace).partition("twins:")[0]))
    assert record.verdict is Verdict.INCONCLUSIVE
    assert f"is still terminating (grace period {seconds} s), its effect had not ended" in record.reason
    assert "increase phases.recovery" in record.reason


def test_unreadable_end_never_holds(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> str:
        raise ApiError(503, "ServiceUnavailable", "away")

    monkeypatch.setattr("harness.faults.departure.Departure.unfinished", unreachable)
    record = stage.play(stage.experiment(_experiment("5s", ", gracePeriod: 0s").partition("twins:")[0]))
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "could not check whether its effect has ended: 503 ServiceUnavailable: away" in record.reason
