"""Leases, the vigil that tells dead holders from live ones, and the claims that runs make on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import LEASES
from harness.common.clock import FakeClock
from harness.common.errors import ApiError, ClusterRefused
from harness.common.naming import COMPONENT_LABEL, RUN_LABEL, SYSTEM_NAMESPACE
from harness.safety.leases.claim import LOCK, Claim, lease_name
from harness.safety.leases.lease import (
    LEASE_SECONDS,
    RENEW_EVERY,
    VERY_OLD,
    LeaseKeeper,
    LeaseSnapshot,
    find_lease,
    release,
    take,
)
from harness.safety.leases.liveness import LivenessWatch
from tests.fake_run import WatchedClock


@pytest.fixture
def clock() -> WatchedClock:
    return WatchedClock()


@pytest.fixture
def cluster(clock: WatchedClock) -> FakeCluster:
    found = FakeCluster(clock)
    found.server.seed(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "first"}}, namespace=SYSTEM_NAMESPACE
    )
    return found


def _seen(cluster: FakeCluster, name: str = "one") -> LeaseSnapshot:
    found = find_lease(cluster.api, name)
    assert found is not None
    return found


@pytest.fixture
def keeper(cluster: FakeCluster, clock: WatchedClock) -> Iterator[LeaseKeeper]:
    """Holds the Lease ``one``; renews when the test says so."""
    assert take(cluster.api, "one", "me", {}, clock)
    made = LeaseKeeper(cluster.api, "me", clock)
    made.add("one")
    yield made
    made.stop()


def test_only_one_of_two_runs_gets_a_lease(cluster: FakeCluster, clock: WatchedClock) -> None:
    assert take(cluster.api, "one", "me", {}, clock)
    assert not take(cluster.api, "one", "you", {}, clock)
    assert _seen(cluster).holder == "me"


def test_only_one_of_two_runs_takes_over_a_lease(cluster: FakeCluster, clock: WatchedClock) -> None:
    take(cluster.api, "one", "the dead", {}, clock)
    seen = _seen(cluster)
    assert take(cluster.api, "one", "me", {}, clock, over=seen)
    assert not take(cluster.api, "one", "you", {}, clock, over=seen)
    assert _seen(cluster).holder == "me"


def test_lost_response_counts_by_its_actual_effect(
    cluster: FakeCluster, clock: WatchedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is repeated, and finds what the first one has made."""
    take(cluster.api, "one", "the dead", {}, clock)
    seen = _seen(cluster)
    assert take(cluster.api, "one", "me", {}, clock, over=seen)
    assert take(cluster.api, "one", "me", {}, clock, over=seen)


def test_renewing_moves_the_time_and_holds_the_lease(
    cluster: FakeCluster, clock: WatchedClock, keeper: LeaseKeeper
) -> None:
    before = _seen(cluster).renewed
    for _ in range(20):
        clock.advance(RENEW_EVERY)
        keeper.renew("one")
        assert keeper.lost() is None
    assert _seen(cluster).renewed != before


def test_the_thread_renews(cluster: FakeCluster) -> None:
    clock = FakeClock()
    take(cluster.api, "one", "me", {}, clock)
    before = _seen(cluster).renewed
    with LeaseKeeper(cluster.api, "me", clock) as keeper:
        keeper.add("one")
        with cluster.server.store.changed:
            cluster.server.store.changed.wait_for(lambda: _seen(cluster).renewed != before, 30.0)
    assert _seen(cluster).renewed != before


def test_lease_not_renewed_within_its_duration_is_lost(
    cluster: FakeCluster, clock: WatchedClock, keeper: LeaseKeeper
) -> None:
    cluster.server.fail_next(403, count=99, path="/leases")
    clock.advance(LEASE_SECONDS)
    keeper.renew("one")
    assert keeper.lost() is None
    clock.advance(0.1)
    assert "was not renewed for 15.1 s: other runs may treat this run as dead" in str(keeper.lost())


def test_contact_counts_from_when_the_request_began(
    cluster: FakeCluster, clock: WatchedClock, keeper: LeaseKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may have written the time at any moment since then."""
    patch = type(cluster.api).patch
    monkeypatch.setattr(
        type(cluster.api), "patch", lambda *arguments, **options: (clock.advance(9.0), patch(*arguments, **options))[1]
    )
    keeper.renew("one")
    clock.advance(LEASE_SECONDS - 8.9)
    assert keeper.lost() is not None


@pytest.mark.parametrize("gone", [True, False], ids=["deleted", "taken over"])
def test_lease_taken_by_another_run_is_lost_for_good(
    cluster: FakeCluster, clock: WatchedClock, keeper: LeaseKeeper, gone: bool
) -> None:
    if gone:
        release(cluster.api, _seen(cluster))
    else:
        take(cluster.api, "one", "a sweep", {}, clock, over=_seen(cluster))
    keeper.renew("one")
    assert ("is gone" if gone else "was taken over by a sweep") in str(keeper.lost())


def test_an_unanswered_question_is_no_loss(cluster: FakeCluster, clock: WatchedClock, keeper: LeaseKeeper) -> None:
    take(cluster.api, "one", "a sweep", {}, clock, over=_seen(cluster))
    cluster.server.fail_next(403, count=1, method="GET", path="/leases")
    keeper.renew("one")
    assert keeper.lost() is None
    keeper.renew("one")
    assert keeper.lost() is not None


def test_only_the_observed_lease_is_released(cluster: FakeCluster, clock: WatchedClock) -> None:
    take(cluster.api, "one", "me", {}, clock)
    old = _seen(cluster)
    release(cluster.api, old)
    take(cluster.api, "one", "you", {}, clock)
    release(cluster.api, old)
    assert _seen(cluster).holder == "you"


def test_holder_is_dead_after_a_full_duration_without_renewal(
    cluster: FakeCluster, clock: WatchedClock, keeper: LeaseKeeper
) -> None:
    vigil = LivenessWatch(clock)
    assert vigil.is_dead(_seen(cluster)) is None
    clock.advance(RENEW_EVERY)
    keeper.renew("one")
    assert vigil.is_dead(_seen(cluster)) is False
    clock.advance(LEASE_SECONDS)
    assert vigil.is_dead(_seen(cluster)) is False
    clock.advance(0.1)
    assert vigil.is_dead(_seen(cluster)) is True


@pytest.mark.parametrize("skew", [-3000.0, 0.0, 3000.0])
def test_clock_of_another_machine_does_not_matter(cluster: FakeCluster, skew: float) -> None:
    theirs, ours = FakeClock(wall=1_700_000_000.0 + skew), FakeClock()
    take(cluster.api, "one", "them", {}, theirs)
    vigil = LivenessWatch(ours)
    assert vigil.is_dead(_seen(cluster)) is None
    ours.advance(LEASE_SECONDS + 0.1)
    assert vigil.is_dead(_seen(cluster)) is True


def test_a_very_old_lease_need_not_be_watched(cluster: FakeCluster, clock: WatchedClock) -> None:
    take(cluster.api, "one", "them", {}, clock)
    clock.advance(VERY_OLD + 1)
    assert LivenessWatch(clock).is_dead(_seen(cluster)) is True


def test_replaced_lease_of_the_same_name_is_observed_afresh(cluster: FakeCluster, clock: WatchedClock) -> None:
    take(cluster.api, "one", "them", {}, clock)
    vigil = LivenessWatch(clock)
    vigil.is_dead(_seen(cluster))
    clock.advance(LEASE_SECONDS + 0.1)
    release(cluster.api, _seen(cluster))
    take(cluster.api, "one", "them", {}, clock)
    assert vigil.is_dead(_seen(cluster)) is None


# Claims.


@contextmanager
def _claim(cluster: FakeCluster, clock: WatchedClock, run: str, *, exclusive: bool = False) -> Iterator[Claim]:
    claim = Claim(cluster.api, run, clock, lambda _: None)
    claim.take(exclusive=exclusive)
    try:
        yield claim
    finally:
        claim.close(last=True)


class Renewing(WatchedClock):
    """Whoever sleeps meanwhile sees the Leases named here renewed by their holders."""

    def __init__(self, cluster: FakeCluster, *names: str) -> None:
        super().__init__()
        self.cluster, self.names = cluster, list(names)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        for name in self.names:
            found = self.cluster.api.find(LEASES, name, SYSTEM_NAMESPACE)
            if found:
                found["spec"]["renewTime"] = f"renewed at {self.monotonic()}"
                self.cluster.api.replace(LEASES, found, SYSTEM_NAMESPACE)


def _leases(cluster: FakeCluster) -> list[str]:
    return [item["metadata"]["name"] for item in cluster.server.store.list(LEASES, SYSTEM_NAMESPACE)]


def test_runs_that_stay_in_their_namespaces_share_a_cluster(cluster: FakeCluster, clock: WatchedClock) -> None:
    with _claim(cluster, clock, "a"), _claim(cluster, clock, "b"):
        assert _leases(cluster) == [lease_name("a"), lease_name("b")]
    assert _leases(cluster) == []


def test_last_process_of_a_run_deletes_the_shared_lease(cluster: FakeCluster, clock: WatchedClock) -> None:
    controller, worker = (Claim(cluster.api, "a", clock, lambda _: None) for _ in range(2))
    controller.take()
    worker.take(exclusive=True)
    assert _leases(cluster) == [lease_name("a"), LOCK] or _leases(cluster) == [LOCK, lease_name("a")]
    worker.close(last=False)
    assert len(_leases(cluster)) == 2
    controller.close(last=True)
    assert _leases(cluster) == []


@pytest.mark.parametrize("first", [True, False], ids=["disruptive first", "disruptive second"])
def test_a_disruptive_run_has_the_cluster_to_itself(cluster: FakeCluster, clock: WatchedClock, first: bool) -> None:
    with _claim(cluster, clock, "a", exclusive=first):
        later = Claim(cluster.api, "b", Renewing(cluster, lease_name("a"), LOCK), lambda _: None)
        with pytest.raises(ClusterRefused, match=r"a on .* --wait-for-lock=SECONDS to wait"):
            later.take(exclusive=not first)
        assert lease_name("b") not in _leases(cluster)
        assert (LOCK in _leases(cluster)) is first


def test_two_disruptive_runs_refuse_each_other(cluster: FakeCluster, clock: WatchedClock) -> None:
    with _claim(cluster, clock, "a", exclusive=True):
        later = Claim(cluster.api, "b", Renewing(cluster, lease_name("a"), LOCK), lambda _: None)
        with pytest.raises(ClusterRefused, match="has exclusive use of this cluster"):
            later.take(exclusive=True)


@pytest.mark.parametrize("exclusive", [True, False])
def test_waiting_run_gets_the_lease_on_release(cluster: FakeCluster, clock: WatchedClock, exclusive: bool) -> None:
    said: list[str] = []
    first = Claim(cluster.api, "a", clock, lambda _: None)
    first.take(exclusive=True)

    class Leaving(Renewing):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.monotonic() > 1020.0:
                first.close(last=True)

    later = Claim(cluster.api, "b", Leaving(cluster, lease_name("a"), LOCK), said.append)
    later.take(exclusive=exclusive, wait=60.0)
    assert said == [f"waiting: {said[0].removeprefix('waiting: ')}"]
    assert lease_name("b") in _leases(cluster)
    later.close(last=True)


def test_dead_run_that_shared_the_cluster_blocks_no_other(cluster: FakeCluster, clock: WatchedClock) -> None:
    dead = Claim(cluster.api, "a", clock, lambda _: None)
    dead.take()
    dead.close(last=False)
    with _claim(cluster, clock, "b", exclusive=True):
        assert LOCK in _leases(cluster)


@pytest.mark.parametrize("exclusive", [True, False])
def test_dead_disruptive_run_requires_a_sweep_first(cluster: FakeCluster, clock: WatchedClock, exclusive: bool) -> None:
    dead = Claim(cluster.api, "a", clock, lambda _: None)
    dead.take(exclusive=True)
    dead.close(last=False)
    with pytest.raises(ClusterRefused, match=r"and died: its effects may remain; run `harness sweep` to undo them"):
        Claim(cluster.api, "b", clock, lambda _: None).take(exclusive=exclusive)
    assert lease_name("b") not in _leases(cluster)


class TestLateProcess:
    """Run A is at work in one process when run B waits for the exclusive lock, and another process of A begins."""

    @pytest.fixture
    def at_work(self, cluster: FakeCluster, clock: WatchedClock) -> Iterator[Claim]:
        claim = Claim(cluster.api, "a", clock, lambda _: None)
        claim.take()
        take(cluster.api, LOCK, "b on elsewhere", {RUN_LABEL: "b", COMPONENT_LABEL: "lock"}, clock)
        yield claim
        claim.close(last=True)

    @staticmethod
    def _late(cluster: FakeCluster, clock: WatchedClock) -> Claim:
        return Claim(cluster.api, "a", clock, lambda _: None)

    @pytest.mark.parametrize("wait", [0.0, 60.0])
    def test_refused_process_keeps_the_runs_lease(self, cluster: FakeCluster, at_work: Claim, wait: float) -> None:
        before = _seen(cluster, lease_name("a"))
        late = self._late(cluster, Renewing(cluster, lease_name("a"), LOCK))
        with pytest.raises(
            ClusterRefused, match=r"b on elsewhere has exclusive use of this cluster; use --wait-for-lock"
        ):
            late.take(wait=wait)
        late.close(last=False)
        assert _seen(cluster, lease_name("a")).uid == before.uid
        assert at_work.lost() is None

    def test_failed_process_keeps_the_runs_lease(
        self, cluster: FakeCluster, clock: WatchedClock, at_work: Claim
    ) -> None:
        cluster.server.fail_next(403, path=f"/leases/{LOCK}", count=1)
        with pytest.raises(ApiError, match="403"):
            self._late(cluster, clock).take()
        assert lease_name("a") in _leases(cluster)

    def test_other_run_does_not_begin_meanwhile(self, cluster: FakeCluster, at_work: Claim) -> None:
        release(cluster.api, _seen(cluster, LOCK))
        refused: list[str] = []

        class LateProcess(Renewing):
            def sleep(clock, seconds: float) -> None:  # noqa: N805
                super().sleep(seconds)
                if not refused and clock.monotonic() > 1010.0:
                    with pytest.raises(ClusterRefused) as raised:
                        self._late(cluster, Renewing(cluster, lease_name("a"), LOCK)).take()
                    refused.append(str(raised.value))

        other = Claim(cluster.api, "b", LateProcess(cluster, lease_name("a"), LOCK), lambda _: None)
        with pytest.raises(ClusterRefused, match="needs exclusive use of the cluster"):
            other.take(exclusive=True, wait=60.0)
        assert refused

    def test_goes_on_when_the_waiting_run_leaves(self, cluster: FakeCluster, at_work: Claim) -> None:
        class Leaving(Renewing):
            def sleep(self, seconds: float) -> None:
                super().sleep(seconds)
                lock = find_lease(cluster.api, LOCK)
                if lock and self.monotonic() > 1010.0:
                    release(cluster.api, lock)

        late = self._late(cluster, Leaving(cluster, lease_name("a"), LOCK))
        late.take(wait=60.0)
        assert late.lost() is None
        late.close(last=False)
        assert lease_name("a") in _leases(cluster)

    def test_refused_last_process_deletes_the_lease(self, cluster: FakeCluster, at_work: Claim) -> None:
        """The controller of pytest-xdist may be refused although its workers were not; it is the one that cleans up."""
        controller = self._late(cluster, Renewing(cluster, lease_name("a"), LOCK))
        with pytest.raises(ClusterRefused):
            controller.take()
        at_work.close(last=False)
        controller.close(last=True)
        assert _leases(cluster) == [LOCK]


def test_exclusive_late_process_leaves_the_runs_lease(cluster: FakeCluster, clock: WatchedClock) -> None:
    """The lock, which it created itself, is deleted."""
    first, other = (Claim(cluster.api, run, clock, lambda _: None) for run in ("a", "b"))
    first.take()
    other.take()
    late = Claim(cluster.api, "a", Renewing(cluster, lease_name("b")), lambda _: None)
    with pytest.raises(ClusterRefused, match="needs exclusive use of the cluster"):
        late.take(exclusive=True)
    assert sorted(_leases(cluster)) == [lease_name("a"), lease_name("b")]
    for claim in (first, other):
        claim.close(last=True)


def test_lease_taken_over_by_a_sweep_is_not_claimed(cluster: FakeCluster, clock: WatchedClock) -> None:
    claim = Claim(cluster.api, "a", clock, lambda _: None)
    take_once = type(cluster.api).create
    monkey = pytest.MonkeyPatch()

    def faster(*arguments: object, **options: object) -> object:
        monkey.undo()
        take(cluster.api, lease_name("a"), "a sweep", {RUN_LABEL: "a"}, clock)
        return take_once(*arguments, **options)  # type: ignore[arg-type]

    monkey.setattr(type(cluster.api), "create", faster)
    with pytest.raises(ClusterRefused, match=r"Lease resilience-a of this run is held by a sweep"):
        claim.take()
    assert _leases(cluster) == [lease_name("a")]


def test_missing_permission_to_create_leases_is_reported(cluster: FakeCluster, clock: WatchedClock) -> None:
    cluster.server.fail_next(403, path="/leases", count=99)
    with pytest.raises(ApiError, match="403"):
        Claim(cluster.api, "a", clock, lambda _: None).take()
