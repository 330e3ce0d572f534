"""The control arm's say: what noise explains is no finding, and what it cannot explain stays one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.experiment.declaration import Control
from harness.judging.control_arm import compare
from harness.judging.judge import judge
from harness.model.finding import Finding
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.objectives.availability import Availability
from harness.objectives.recovery_time import RecoveryTime
from harness.stats.bounds import newcombe
from tests.fake_run import Stage
from tests.unit.timelines import Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def share(verdict: Verdict, good: int, of: int = 1000, limit: float = 98.0) -> Finding:
    return Finding.bounded(
        verdict,
        f"{good} of {of}",
        good / of * 100,
        low=None,
        high=None,
        limit=limit,
        unit="%",
        comparison=">=",
        samples=of,
        good=good,
    )


def count(verdict: Verdict) -> Finding:
    """A finding without two shares to subtract."""
    return Finding.exact(verdict, "counted", 2.0, limit=3.0, unit="replicas", comparison=">=", samples=7)


@pytest.mark.parametrize(
    ("seen", "control", "verdict", "said"),
    [
        (share(HELD, 995), share(HELD, 999), HELD, ""),
        (share(BROKEN, 950), share(HELD, 999), BROKEN, ""),
        (share(BROKEN, 950), share(BROKEN, 955), INCONCLUSIVE, "noise alone can explain it"),
        (
            share(HELD, 995),
            share(BROKEN, 955),
            INCONCLUSIVE,
            "missed it too (95.5%): the machine was too noisy to judge it",
        ),
        # 45 points beyond a control arm that missed by 2.5: the budget of 2 points is gone whatever the noise was.
        (share(BROKEN, 500), share(BROKEN, 955), BROKEN, "exceeds the whole error budget"),
        # Worse than the control arm for certain, but not by the whole budget.
        (share(BROKEN, 930), share(BROKEN, 955), INCONCLUSIVE, "noise alone can explain it"),
        (share(INCONCLUSIVE, 980), share(BROKEN, 955), INCONCLUSIVE, ""),
        (share(HELD, 995), share(INCONCLUSIVE, 980), HELD, ""),
        (share(BROKEN, 930), share(INCONCLUSIVE, 980), BROKEN, "is not noise"),
        (share(BROKEN, 965), share(INCONCLUSIVE, 975), INCONCLUSIVE, "is INCONCLUSIVE, so noise may explain it"),
        (count(BROKEN), count(BROKEN), INCONCLUSIVE, "missed it too (2 replicas): noise alone can explain it"),
        (count(BROKEN), count(HELD), BROKEN, ""),
        (count(BROKEN), Finding(verdict=INCONCLUSIVE, reason="no data"), INCONCLUSIVE, "explain it: no data"),
    ],
)
def test_only_what_noise_does_not_explain_is_a_finding(
    seen: Finding, control: Finding, verdict: Verdict, said: str
) -> None:
    found = compare(seen, control, 0.95)
    assert found.verdict is verdict
    assert said in found.reason
    if not said:
        assert found.reason == seen.reason
    assert found.beside is not None
    assert found.beside.finding is control


def test_an_error_rate_has_its_limit_for_a_budget() -> None:
    """A limit on errors of 2% allows the same loss as a minimum of 98%."""
    errors = {"limit": 2.0, "comparison": "<="}
    bad = replace(share(BROKEN, 500), **errors)
    assert compare(bad, replace(share(BROKEN, 955), **errors), 0.95).verdict is BROKEN
    near = replace(share(BROKEN, 930), **errors)
    assert compare(near, replace(share(BROKEN, 955), **errors), 0.95).verdict is INCONCLUSIVE


def test_the_difference_is_that_of_the_shares_of_good_requests() -> None:
    beside = compare(share(BROKEN, 950), share(HELD, 999), 0.95).beside
    assert beside is not None
    assert beside.difference == pytest.approx(-4.9)
    assert beside.low is not None
    assert beside.high is not None
    assert beside.low < -4.9 < beside.high < 0


def test_shares_that_are_not_of_requests_are_not_subtracted() -> None:
    beside = compare(count(HELD), count(HELD), 0.95).beside
    assert beside is not None
    assert (beside.difference, beside.low, beside.high) == (None, None, None)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    # Newcombe 1998, table II, method 10.
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_the_interval_is_newcombes(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    found = newcombe(*counts, 0.95)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_a_difference_needs_trials_on_both_sides() -> None:
    with pytest.raises(ValueError, match="found 0 and 5 trials"):
        newcombe(0, 0, 1, 5, 0.95)


def timeline(failing: tuple[float, float]) -> Timeline:
    return Story().injected(10.0, ("podinfo-a", "a")).requests(0, 55, 100, failing=failing).load().timeline


def test_control_arm_evaluates_only_objectives_without_a_fault(stage: Stage) -> None:
    """Where nothing is injected nothing recovers: the control arm says nothing of a time to recover."""
    objectives = (Availability(min=0.99), RecoveryTime(of="deployment/shop", max=10))
    experiment = replace(stage.experiment(), objectives=objectives, control=Control())
    unharmed = timeline((0, 0))
    unharmed.injections.clear()
    judged = judge(experiment, timeline((12, 13)), unharmed)
    beside = {objective.kind: finding.beside for objective, finding in judged.findings}
    assert beside["recoveryTime"] is None
    assert beside["availability"] is not None
    assert beside["availability"].finding.verdict is HELD


def test_noise_in_both_arms_makes_the_experiment_inconclusive(stage: Stage) -> None:
    objectives = (Availability(min=0.99),)
    experiment = replace(stage.experiment(), objectives=objectives, control=Control())
    judged = judge(experiment, timeline((12, 13)), timeline((14, 15)))
    assert judged.verdict is INCONCLUSIVE
    assert not judged.passed
    assert "noise alone can explain it" in judged.reason
    # Without the control arm the same requests are a broken objective.
    assert judge(replace(experiment, control=None), timeline((12, 13))).verdict is BROKEN


@pytest.fixture
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("project"))
