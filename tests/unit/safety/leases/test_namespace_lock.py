"""The lock on an existing namespace: one experiment at a time, and none after one that died."""

from __future__ import annotations

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import LEASES
from harness.common.errors import ClusterRefused
from harness.common.naming import SYSTEM_NAMESPACE
from harness.safety.leases.lease import LEASE_SECONDS, LeaseKeeper
from harness.safety.leases.namespace_lock import NamespaceLock, lock_name


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LeaseKeeper, "start", lambda _self: None)


def _lock(cluster: FakeCluster, run: str = "run1", said: list[str] | None = None) -> NamespaceLock:
    return NamespaceLock(cluster.api, run, "shop", cluster.clock, (said if said is not None else []).append)


def _renew(cluster: FakeCluster) -> None:
    spec = {"spec": {"renewTime": f"2026-01-01T00:00:{int(cluster.clock.monotonic()) % 60:02}.000000Z"}}
    cluster.api.patch(LEASES, lock_name("shop"), spec, SYSTEM_NAMESPACE)


def _nothing() -> None:
    """Nothing ends the wait."""


def test_lock_is_deleted_at_the_end(fake_cluster: FakeCluster) -> None:
    lock = _lock(fake_cluster)
    lock.take(0.0, _nothing)
    assert fake_cluster.api.find(LEASES, lock_name("shop"), SYSTEM_NAMESPACE)
    lock.close()
    assert fake_cluster.api.find(LEASES, lock_name("shop"), SYSTEM_NAMESPACE) is None


def test_lock_stays_for_a_sweep_if_effects_remain(fake_cluster: FakeCluster) -> None:
    lock = _lock(fake_cluster)
    lock.take(0.0, _nothing)
    lock.close(keep=True)
    assert fake_cluster.api.find(LEASES, lock_name("shop"), SYSTEM_NAMESPACE)


def test_live_holder_of_another_run_is_not_disturbed(fake_cluster: FakeCluster) -> None:
    _lock(fake_cluster).take(0.0, _nothing)
    with pytest.raises(ClusterRefused, match="uses namespace shop; use --wait-for-lock=SECONDS"):
        _lock(fake_cluster, "run2").take(0.0, lambda: _renew(fake_cluster))


def test_wait_ends_with_the_other_run(fake_cluster: FakeCluster) -> None:
    first, said, looks = _lock(fake_cluster), list[str](), list[int]()
    first.take(0.0, _nothing)

    def go_on() -> None:
        looks.append(1)
        _renew(fake_cluster) if len(looks) < 5 else first.close()

    _lock(fake_cluster, "run2", said).take(60.0, go_on)
    assert len(said) == 1
    assert said[0].startswith("waiting: run1 on ")


def test_worker_of_the_same_run_waits_without_limit(fake_cluster: FakeCluster) -> None:
    first, looks = _lock(fake_cluster), list[int]()
    first.take(0.0, _nothing)

    def go_on() -> None:
        looks.append(1)
        _renew(fake_cluster) if len(looks) < 100 else first.close()

    _lock(fake_cluster).take(0.0, go_on)
    assert len(looks) == 100


def test_dead_holder_needs_a_sweep(fake_cluster: FakeCluster) -> None:
    _lock(fake_cluster).take(0.0, _nothing)
    begun = fake_cluster.clock.monotonic()
    with pytest.raises(ClusterRefused, match="died: its effects may remain; run `harness sweep`"):
        _lock(fake_cluster, "run2").take(600.0, _nothing)
    assert fake_cluster.clock.monotonic() - begun == pytest.approx(LEASE_SECONDS, abs=2.0)
