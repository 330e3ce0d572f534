"""An experiment with a control arm: two namespaces, one of them harmed, both watched, both taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from harness.cluster.kube import namespaces
from harness.common.errors import InputError, TimedOut
from harness.engine.options import Keep
from harness.engine.steps import deploy
from harness.experiment.declaration import Control, Experiment
from harness.model.finding import Finding
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.probes.observers import Observers
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import EXPERIMENT, SERVICE, Stage

OWN, OTHER = "rh-one-killed-file-run1", "rh-one-killed-file--control-run1"


class ToldBoth(Told):
    """Says of the arm that nothing was injected into what ``unharmed`` is, and writes down what it was shown."""

    kind: ClassVar[str] = "toldBoth"
    unharmed: Verdict = Verdict.HELD
    shown: ClassVar[list[Timeline]] = []

    @property
    def checks_control(self) -> bool:
        return True

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        self.shown.append(timeline)
        verdict = self.says if timeline.injections else self.unharmed
        return Finding.exact(verdict, f"told {verdict}", 1.0, limit=2.0, unit="s", comparison="<=", samples=7)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    monkeypatch.setattr(ToldBoth, "shown", [])
    monkeypatch.setattr("harness.engine.steps.run.file_digest", lambda _file: "file")
    return Stage(tmp_path)


def controlled(stage: Stage, *, fails: str = "", **told: Any) -> Experiment:
    objectives = (ToldBoth(**told), Told())
    return replace(stage.experiment(), faults=(Mark(fails=fails),), objectives=objectives, control=Control())


def test_both_arms_are_deployed_before_waiting_and_both_removed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def traced(module: ModuleType, name: str) -> None:
        original = getattr(module, name)

        def call(api: Any, namespace: str, *rest: Any, **named: Any) -> Any:
            steps.append(f"{name} {namespace}")
            return original(api, namespace, *rest, **named)

        monkeypatch.setattr(module, name, call)

    traced(deploy, "apply_workload")
    traced(deploy, "wait_for_workload")
    traced(namespaces, "request_deletion")
    traced(namespaces, "remove_namespace")
    stage.play(controlled(stage))
    assert steps[:4] == [f"{step} {name}" for step in ("apply_workload", "wait_for_workload") for name in (OWN, OTHER)]
    # Neither is waited for before both have been asked to go.
    assert steps[4] == f"request_deletion {OTHER}"
    assert {step for step in steps if step.startswith("remove")} == {
        f"remove_namespace {OWN}",
        f"remove_namespace {OTHER}",
    }
    assert stage.namespaces() == []


def test_control_arm_is_untouched_and_shares_the_time_axis(stage: Stage) -> None:
    record = stage.play(controlled(stage))
    harmed, unharmed = ToldBoth.shown
    assert (len(harmed.injections), len(unharmed.injections)) == (1, 0)
    assert harmed.phases == unharmed.phases
    assert [phase.name for phase in unharmed.phases] == ["baseline", "fault", "recovery", "settle"]
    assert harmed.origin == unharmed.origin
    for seen in (harmed, unharmed):
        assert seen.latest("workloads", "deployment/shop") is not None
    uids = [{pod.value["uid"] for pod in seen.observations("pods") if pod.subject} for seen in ToldBoth.shown]
    assert not uids[0] & uids[1]
    writes = [call.path for call in stage.cluster.server.calls if call.writes and "configmaps" in call.path]
    assert not [path for path in writes if OTHER in path]
    assert record.control is not None
    assert record.control.namespace == OTHER
    assert record.control.chart is not None
    assert "deployment/shop ready" in record.control.chart.steps


def test_record_has_both_findings(stage: Stage) -> None:
    record = stage.play(controlled(stage, says=Verdict.BROKEN, unharmed=Verdict.BROKEN))
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "noise alone can explain it" in record.reason
    beside = [objective.control and objective.control.verdict for objective in record.objectives]
    assert beside == [Verdict.BROKEN, None]
    assert stage.stored() == record


def test_a_control_arm_that_holds_changes_nothing(stage: Stage) -> None:
    assert stage.play(controlled(stage, says=Verdict.BROKEN)).verdict is Verdict.BROKEN
    assert stage.play(controlled(stage)).verdict is Verdict.HELD


def test_a_control_arm_that_dies_ends_the_experiment(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    alive, made = Observers.alive, list[Observers]()
    monkeypatch.setattr(Observers, "start", _remembering(Observers.start, made))
    monkeypatch.setattr(Observers, "alive", lambda self: "it died" if made[1:2] == [self] else alive(self))
    monkeypatch.setattr(Observers, "wait_ready", lambda *_: None)
    record = stage.play(controlled(stage))
    assert (record.verdict, record.reason) == (Verdict.INCONCLUSIVE, "the control arm: it died")
    assert stage.namespaces() == []


def _remembering(start: Any, made: list[Observers]) -> Any:
    def call(self: Observers) -> None:
        made.append(self)
        start(self)

    return call


@pytest.mark.parametrize("step", ["choose", "inject"])
def test_any_end_removes_both_namespaces(stage: Stage, step: str) -> None:
    with pytest.raises(Exception, match="told to fail"):
        stage.play(controlled(stage, fails=step))
    assert stage.namespaces() == []


def test_stuck_namespace_does_not_keep_the_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = namespaces.remove_namespace

    def stuck(api: Any, name: str, clock: Any) -> None:
        if name == OTHER:
            raise TimedOut(f"namespace {name} gone", 90, "there")
        remove(api, name, clock)

    monkeypatch.setattr(namespaces, "remove_namespace", stuck)
    with pytest.raises(TimedOut, match=OTHER):
        stage.play(controlled(stage))
    assert OWN not in stage.namespaces()
    assert stage.stored().passed is False


def test_both_are_kept_on_request(stage: Stage) -> None:
    stage.keep = Keep.ALWAYS
    record = stage.play(controlled(stage))
    assert sorted(stage.namespaces()) == sorted([OWN, OTHER])
    assert {name for name in (OWN, OTHER) for note in record.notes if name in note} == {OWN, OTHER}


def test_evidence_is_kept_of_both_arms(stage: Stage) -> None:
    record = stage.play(controlled(stage, says=Verdict.BROKEN))
    assert any("/control/cluster/" in file for file in record.evidence_files)
    assert any("/control/" not in file for file in record.evidence_files)


CONTROLLED = EXPERIMENT.replace(
    "objectives:\n", "control: true\nobjectives:\n  - replicas: {of: deployment/shop, neverBelow: 2}\n"
)


@pytest.fixture
def any_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shop's Service leaves it to the cluster which nodePort it gets."""
    monkeypatch.setattr("tests.fake_run.SERVICE", SERVICE.replace(", nodePort: 30080", ""))


@pytest.mark.usefixtures("any_port")
def test_control_arm_is_enabled_by_a_flag_or_options(stage: Stage) -> None:
    assert stage.experiment(CONTROLLED).control == Control()
    text = CONTROLLED.replace("control: true", "control: {confidence: 99%}")
    assert stage.experiment(text).control == Control(confidence=0.99)
    assert stage.experiment(CONTROLLED.replace("control: true", "control: false")).control is None
    assert stage.experiment().control is None
    # A twin has its own control arm: a copy of the broken workload to which nothing is done.
    assert stage.experiment(CONTROLLED, twin="one-replica").control == Control()


@pytest.mark.usefixtures("any_port")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("faults:\n  - podKill: {selector: app=shop, count: 1}\n", ""), "found a control arm but no faults"),
        (("control: true\n", "control: true\ndisruptive: true\n"), "hits both arms"),
        (("  - replicas: {of: deployment/shop, neverBelow: 2}\n", ""), "recoveryTime need a fault"),
        (("control: true", "control: {confidence: 2}"), r"control.confidence: found 2, expected"),
        (("control: true", "control: {confidense: 90%}"), r"control.*confidense"),
        (("control: true", "control: 3"), r"control: found 3, expected true, false or options"),
    ],
)
def test_uninformative_control_arm_is_refused(stage: Stage, change: tuple[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        stage.experiment(CONTROLLED.replace(*change))


def test_a_fixed_node_port_cannot_be_had_twice(stage: Stage) -> None:
    stage.experiment()
    assert "nodePort: 30080" in SERVICE
    with pytest.raises(InputError, match="found a fixed nodePort in Service shop"):
        stage.experiment(CONTROLLED)
