"""The identity probe tells under which name, address, DNS record and volumes each pod of a StatefulSet is there."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import ExecResult
from harness.probes.identity import DNS_FOLLOWS, Identity
from tests.unit.probes.snapshots import Stand

PROBE = Identity(of="statefulset/db")


def test_every_pod_of_the_set_is_described() -> None:
    stand = Stand()
    stand.pod("db-9", "198.18.1.9", owner="somebody else")
    first, second = stand.look(PROBE)
    assert (first.series, first.subject, first.error) == ("identity", "db-0", None)
    assert second.value == {
        "uid": stand.cluster.api.get(PODS, "db-1", "shop")["metadata"]["uid"],
        "hostname": "db-1",
        "ip": "198.18.1.2",
        "claims": {"data": ["data-db-1", "pv-1"]},
        "dns": ["198.18.1.2"],
    }


def test_a_stale_record_is_given_the_time_that_caches_take() -> None:
    stand = Stand()
    stand.dns["db-1"] = "198.18.1.77"
    before = stand.clock.monotonic()
    _, second = stand.look(PROBE)
    assert second.value["dns"] == ["198.18.1.77"]
    assert stand.clock.monotonic() - before == pytest.approx(DNS_FOLLOWS)


def test_all_records_share_the_time() -> None:
    stand = Stand()
    stand.dns = {"db-0": "198.18.1.77", "db-1": "198.18.1.78"}
    before = stand.clock.monotonic()
    stand.look(Identity.model_validate({"of": "statefulset/db", "dnsWithin": "10s"}))
    assert stand.clock.monotonic() - before == pytest.approx(10.0)


def test_hostname_that_cannot_be_read_is_unknown() -> None:
    stand = Stand()
    stand.hostnames = {"db-0": ExecResult("", "not found", 127), "db-1": ExecResult("db-1.db\n", "", 0)}
    first, second = stand.look(PROBE)
    assert (first.value["hostname"], second.value["hostname"]) == (None, "db-1.db")


def test_generic_ephemeral_volume_has_a_claim() -> None:
    stand = Stand()
    pod = stand.cluster.api.get(PODS, "db-1", "shop")
    volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}]
    stand.seed("v1", "PersistentVolumeClaim", "db-1-scratch", spec={"volumeName": "pv-7"})
    stand.cluster.api.patch(PODS, "db-1", {"spec": {**pod["spec"], "volumes": volumes}}, "shop")
    assert stand.look(PROBE)[1].value["claims"] == {"scratch": ["db-1-scratch", "pv-7"]}


def test_correct_record_ends_the_wait() -> None:
    stand = Stand()
    stand.later["db-1"] = ["198.18.1.77", "198.18.1.77"]
    before = stand.clock.monotonic()
    _, second = stand.look(PROBE)
    assert second.value["dns"] == ["198.18.1.2"]
    assert stand.clock.monotonic() - before == pytest.approx(2.0)


def test_no_record_at_all_is_an_answer() -> None:
    stand = Stand()
    del stand.dns["db-1"]
    _, second = stand.look(PROBE)
    assert second.value["dns"] == []


def test_failed_lookup_leaves_the_record_unknown_with_reason() -> None:
    stand = Stand()
    stand.dns["db-1"] = "SERVFAIL"
    _, second = stand.look(PROBE)
    assert second.value["dns"] is None
    assert "SERVFAIL" in second.value["dns_error"]
    assert (second.error, second.value["claims"]) == (None, {"data": ["data-db-1", "pv-1"]})


def test_lookup_needs_a_ready_pod() -> None:
    stand = Stand()
    for ordinal in (0, 1):
        stand.cluster.api.delete(PODS, f"db-{ordinal}", "shop", grace_seconds=0)
    stand.pod("db-0", "198.18.1.1", ready=False)
    (only,) = stand.look(PROBE)
    assert (only.value["dns"], only.value["dns_error"]) == (None, "no pod of the set is ready")


def test_a_claim_that_is_gone_or_unbound_has_no_volume() -> None:
    stand = Stand()
    stand.pod("db-2", "198.18.1.3")
    stand.dns["db-2"] = "198.18.1.3"
    assert stand.look(PROBE)[2].value["claims"] == {"data": ["data-db-2", ""]}


def test_a_set_that_cannot_be_read_is_an_error_on_the_timeline() -> None:
    (only,) = Stand().look(Identity(of="statefulset/nope"))
    assert only.subject == "statefulset/nope"
    assert "404 NotFound" in (only.error or "")


def test_a_pod_that_cannot_be_described_does_not_stop_the_others() -> None:
    stand = Stand()
    stand.cluster.server.fail_next(403, "Forbidden", path="data-db-0")
    first, second = stand.look(PROBE)
    assert "403" in (first.error or "")
    assert second.value["dns"] == ["198.18.1.2"]


@pytest.mark.parametrize("of", ["deployment/db", "statefulset/", "db"])
def test_only_stateful_sets_have_an_identity(of: str) -> None:
    with pytest.raises(ValidationError):
        Identity.model_validate({"of": of})
