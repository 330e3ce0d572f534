"""An experiment with a control arm: two namespaces, one of them harmed, both watched, both taken away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness import arrange
from harness.errors import InputError, TimedOut
from harness.experiment import Control, Experiment
from harness.objective import Finding
from harness.observation import Timeline
from harness.observers import Observers
from harness.settings import Keep
from harness.verdict import Verdict
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import EXPERIMENT, SERVICE, Stage

OWN, OTHER = "rh-one-killed-run1", "rh-one-killed--control-run1"


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
        return Finding(verdict, f"told {verdict}", 1.0, 1.0, 1.0, 2.0, "s", "<=", 7)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.registry.{kind}", found)
    monkeypatch.setattr(ToldBoth, "shown", [])
    return Stage(tmp_path)


def controlled(stage: Stage, *, fails: str = "", **told: Any) -> Experiment:
    objectives = (ToldBoth(**told), Told())
    return replace(stage.experiment(), faults=(Mark(fails=fails),), objectives=objectives, control=Control())


def test_both_arms_are_deployed_before_either_is_waited_for_and_both_go(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def traced(name: str) -> None:
        original = getattr(arrange, name)

        def call(api: Any, namespace: str, *rest: Any) -> Any:
            steps.append(f"{name} {namespace}")
            return original(api, namespace, *rest)

        monkeypatch.setattr(arrange, name, call)

    for name in ("apply_workload", "wait_for_workload", "ask_to_go", "remove_namespace"):
        traced(name)
    stage.play(controlled(stage))
    assert steps[:4] == [f"{step} {name}" for step in ("apply_workload", "wait_for_workload") for name in (OWN, OTHER)]
    # Neither is waited for before both have been asked to go.
    assert steps[4] == f"ask_to_go {OTHER}"
    assert {step for step in steps if step.startswith("remove")} == {
        f"remove_namespace {OWN}",
        f"remove_namespace {OTHER}",
    }
    assert stage.namespaces() == []


def test_nothing_is_done_to_the_control_arm_and_it_is_watched_on_the_same_axis(stage: Stage) -> None:
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


def test_the_record_tells_both_findings(stage: Stage) -> None:
    record = stage.play(controlled(stage, says=Verdict.BROKEN, unharmed=Verdict.BROKEN))
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "the noise alone explains it" in record.reason
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
def test_whatever_ends_it_takes_both_namespaces_away(stage: Stage, step: str) -> None:
    with pytest.raises(Exception, match="told to fail"):
        stage.play(controlled(stage, fails=step))
    assert stage.namespaces() == []


def test_a_namespace_that_stays_does_not_keep_the_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = arrange.remove_namespace

    def stuck(api: Any, name: str, clock: Any) -> None:
        if name == OTHER:
            raise TimedOut(f"namespace {name} gone", 90, "there")
        remove(api, name, clock)

    monkeypatch.setattr(arrange, "remove_namespace", stuck)
    with pytest.raises(TimedOut, match=OTHER):
        stage.play(controlled(stage))
    assert OWN not in stage.namespaces()
    assert stage.stored().passed is False


def test_both_are_kept_when_asked_for(stage: Stage) -> None:
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
def test_it_is_asked_for_by_one_word_or_with_options(stage: Stage) -> None:
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
        (("faults:\n  - podKill: {selector: app=shop, count: 1}\n", ""), "found a control arm and no faults"),
        (("control: true\n", "control: true\ndisruptive: true\n"), "hits both arms"),
        (("  - replicas: {of: deployment/shop, neverBelow: 2}\n", ""), "recoveryTime say nothing without a fault"),
        (("control: true", "control: {confidence: 2}"), r"control.confidence: found 2, expected"),
        (("control: true", "control: {confidense: 90%}"), r"control.*confidense"),
        (("control: true", "control: 3"), r"control: found 3, expected true, false or options"),
    ],
)
def test_one_that_could_say_nothing_is_refused(stage: Stage, change: tuple[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        stage.experiment(CONTROLLED.replace(*change))


def test_a_fixed_node_port_cannot_be_had_twice(stage: Stage) -> None:
    stage.experiment()
    assert "nodePort: 30080" in SERVICE
    with pytest.raises(InputError, match="found a fixed nodePort of Service shop"):
        stage.experiment(CONTROLLED)
