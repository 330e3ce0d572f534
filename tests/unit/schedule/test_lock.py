"""At most one scheduled run at a time on a cluster, and a dead one does not block the next."""

from __future__ import annotations

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import LEASES
from harness.common.errors import ClusterRefused
from harness.common.naming import SYSTEM_NAMESPACE
from harness.safety.leases.lease import LEASE_SECONDS, LeaseKeeper
from harness.schedule.lock import LOCK, scheduled_run


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LeaseKeeper, "start", lambda _self: None)


def test_lock_is_released_at_the_end(fake_cluster: FakeCluster) -> None:
    with scheduled_run(fake_cluster.api, "nightly", "pod-1", fake_cluster.clock) as keeper:
        assert keeper.keeps(LOCK)
        assert fake_cluster.api.find(LEASES, LOCK, SYSTEM_NAMESPACE)
    assert fake_cluster.api.find(LEASES, LOCK, SYSTEM_NAMESPACE) is None


def test_live_run_of_another_schedule_is_refused(fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    api, clock = fake_cluster.api, fake_cluster.clock
    with scheduled_run(api, "nightly", "pod-1", clock) as keeper:
        sleep = clock.sleep

        def renewed(seconds: float) -> None:
            sleep(seconds)
            keeper.renew(LOCK)

        monkeypatch.setattr(clock, "sleep", renewed)
        with (
            pytest.raises(ClusterRefused, match=r"active: schedule nightly \(pod pod-1\); nothing was run"),
            scheduled_run(api.clone(), "weekly", "pod-2", clock),
        ):
            pytest.fail("two at once")


def test_lock_of_a_killed_pod_is_taken_over(fake_cluster: FakeCluster) -> None:
    api, clock = fake_cluster.api, fake_cluster.clock
    killed = scheduled_run(api, "nightly", "pod-1", clock)
    killed.__enter__()
    before = clock.monotonic()
    with scheduled_run(api.clone(), "nightly", "pod-2", clock):
        assert api.get(LEASES, LOCK, SYSTEM_NAMESPACE)["spec"]["holderIdentity"] == "schedule nightly (pod pod-2)"
    assert clock.monotonic() - before > LEASE_SECONDS
