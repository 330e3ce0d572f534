"""A calibration is found again on the same kind of cluster from the same machine, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.accuracy import Calibration, ClockError
from harness.calibration import store
from harness.calibration.table import table
from harness.clock import FakeClock
from harness.cluster.fake import FakeCluster
from harness.cluster.local.paths import CACHE_VARIABLE

ERROR = ClockError(
    clock="user", samples=50, missed=1, bias=-0.0021, typical=0.0042, spread=0.02, worst=0.031, coverage=0.98,
    shortest=0.05, longest=19.5,
)  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return FakeCluster(FakeClock())


def calibration(cluster: FakeCluster) -> Calibration:
    return Calibration(
        cluster=store.identity(cluster), machine=store.machine(), harness="0", at="2026-01-01T00:00:00Z", clocks=[ERROR]
    )


def test_what_was_kept_is_found(cluster: FakeCluster) -> None:
    assert store.find(cluster) is None
    made = calibration(cluster)
    store.save(made)
    assert store.find(cluster) == made


def test_another_machine_or_version_has_a_stopwatch_of_its_own(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(calibration(cluster))
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(store, "machine", lambda: "another machine")
        assert store.find(cluster) is None
    monkeypatch.setattr(store, "__version__", "99")
    assert store.find(cluster) is None


def test_a_file_that_cannot_be_read_is_no_calibration(cluster: FakeCluster) -> None:
    store.save(calibration(cluster)).write_text("{")
    assert store.find(cluster) is None


def test_the_table_lines_up(cluster: FakeCluster) -> None:
    heading, row = table(calibration(cluster))
    assert row.split("  ")[0] == "user"
    assert [row.index("50, 1 missed"), row.index("31")] == [heading.index("outages"), heading.index("worst")]
    assert "98%" in row
