"""Nothing is measured before the cluster is at rest, or has had its time to come to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.rest import QUIET_SECONDS, cpu_seconds, wait_for_rest
from harness.cluster.local import cgroups
from harness.common.clock import FakeClock
from harness.common.errors import HarnessError


def cluster(clock: FakeClock, busy_until: float, cores: float = 1.5) -> Callable[[], float]:
    """CPU seconds used so far: so many cores until some instant, and a tenth of one from then on."""
    began = clock.monotonic()

    def used() -> float:
        passed = clock.monotonic() - began
        return min(passed, busy_until) * cores + max(0.0, passed - busy_until) * 0.1

    return used


@pytest.mark.parametrize("busy", [0.0, 7.0])
def test_rest_is_some_quiet_seconds_in_a_row(busy: float) -> None:
    clock = FakeClock(0.0)
    assert wait_for_rest(cluster(clock, busy), 60.0, clock) is None
    assert clock.monotonic() == busy + QUIET_SECONDS


def test_burst_restarts_the_wait() -> None:
    clock = FakeClock(0.0)
    burst_at = QUIET_SECONDS - 1.5
    assert wait_for_rest(lambda: 2.0 * (clock.monotonic() > burst_at), 60.0, clock) is None
    assert clock.monotonic() == 2 * QUIET_SECONDS - 1


def test_busy_cluster_is_reported_with_its_cpu_usage() -> None:
    clock = FakeClock(0.0)
    assert wait_for_rest(cluster(clock, 1000.0), 20.0, clock) == pytest.approx(1.5)
    assert clock.monotonic() == 20.0


@pytest.mark.parametrize(
    ("files", "seconds"),
    [
        ({"cpu/cpu.stat": "nr_periods 0\n", "cpuacct/cpuacct.usage": "2500000000\n"}, 2.5),
        ({"cpu/cpu.stat": "usage_usec 1500000\nuser_usec 1\n"}, 1.5),
    ],
)
def test_used_cpu_is_read_on_both_versions_of_control_groups(
    files: dict[str, str], seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cgroups, "folders", lambda _: [tmp_path / "cpu", tmp_path / "cpuacct"])
    assert cpu_seconds("bench") == seconds


def test_a_cluster_without_control_groups_is_no_quiet_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "folders", lambda _: [tmp_path])
    with pytest.raises(HarnessError, match="'bench' tells how much CPU"):
        cpu_seconds("bench")
