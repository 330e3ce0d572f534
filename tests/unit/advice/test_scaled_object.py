"""A rule finds why KEDA added no replica, in the twins of the catalogue."""

from __future__ import annotations

import pytest

from harness.advice.rule import Advice
from tests.unit.advice.test_rules_on_twins import advised
from tests.unit.timelines import Story


def causes(experiment: str, twin: str, story: Story) -> list[Advice]:
    found = advised(f"autoscaling/{experiment}.yaml", twin, story, ">=")
    return [advice for each, advice in found if each.name == "scaled-object"]


@pytest.mark.parametrize(("desired", "named"), [(0, True), (1, False)])
def test_trigger_that_was_never_active(desired: int, named: bool) -> None:
    story = Story().add("workloads", "deployment/worker", 12.0, {"desired": desired})
    found = [advice.evidence for advice in causes("queue-worker-from-zero", "never-activated", story)]
    assert found == (["activationListLength is 1000"] if named else [])
