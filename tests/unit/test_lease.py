"""Leases, the vigil that tells dead holders from live ones, and the claims that runs make on a cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.claim import LOCK, Claim, lease_name
from harness.clock import FakeClock
from harness.cluster.fake import FakeCluster
from harness.cluster.resources import LEASES
from harness.errors import ApiError, ClusterRefused
from harness.lease import LEASE_SECONDS, RENEW_EVERY, VERY_OLD, LeaseKeeper, Seen, find_lease, release, take
from harness.naming import SYSTEM_NAMESPACE
from harness.vigil import Vigil


class PatientClock(FakeClock):
    """Time moves by sleeping alone: a thread that waits for an event really waits."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(60.0)


@pytest.fixture
def clock() -> PatientClock:
    return PatientClock()


@pytest.fixture
def cluster(clock: PatientClock) -> FakeCluster:
    found = FakeCluster(clock)
    found.server.seed(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "first"}}, namespace=SYSTEM_NAMESPACE
    )
    return found


def _seen(cluster: FakeCluster, name: str = "one") -> Seen:
    found = find_lease(cluster.api, name)
    assert found is not None
    return found


@pytest.fixture
def keeper(cluster: FakeCluster, clock: PatientClock) -> Iterator[LeaseKeeper]:
    """Holds the Lease ``one``; renews when the test says so."""
    assert take(cluster.api, "one", "me", {}, clock)
    made = LeaseKeeper(cluster.api, "me", clock)
    made.add("one")
    yield made
    made.stop()


def test_of_two_that_want_a_lease_one_gets_it(cluster: FakeCluster, clock: PatientClock) -> None:
    assert take(cluster.api, "one", "me", {}, clock)
    assert not take(cluster.api, "one", "you", {}, clock)
    assert _seen(cluster).holder == "me"


def test_of_two_that_take_one_over_one_gets_it(cluster: FakeCluster, clock: PatientClock) -> None:
    take(cluster.api, "one", "the dead", {}, clock)
    seen = _seen(cluster)
    assert take(cluster.api, "one", "me", {}, clock, over=seen)
    assert not take(cluster.api, "one", "you", {}, clock, over=seen)
    assert _seen(cluster).holder == "me"


def test_a_try_whose_answer_was_lost_counts_as_what_it_was(
    cluster: FakeCluster, clock: PatientClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is repeated, and finds what the first one has made."""
    take(cluster.api, "one", "the dead", {}, clock)
    seen = _seen(cluster)
    assert take(cluster.api, "one", "me", {}, clock, over=seen)
    assert take(cluster.api, "one", "me", {}, clock, over=seen)


def test_renewing_moves_the_time_and_holds_the_lease(
    cluster: FakeCluster, clock: PatientClock, keeper: LeaseKeeper
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


def test_a_lease_that_could_not_be_renewed_for_its_duration_is_lost(
    cluster: FakeCluster, clock: PatientClock, keeper: LeaseKeeper
) -> None:
    cluster.server.fail_next(403, count=99, path="/leases")
    clock.advance(LEASE_SECONDS)
    keeper.renew("one")
    assert keeper.lost() is None
    clock.advance(0.1)
    assert "could not be renewed for 15.1 s: others take this run for dead" in str(keeper.lost())


def test_contact_counts_from_when_the_request_began(
    cluster: FakeCluster, clock: PatientClock, keeper: LeaseKeeper, monkeypatch: pytest.MonkeyPatch
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
def test_a_lease_that_somebody_else_took_is_lost_for_good(
    cluster: FakeCluster, clock: PatientClock, keeper: LeaseKeeper, gone: bool
) -> None:
    if gone:
        release(cluster.api, _seen(cluster))
    else:
        take(cluster.api, "one", "a sweep", {}, clock, over=_seen(cluster))
    keeper.renew("one")
    assert ("is gone" if gone else "was taken over by a sweep") in str(keeper.lost())


def test_an_unanswered_question_is_no_loss(cluster: FakeCluster, clock: PatientClock, keeper: LeaseKeeper) -> None:
    take(cluster.api, "one", "a sweep", {}, clock, over=_seen(cluster))
    cluster.server.fail_next(403, count=1, method="GET", path="/leases")
    keeper.renew("one")
    assert keeper.lost() is None
    keeper.renew("one")
    assert keeper.lost() is not None


def test_only_the_lease_that_was_seen_is_released(cluster: FakeCluster, clock: PatientClock) -> None:
    take(cluster.api, "one", "me", {}, clock)
    old = _seen(cluster)
    release(cluster.api, old)
    take(cluster.api, "one", "you", {}, clock)
    release(cluster.api, old)
    assert _seen(cluster).holder == "you"


def test_dead_is_who_stands_still_for_the_whole_duration_and_alive_who_moves(
    cluster: FakeCluster, clock: PatientClock, keeper: LeaseKeeper
) -> None:
    vigil = Vigil(clock)
    assert vigil.is_dead(_seen(cluster)) is None
    clock.advance(RENEW_EVERY)
    keeper.renew("one")
    assert vigil.is_dead(_seen(cluster)) is False
    clock.advance(LEASE_SECONDS)
    assert vigil.is_dead(_seen(cluster)) is False
    clock.advance(0.1)
    assert vigil.is_dead(_seen(cluster)) is True


@pytest.mark.parametrize("skew", [-3000.0, 0.0, 3000.0])
def test_another_machine_s_clock_does_not_matter(cluster: FakeCluster, skew: float) -> None:
    theirs, ours = FakeClock(wall=1_700_000_000.0 + skew), FakeClock()
    take(cluster.api, "one", "them", {}, theirs)
    vigil = Vigil(ours)
    assert vigil.is_dead(_seen(cluster)) is None
    ours.advance(LEASE_SECONDS + 0.1)
    assert vigil.is_dead(_seen(cluster)) is True


def test_a_very_old_lease_need_not_be_watched(cluster: FakeCluster, clock: PatientClock) -> None:
    take(cluster.api, "one", "them", {}, clock)
    clock.advance(VERY_OLD + 1)
    assert Vigil(clock).is_dead(_seen(cluster)) is True


def test_another_lease_of_the_same_name_is_watched_anew(cluster: FakeCluster, clock: PatientClock) -> None:
    take(cluster.api, "one", "them", {}, clock)
    vigil = Vigil(clock)
    vigil.is_dead(_seen(cluster))
    clock.advance(LEASE_SECONDS + 0.1)
    release(cluster.api, _seen(cluster))
    take(cluster.api, "one", "them", {}, clock)
    assert vigil.is_dead(_seen(cluster)) is None


# Claims.


@contextmanager
def _claim(cluster: FakeCluster, clock: PatientClock, run: str, *, exclusive: bool = False) -> Iterator[Claim]:
    claim = Claim(cluster.api, run, clock, lambda _: None)
    claim.take(exclusive=exclusive)
    try:
        yield claim
    finally:
        claim.close(last=True)


class Renewing(PatientClock):
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


def test_runs_that_stay_in_their_namespaces_share_a_cluster(cluster: FakeCluster, clock: PatientClock) -> None:
    with _claim(cluster, clock, "a"), _claim(cluster, clock, "b"):
        assert _leases(cluster) == [lease_name("a"), lease_name("b")]
    assert _leases(cluster) == []


def test_processes_of_one_run_share_its_lease_and_the_last_one_deletes_it(
    cluster: FakeCluster, clock: PatientClock
) -> None:
    controller, worker = (Claim(cluster.api, "a", clock, lambda _: None) for _ in range(2))
    controller.take()
    worker.take(exclusive=True)
    assert _leases(cluster) == [lease_name("a"), LOCK] or _leases(cluster) == [LOCK, lease_name("a")]
    worker.close(last=False)
    assert len(_leases(cluster)) == 2
    controller.close(last=True)
    assert _leases(cluster) == []


@pytest.mark.parametrize("first", [True, False], ids=["disruptive first", "disruptive second"])
def test_a_disruptive_run_has_the_cluster_to_itself(cluster: FakeCluster, clock: PatientClock, first: bool) -> None:
    with _claim(cluster, clock, "a", exclusive=first):
        later = Claim(cluster.api, "b", Renewing(cluster, lease_name("a"), LOCK), lambda _: None)
        with pytest.raises(ClusterRefused, match=r"a on .* --wait-for-lock=SECONDS waits"):
            later.take(exclusive=not first)
        assert lease_name("b") not in _leases(cluster)
        assert (LOCK in _leases(cluster)) is first


def test_two_disruptive_runs_refuse_each_other(cluster: FakeCluster, clock: PatientClock) -> None:
    with _claim(cluster, clock, "a", exclusive=True):
        later = Claim(cluster.api, "b", Renewing(cluster, lease_name("a"), LOCK), lambda _: None)
        with pytest.raises(ClusterRefused, match="has this cluster for itself"):
            later.take(exclusive=True)


@pytest.mark.parametrize("exclusive", [True, False])
def test_who_waits_gets_it_when_the_other_one_leaves(
    cluster: FakeCluster, clock: PatientClock, exclusive: bool
) -> None:
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


def test_a_dead_run_that_shared_the_cluster_is_in_nobody_s_way(cluster: FakeCluster, clock: PatientClock) -> None:
    dead = Claim(cluster.api, "a", clock, lambda _: None)
    dead.take()
    dead.close(last=False)
    with _claim(cluster, clock, "b", exclusive=True):
        assert LOCK in _leases(cluster)


@pytest.mark.parametrize("exclusive", [True, False])
def test_after_a_dead_disruptive_run_the_cluster_must_be_swept_first(
    cluster: FakeCluster, clock: PatientClock, exclusive: bool
) -> None:
    dead = Claim(cluster.api, "a", clock, lambda _: None)
    dead.take(exclusive=True)
    dead.close(last=False)
    with pytest.raises(ClusterRefused, match=r"has died: what it broke may still be broken; `harness sweep` takes it"):
        Claim(cluster.api, "b", clock, lambda _: None).take(exclusive=exclusive)
    assert lease_name("b") not in _leases(cluster)


def test_who_may_not_make_leases_is_told_so(cluster: FakeCluster, clock: PatientClock) -> None:
    cluster.server.fail_next(403, path="/leases", count=99)
    with pytest.raises(ApiError, match="403"):
        Claim(cluster.api, "a", clock, lambda _: None).take()
