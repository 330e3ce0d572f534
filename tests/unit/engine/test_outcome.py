"""What a test runner shows for a record that did not pass."""

from __future__ import annotations

import pytest

from harness.engine.outcome import Broken, check
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, ObjectiveRecord


def objective(title: str, reason: str) -> ObjectiveRecord:
    return ObjectiveRecord(kind="availability", title=title, verdict=Verdict.BROKEN, reason=reason, samples=1)


def test_a_failure_shows_each_reason_once() -> None:
    objectives = [objective("availability", "84% of 99%"), objective("latency", "90% of 95%")]
    record = ExperimentRecord(
        id="x::web",
        name="web",
        file="web.yaml",
        verdict=Verdict.BROKEN,
        reason="availability: 84% of 99%",
        objectives=objectives,
    )
    with pytest.raises(Broken) as caught:
        check(record)
    assert str(caught.value).splitlines() == ["BROKEN: availability: 84% of 99%", "BROKEN: latency: 90% of 95%"]
