"""From findings to a verdict: the worst wins, nothing unproven counts, and a twin must break what it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as some

from harness.experiment.declaration import Experiment
from harness.experiment.manifests import Workload
from harness.judging.judge import judge, judge_baseline, unbroken
from harness.model.finding import Finding
from harness.model.timeline import Injection, Interval, Timeline
from harness.model.verdict import Verdict, worst
from tests.fake_plugin import Mark, ReplicasTold, Told

PROVEN = Injection("mark", (), Interval(1, 1), proven=True, evidence="seen")
HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def experiment(*says: Verdict, twin: str = "", breaks: tuple[str, ...] = ()) -> Experiment:
    objectives = tuple(Told(says=verdict) for verdict in says)
    workload = Workload(Path(), (), ())
    return Experiment("x", "it holds", workload, objectives, Path("x.yaml"), faults=(Mark(),), twin=twin, breaks=breaks)


def timeline(*injections: Injection) -> Timeline:
    return Timeline(0.0, 0.0, injections=list(injections))


@given(some.lists(some.sampled_from([HELD, BROKEN, INCONCLUSIVE]), min_size=1, max_size=5))
def test_the_worst_finding_wins_and_its_reason_is_given(says: list[Verdict]) -> None:
    found = judge(experiment(*says), timeline(PROVEN))
    assert found.verdict == worst(says)
    assert found.passed is (set(says) == {HELD})
    assert found.reason.count(f"told: told {found.verdict}") == (
        says.count(found.verdict) if set(says) != {HELD} else 1
    )
    assert found.reason.startswith(f"all {len(says)} objectives held") is (set(says) == {HELD} and len(says) > 1)


class Measured(Told):
    """Allows ``limit`` seconds, and saw one; not even that where there is no limit."""

    title: ClassVar[str] = "measured"  # type: ignore[assignment]
    limit: float | None = None

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del timeline, phases
        reason = f"1 s of {self.limit} s"
        if self.limit is None:
            return Finding(verdict=HELD, reason=reason)
        return Finding.exact(HELD, reason, 1.0, limit=self.limit, unit="s", comparison="<=")


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ([8.0, 1.5, 4.0], "all 3 objectives held, the closest to its limit: measured: 1 s of 1.5 s"),
        ([None, 4.0], "all 2 objectives held, the closest to its limit: measured: 1 s of 4.0 s"),
        ([None, None], "all 2 objectives held"),
    ],
)
def test_smallest_margin_to_a_limit_is_reported(limits: list[float | None], said: str) -> None:
    objectives = tuple(Measured(limit=limit) for limit in limits)
    assert judge(replace(experiment(), objectives=objectives), timeline(PROVEN)).reason == said


def test_verdict_without_findings_is_inconclusive() -> None:
    assert worst([]) is INCONCLUSIVE
    found = judge(experiment(), timeline(PROVEN))
    assert (found.verdict, found.reason, found.passed) == (INCONCLUSIVE, "no objective was judged", False)


def test_unfinished_effect_never_holds() -> None:
    lasting = replace(PROVEN, unfinished="pod/a is still terminating (grace period 20 s)")
    found = judge(experiment(HELD), timeline(PROVEN, lasting))
    assert (found.verdict, found.passed) == (INCONCLUSIVE, False)
    assert found.reason.startswith("mark: pod/a is still terminating (grace period 20 s), its effect had not ended")
    assert "increase phases.recovery" in found.reason
    broken = judge(experiment(BROKEN, twin="without", breaks=("told",)), timeline(lasting))
    assert (broken.verdict, broken.passed) == (BROKEN, True)


@pytest.mark.parametrize("says", list(Verdict))
@pytest.mark.parametrize("twin", ["", "without"])
def test_unproven_fault_is_inconclusive(says: Verdict, twin: str) -> None:
    unproven = replace(PROVEN, proven=False, evidence="the UID is unchanged")
    for seen, why in (([unproven], "the UID is unchanged"), ([], "not every fault was injected")):
        found = judge(experiment(says, twin=twin, breaks=("told",)), timeline(*seen))
        assert (found.verdict, found.passed) == (INCONCLUSIVE, False)
        assert why in found.reason


@pytest.mark.parametrize(
    ("says", "breaks", "passed"),
    [
        ((BROKEN,), ("told",), True),
        ((HELD, BROKEN), ("told",), True),
        ((HELD,), ("told",), False),
        ((INCONCLUSIVE,), ("told",), False),
        ((BROKEN,), ("other",), False),
        ((BROKEN,), ("told", "other"), False),
    ],
)
def test_a_twin_passes_when_every_objective_it_names_is_broken(
    says: tuple[Verdict, ...], breaks: tuple[str, ...], passed: bool
) -> None:
    assert judge(experiment(*says, twin="without", breaks=breaks), timeline(PROVEN)).passed is passed


def test_only_objectives_with_a_baseline_form_the_steady_state() -> None:
    both = replace(experiment(), objectives=(Told(), Told(steady=BROKEN)))
    assert [finding.verdict for _, finding in judge_baseline(both, timeline())] == [BROKEN]


def test_a_judge_that_crashes_is_inconclusive_and_stops_no_other() -> None:
    crashing = replace(experiment(), objectives=(Told(crashes=True), Told(says=BROKEN)))
    found = judge(crashing, timeline(PROVEN))
    assert [finding.verdict for _, finding in found.findings] == [INCONCLUSIVE, BROKEN]
    assert "ZeroDivisionError" in found.findings[0][1].reason


def test_an_objective_is_named_by_its_kind_or_its_title() -> None:
    findings = judge(replace(experiment(BROKEN), objectives=(Told(says=BROKEN), ReplicasTold())), timeline(PROVEN))
    assert unbroken(["told", "replicasTold"], findings.findings) == ["replicasTold"]
