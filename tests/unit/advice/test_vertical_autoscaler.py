"""Rules find why a recommendation did not reach the pods, in the twins of the catalogue."""

from __future__ import annotations

import pytest

from harness.advice.rule import Advice
from tests.unit.advice.test_rules_on_twins import advised
from tests.unit.timelines import Story

FOLDER = "autoscaling"


def causes(experiment: str, twin: str) -> list[Advice]:
    found = advised(f"{FOLDER}/{experiment}.yaml", twin, Story(), ">=")
    return [advice for rule, advice in found if rule.name == "vertical-autoscaler"]


@pytest.mark.parametrize(
    ("experiment", "twin", "evidence"),
    [
        ("recommended-to-new-pods", "only-recommended", "updateMode is Off"),
        ("recommended-by-replacement", "one-replica", "the workload has 1 of at least 2 replicas"),
        ("recommended-by-replacement", "budget-blocks", "'maxUnavailable': 0"),
    ],
)
def test_twin_has_its_cause_and_a_change(experiment: str, twin: str, evidence: str) -> None:
    (advice,) = causes(experiment, twin)
    assert evidence in advice.evidence
    assert advice.patch


@pytest.mark.parametrize(
    "experiment", ["recommended-to-new-pods", "recommended-by-replacement", "recommended-in-place"]
)
def test_good_configuration_has_no_such_cause(experiment: str) -> None:
    assert causes(experiment, "") == []
