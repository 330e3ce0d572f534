"""A calibration is found again on the same kind of cluster from the same machine, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.ownership import Ownership
from harness.cluster.local.paths import CACHE_VARIABLE
from harness.common.clock import FakeClock
from harness.engine.calibration import store
from harness.engine.calibration.table import table
from harness.engine.steps.run import cluster_uid
from harness.model.clock_errors import Calibration, ClockError

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


def test_saved_calibration_is_found(cluster: FakeCluster) -> None:
    assert store.find(cluster) is None
    made = calibration(cluster)
    store.save(made)
    assert store.find(cluster) == made


def test_calibration_is_separate_per_machine_and_version(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert row.endswith("49 of 50")


def test_owned_clusters_of_one_size_share_a_calibration(cluster: FakeCluster) -> None:
    assert store.identity(cluster) == store.identity(FakeCluster(FakeClock()))


def test_foreign_cluster_has_a_separate_calibration(cluster: FakeCluster) -> None:
    cluster.ownership = Ownership.FOREIGN
    assert cluster_uid(cluster) in store.identity(cluster)


def test_processes_of_a_run_share_one_calibration(cluster: FakeCluster, tmp_path: Path) -> None:
    """Also one of a machine that was not quiet, which is not stored for later runs."""
    first, second = store.RunCalibration(tmp_path), store.RunCalibration(tmp_path)
    assert not second.measured
    noisy = calibration(cluster).model_copy(update={"disturbed": ["a probe started 219 ms late"]})
    first.keep(noisy)
    assert second.measured
    assert second.found() == noisy


def test_failed_calibration_is_not_repeated_by_other_workers(tmp_path: Path) -> None:
    store.RunCalibration(tmp_path).keep(None)
    assert store.RunCalibration(tmp_path).measured
    assert store.RunCalibration(tmp_path).found() is None
