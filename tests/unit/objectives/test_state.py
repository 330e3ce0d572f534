"""Identity and durability: what a StatefulSet promises."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.durability import Durability
from harness.objectives.identity import Identity
from tests.unit.timelines import ETCD, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def looked(story: Story, at: float, pod: str, uid: str, **other: object) -> Story:
    """What the identity probe saw of a pod."""
    value = {"uid": uid, "claims": {"data": [f"data-{pod}", f"pv-{pod}"]}, "dns": ["10.0.0.1"], "ip": "10.0.0.1"}
    return story.add("identity", pod, at, value | other)


def killed(ready: float | None = 15.0, **other: object) -> Story:
    """One of two members killed at 10 s; ``other`` is what its successor has."""
    story = Story()
    for number in range(2):
        looked(story, 9.0, f"etcd-{number}", f"u{number}")
        story.pod(1.0, f"etcd-{number}", f"u{number}", owner=ETCD)
    story.injected(10.0, ("etcd-1", "u1")).gone(10.1, "etcd-1", "u1", owner=ETCD)
    if ready is not None:
        story.pod(ready, "etcd-1", "v1", owner=ETCD, since=ready - 0.5)
    looked(story, 50.0, "etcd-0", "u0")
    return looked(story, 50.0, "etcd-1", str(other.pop("uid", "v1")), **other)


def identity(story: Story, **fields: object) -> tuple[Verdict, str]:
    finding = Identity(of=ETCD, **fields).judge(story.timeline)
    return finding.verdict, finding.reason


def test_same_names_volumes_and_addresses_are_the_same_identity() -> None:
    verdict, reason = identity(killed())
    assert verdict is HELD
    assert "all 2 pods kept their names, volumes and DNS records; 1 of them came back as new pods" in reason


@pytest.mark.parametrize(("limit", "verdict"), [("5s", HELD), ("4.6s", INCONCLUSIVE), ("4s", BROKEN)])
def test_the_new_pod_is_ready_in_time(limit: str, verdict: Verdict) -> None:
    assert identity(killed(), within=limit)[0] is verdict


def test_the_slowest_return_gives_the_numbers() -> None:
    finding = Identity(of=ETCD, within="60s").judge(killed().timeline)
    assert (finding.observed, finding.limit, finding.unit, finding.samples) == (5.0, 60.0, "s", 2)


@pytest.mark.parametrize(
    ("changed", "verdict", "reason"),
    [
        ({"claims": {"data": ["data-etcd-1", "pv-other"]}}, BROKEN, "came back with data (data-etcd-1 on pv-other)"),
        ({"claims": {}}, BROKEN, "came back with no volume"),
        ({"dns": ["10.0.0.9"]}, BROKEN, "has 10.0.0.9, the pod has 10.0.0.1"),
        ({"dns": []}, BROKEN, "has no address"),
        ({"dns": None}, INCONCLUSIVE, "was not looked up"),
        ({"ip": ""}, INCONCLUSIVE, "has no address"),
        ({"hostname": "etcd-1.etcd"}, BROKEN, "etcd-1 has the hostname etcd-1.etcd"),
        ({"uid": "u1"}, INCONCLUSIVE, "still the same pod"),
    ],
)
def test_changes_are_named(changed: dict[str, object], verdict: Verdict, reason: str) -> None:
    found, why = identity(killed(**changed))
    assert found is verdict
    assert reason in why


def test_hostnames_are_named_if_all_were_read() -> None:
    story = looked(killed(hostname="etcd-1"), 51.0, "etcd-0", "u0", hostname="etcd-0")
    assert "all 2 pods kept their names, hostnames, volumes and DNS records" in identity(story)[1]


@pytest.mark.parametrize(("first", "verdict"), [(0, HELD), (1, BROKEN), (5, BROKEN)])
def test_numbers_begin_where_they_must(first: int, verdict: Verdict) -> None:
    found, reason = identity(killed(hostname="etcd-1"), firstOrdinal=first)
    assert found is verdict
    assert verdict is HELD or reason == f"the pods are etcd-0, etcd-1, and must be numbered from {first} on"


def test_a_pod_that_is_missing_at_the_end_is_broken() -> None:
    story = looked(looked(Story(), 9.0, "etcd-0", "u0"), 9.0, "etcd-1", "u1").injected(10.0, ("etcd-1", "u1"))
    assert identity(looked(story, 50.0, "etcd-0", "u0")) == (BROKEN, "etcd-1 did not come back")


def test_pod_deleted_after_the_snapshot_is_absent() -> None:
    story = killed().gone(52.0, "etcd-0", "u0", owner=ETCD)
    assert identity(story) == (BROKEN, "etcd-0 did not come back")


def test_ready_again_and_not_at_the_end_is_not_back() -> None:
    story = killed(ready=15.0).pod(40.0, "etcd-1", "v1", False, owner=ETCD)
    verdict, reason = identity(story, within="20s")
    assert verdict is BROKEN
    assert "is not when last seen" in reason
    assert identity(story, within="60s")[0] is INCONCLUSIVE
    assert identity(story.pod(45.0, "etcd-1", "v1", owner=ETCD), within="20s")[0] is HELD


def test_a_watch_that_never_resumes_may_miss_a_relapse() -> None:
    story = killed(ready=15.0).gap("pods", 40.0)
    verdict, reason = identity(story, within="20s")
    assert verdict is INCONCLUSIVE
    assert "the watch on pods was interrupted afterwards" in reason
    assert identity(story)[0] is HELD
    assert identity(killed(ready=15.0).gap("pods", 40.0, 42.0, complete=False), within="20s")[0] is HELD


def test_never_ready_again_is_broken_once_watched_past_the_limit() -> None:
    assert identity(killed(ready=None), within="20s")[0] is BROKEN
    assert identity(killed(ready=None), within="60s")[0] is INCONCLUSIVE


def test_a_pod_of_that_name_from_before_the_fault_is_no_return() -> None:
    story = killed(ready=None).pod(0.5, "etcd-1", "an earlier one", owner=ETCD)
    assert identity(story, within="20s")[0] is BROKEN


def test_pods_of_other_sets_are_none_of_it() -> None:
    story = looked(killed(), 9.0, "etcd-client-0", "x")
    assert identity(looked(story, 9.0, "redis-0", "y"))[0] is HELD


@pytest.mark.parametrize(
    "story",
    [
        Story(),
        looked(Story(), 9.0, "etcd-0", "u0"),
        Story().injected(10.0),
        looked(Story(), 9.0, "etcd-0", "u0").injected(10.0),
        looked(Story().injected(10.0), 50.0, "etcd-0", "u0"),
        looked(Story(), 9.0, "etcd-0", "u0").injected(10.0).error("identity", "etcd-0", 50.0, "exec failed"),
        looked(Story(), 9.0, "etcd-0", "u0")
        .injected(10.0)
        .error(
            "identity", "etcd-0", 50.0, "half a look", {"uid": "u0", "claims": {"data": ["data-etcd-0", "pv-etcd-0"]}}
        ),
        looked(Story(), 9.0, "etcd-0", "u0").injected(10.0).add("identity", "etcd-0", 50.0, None),
    ],
)
def test_identity_needs_two_snapshots(story: Story) -> None:
    assert identity(story)[0] is INCONCLUSIVE


def test_reason_for_a_failed_snapshot_is_reported() -> None:
    story = looked(Story(), 9.0, "etcd-0", "u0").injected(10.0).error("identity", ETCD, 50.0, "403 Forbidden")
    assert identity(story)[1].endswith("observed after the fault: 403 Forbidden")
    unlooked = killed(dns=None, dns_error="no pod of the set is ready")
    assert "no pod of the set is ready" in identity(unlooked)[1]


def test_a_return_that_was_not_watched_is_not_timed() -> None:
    story = looked(Story(), 9.0, "etcd-0", "u0").injected(10.0, ("etcd-0", "u0"))
    assert identity(looked(story, 50.0, "etcd-0", "v0"), within="20s")[0] is INCONCLUSIVE


def test_identity_is_of_a_stateful_set() -> None:
    with pytest.raises(ValidationError, match="found 'deployment/podinfo', expected statefulset/NAME"):
        Identity(of="deployment/podinfo")


def written(*read: str, acknowledged: str = "abcd", failed: str = "x") -> Story:
    """Writes from 8 s on, the second half of them after the fault at 10 s; what was read back at 56 s."""
    story = Story().injected(10.0)
    for number, key in enumerate(acknowledged):
        story.request(8.0 + number, key=key)
    for number, key in enumerate(failed):
        story.request(10.5 + number, ok=False, key=key)
    return story.add("readable", "etcd-0", 56.0, {"keys": list(read)})


def durability(story: Story) -> tuple[Verdict, str]:
    finding = Durability().judge(story.timeline)
    return finding.verdict, finding.reason


def test_all_acknowledged_writes_read_back_is_held() -> None:
    assert durability(written(*"abcd")) == (HELD, "all 4 acknowledged writes were read back")


def test_unacknowledged_write_may_be_present_or_absent() -> None:
    assert durability(written(*"abcdx"))[0] is HELD


def test_a_missing_write_is_broken_and_named() -> None:
    finding = Durability().judge(written(*"ac").timeline)
    assert finding.verdict is BROKEN
    assert finding.reason == "2 of 4 acknowledged writes are missing: b, d"
    assert (finding.observed, finding.limit, finding.comparison, finding.samples) == (2, 0, "<=", 4)


def test_only_the_first_missing_writes_are_named() -> None:
    assert durability(written(acknowledged="abcdefgh"))[1].endswith("a, b, c, d, e …")
    assert durability(written(acknowledged="abcde"))[1].endswith("a, b, c, d, e")


def test_key_without_a_confirmed_write_is_inconclusive() -> None:
    verdict, reason = durability(written(*"abcd", "ghost"))
    assert verdict is INCONCLUSIVE
    assert "1 keys were read that no recorded request wrote: ghost" in reason


def test_the_last_reading_counts() -> None:
    story = written(*"abcd").add("readable", "etcd-0", 9.0, {"keys": []})
    assert durability(story)[0] is HELD


def test_writes_acknowledged_while_it_was_read_are_left_out() -> None:
    assert durability(written(*"abcd").request(55.5, key="late"))[0] is HELD


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (Story().requests(0, 55).add("readable", "etcd-0", 56.0, {"keys": []}), "no write was acknowledged"),
        (written(acknowledged=""), "no write was acknowledged"),
        (Story().injected(5.0).request(8.0, key="a").add("readable", "e", 56.0, {"keys": ["a"]}), "before the fault"),
        (Story().injected(10.0).request(8.0, key="a"), "nothing was read back"),
        (written(*"abcd").error("readable", "etcd-0", 57.0, "exec failed"), "could not be read back: exec failed"),
        (written(*"abcd").error("readable", "e", 57.0, "cut off", {"keys": list("abcd")}), "read back: cut off"),
        (written(*"abcd").add("readable", "etcd-0", 57.0, None), "could not be read back: no value"),
        (Story().request(8.0, key="a").add("readable", "e", 9.0, {"keys": ["a"]}), "after the last phase of the run"),
    ],
)
def test_without_data_no_durability_is_held(story: Story, reason: str) -> None:
    verdict, why = durability(story)
    assert verdict is INCONCLUSIVE
    assert reason in why
