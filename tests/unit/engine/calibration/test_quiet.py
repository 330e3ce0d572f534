"""A calibration on a busy machine says so, and later runs do not find it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.local.paths import CACHE_VARIABLE
from harness.common.clock import FakeClock
from harness.engine.calibration import store
from harness.engine.calibration.calibrate import calibrate
from harness.engine.calibration.quiet import CpuTimes, cpu_times, disturbances
from harness.engine.calibration.run import CalibrationRun, Measured
from harness.engine.calibration.table import table
from harness.engine.calibration.truth import Truth
from harness.model.clock_errors import ClockError
from harness.model.requests import Requests, RequestSample
from harness.model.timeline import Interval, ProbeStream
from harness.results.record import EnvironmentRecord
from harness.results.reporting.stopwatch import line

IDLE = CpuTimes(0, 0, 0.0)
DOWN, UP = 2.0, 3.0
TRUTHS = [Truth("listener", Interval(DOWN, DOWN), Interval(UP, UP))]


def stream(*failed: float, late: float = 0.0) -> ProbeStream:
    """Probes every 10 ms; those of the outage fail, and those that are due at these instants."""
    seen = []
    for number in range(600):
        at = round(number / 100, 2)
        ok = not DOWN <= at < UP and at not in failed
        seen.append(RequestSample(at, at + (late if number == 300 else 0.0), at + late + 0.001, ok, "", ""))
    return ProbeStream("target", "target", 0.01, 0.5, Requests(seen))


@pytest.mark.parametrize(
    ("probed", "after", "said"),
    [
        (stream(), CpuTimes(4, 100, 9.0), []),
        # Just after an outage its last refused connections are still its own.
        (stream(1.5, 1.99, 3.05), IDLE, ["2 of 600 probes failed on targets that were up"]),
        (stream(4.2, 4.21), IDLE, ["2 of 600 probes failed on targets that were up"]),
        (stream(late=0.2), IDLE, ["the prober started a probe 200 ms late"]),
        (stream(), CpuTimes(6, 100, 0.0), ["a hypervisor took 6% of the processors' time"]),
    ],
)
def test_failing_targets_and_lateness_show_it(probed: ProbeStream, after: CpuTimes, said: list[str]) -> None:
    assert disturbances([(probed, TRUTHS)], IDLE, after, 10.0) == said


def test_processor_wait_is_reported_with_the_other_disturbances() -> None:
    found = disturbances([(stream(4.2), TRUTHS)], IDLE, CpuTimes(0, 100, 9.0), 10.0)
    assert found[-1] == "processes waited for a processor during 90% of the time"


def test_the_kernels_counters_only_grow() -> None:
    before = cpu_times()
    after = cpu_times()
    assert 0 <= before.total <= after.total
    assert before.stolen <= after.stolen
    assert before.waited <= after.waited


ERROR: dict[str, Any] = {"clock": "user", "samples": 52, "bias": 0, "typical": 0.002, "spread": 0.01, "worst": 0.2}
UNCOVERED = ClockError(**ERROR, coverage=51 / 52, shortest=0.05, longest=20)


@pytest.mark.parametrize("disturbed", [[], ["3 of 900 probes failed on targets that were up"]])
def test_a_calibration_of_a_busy_machine_is_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disturbed: list[str]
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(CalibrationRun, "measure", lambda *_: Measured([], disturbed))
    monkeypatch.setattr(Measured, "table", [UNCOVERED])
    cluster = FakeCluster(FakeClock())
    found = calibrate(cluster, FakeClock(), lambda _: None, run="r", folder=tmp_path)
    assert found.disturbed == disturbed
    assert store.find(cluster) == (None if disturbed else found)
    said = line(EnvironmentRecord(context="c", server="s", provider="fake", kubernetes="v1", calibration=found))
    assert "the true length outside the bounds in 1 of 52" in said
    assert ("the machine was not quiet during the calibration: 3 of 900" in said) is bool(disturbed)
    assert table(found)[-1].endswith("51 of 52")
