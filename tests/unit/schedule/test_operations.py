"""Schedules in a cluster: what apply checks, what list finds, what delete removes and leaves."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import CONFIG_MAPS, ENDPOINT_SLICES, JOBS, SECRETS, VOLUME_CLAIMS
from harness.common.clock import FakeClock, iso
from harness.common.errors import ApiError, InputError, TimedOut
from harness.common.naming import SYSTEM_NAMESPACE
from harness.schedule import operations
from harness.schedule.manifests import manifests
from harness.schedule.naming import SCHEDULE_LABEL
from harness.schedule.outcome import Outcome
from harness.schedule.status import CRON_JOBS, Status, statuses
from tests.unit.schedule.given import SETS, values

NAME = "resilience-nightly"
HOUR = 3600.0


def _silent(_message: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture
def applied(fake_cluster: FakeCluster) -> FakeCluster:
    """A cluster with a schedule for every hour, made at the time of its clock."""
    operations.apply(fake_cluster.api, values(schedule="0 * * * *", timeZone="Etc/UTC"), _silent)
    made = iso(fake_cluster.clock.wall())
    fake_cluster.api.patch(CRON_JOBS, NAME, {"metadata": {"creationTimestamp": made}}, SYSTEM_NAMESPACE)
    return fake_cluster


def _status(cluster: FakeCluster, later: float = 0.0) -> Status:
    (found,) = statuses(cluster.api, cluster.clock.wall() + later)
    return found


def _troubles(cluster: FakeCluster, later: float = 0.0) -> list[str]:
    return list(_status(cluster, later).troubles({"missed": "04:00"}))


def _ended(cluster: FakeCluster, message: str, condition: str = "Failed", job: str = "nightly-1") -> None:
    """A Job of the schedule that has ended, and its pod."""
    labels = {SCHEDULE_LABEL: "nightly", "job-name": job}
    now = iso(cluster.clock.wall())
    status: dict[str, Any] = {"startTime": now, "conditions": [{"type": condition, "status": "True"}]}
    ended = {"name": "run", "state": {"terminated": {"exitCode": 1, "message": message}}}
    item: Object = {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": job, "labels": labels}, "status": status,
    }  # fmt: skip
    pod: Object = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{job}-x", "labels": labels},
        "status": {"containerStatuses": [ended]},
    }  # fmt: skip
    cluster.server.seed(item, pod, namespace=SYSTEM_NAMESPACE)
    last = {"status": {"lastScheduleTime": now}}
    cluster.api.patch(CRON_JOBS, NAME, last, SYSTEM_NAMESPACE, subresource="status")


def test_apply_warns_without_a_janitor(fake_cluster: FakeCluster) -> None:
    said: list[str] = []
    operations.apply(fake_cluster.api, values(), said.append)
    assert f"applied {len(manifests(values()))} objects" in said[0]
    assert "harness janitor --image registry.test/runner:1" in said[1]


def test_field_changed_by_hand_is_a_conflict(fake_cluster: FakeCluster) -> None:
    message = 'Apply failed with 1 conflict: conflict with "kubectl-edit" using batch/v1: .spec.schedule'
    fake_cluster.server.fail_next(409, "Conflict", message, path="/cronjobs/", dry_run=True)
    with pytest.raises(InputError, match=r"cronjob/resilience-nightly was changed by others.*spec.schedule; --force"):
        operations.apply(fake_cluster.api, values(), _silent)
    # The dry run comes first, so that nothing is half applied.
    assert not [call for call in fake_cluster.server.calls if call.writes]
    forced = [call.query["force"] for call in fake_cluster.server.calls if call.method == "PATCH"]
    assert set(forced) == {"false"}


def test_missing_secret_is_found_before_a_pod_waits_for_it(fake_cluster: FakeCluster) -> None:
    with pytest.raises(InputError, match="found no Secret keys in namespace resilience-system; to create it: kubectl"):
        operations.apply(fake_cluster.api, values(**SETS["bucket"]), _silent)
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}}
    fake_cluster.server.seed(secret, namespace=SYSTEM_NAMESPACE)
    operations.apply(fake_cluster.api, values(**SETS["bucket"]), _silent)
    assert fake_cluster.api.find(SECRETS, "keys", SYSTEM_NAMESPACE)


def test_api_server_behind_the_policy_is_found(fake_cluster: FakeCluster) -> None:
    item: Object = {
        "apiVersion": ENDPOINT_SLICES.group_version,
        "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "ports": [{"name": "https", "port": 16443}],
    }
    fake_cluster.server.seed(item, namespace="default")
    with pytest.raises(InputError, match="port 16443, which the NetworkPolicy does not allow: add --api-port 16443"):
        operations.apply(fake_cluster.api, values(), _silent)
    operations.apply(fake_cluster.api, values(network={"apiPorts": [443, 16443]}), _silent)


def test_schedule_that_runs_in_time_has_no_trouble(applied: FakeCluster) -> None:
    status = _status(applied)
    assert status.next is not None
    assert 0 < status.next - applied.clock.wall() <= HOUR
    assert _troubles(applied) == []


def test_missed_run_is_found(applied: FakeCluster) -> None:
    assert _troubles(applied, 2 * HOUR) == ["missed the run of 04:00"]
    _ended(applied, Outcome(state="HELD", exit_code=0).message(), "Complete")
    assert _troubles(applied) == []
    assert _troubles(applied, 2 * HOUR) == ["missed the run of 04:00"]


def test_suspended_schedule_misses_nothing(applied: FakeCluster) -> None:
    clock = FakeClock(wall=applied.clock.wall() + 5 * HOUR)
    operations.suspend(applied.api, "nightly", clock, suspended=True)
    assert _status(applied, 5 * HOUR).suspended
    assert _troubles(applied, 5 * HOUR) == []
    operations.suspend(applied.api, "nightly", clock, suspended=False)
    assert _troubles(applied, 5 * HOUR) == []
    assert _troubles(applied, 7 * HOUR) == ["missed the run of 04:00"]


def test_broken_run_and_its_leftovers_are_found(applied: FakeCluster) -> None:
    outcome = Outcome(state="BROKEN", exit_code=1, worst=["one-killed BROKEN"], left=["one-killed"])
    _ended(applied, outcome.message())
    assert _troubles(applied) == [
        "nightly-1: BROKEN: one-killed BROKEN",
        "nightly-1 may have left something behind: one-killed",
    ]


def test_killed_pod_is_found(applied: FakeCluster) -> None:
    _ended(applied, "")
    assert "nightly-1 ended without a result (its pod was killed): `harness sweep --dry-run`" in _troubles(applied)[0]


def test_run_now_makes_a_job_of_the_schedule(applied: FakeCluster) -> None:
    name = operations.run_now(applied.api, "nightly")
    job = applied.api.get(JOBS, name, SYSTEM_NAMESPACE)
    assert job["metadata"]["ownerReferences"][0]["name"] == NAME
    assert job["metadata"]["labels"][SCHEDULE_LABEL] == "nightly"
    with pytest.raises(InputError, match=f"schedule nightly has an active run, {name}; expected none"):
        operations.run_now(applied.api, "nightly")


def test_unknown_schedule_lists_those_that_exist(applied: FakeCluster) -> None:
    with pytest.raises(InputError, match="found no schedule 'weekly', expected one of nightly"):
        operations.run_now(applied.api, "weekly")


def test_delete_keeps_the_results(applied: FakeCluster) -> None:
    done = operations.delete(applied.api, "nightly", applied.clock, _silent)
    assert f"persistentvolumeclaim/{NAME}-results with the reports: --results deletes it" in done.left
    assert f"namespace/{SYSTEM_NAMESPACE}: other runs use it" in done.left
    kinds = {line.partition("/")[0] for line in done.removed}
    wanted = {item["kind"].lower() for item in manifests(values())} - {"namespace", "persistentvolumeclaim"}
    assert kinds == wanted
    assert applied.api.find(CONFIG_MAPS, f"{NAME}-experiments", SYSTEM_NAMESPACE) is None
    done = operations.delete(applied.api, "nightly", applied.clock, _silent, results=True)
    assert done.removed == [f"persistentvolumeclaim/{NAME}-results"]
    assert applied.api.find(VOLUME_CLAIMS, f"{NAME}-results", SYSTEM_NAMESPACE) is None


def test_claim_that_a_pod_uses_is_not_reported_as_deleted(applied: FakeCluster) -> None:
    body = {"metadata": {"finalizers": ["kubernetes.io/pvc-protection"]}}
    applied.api.patch(VOLUME_CLAIMS, f"{NAME}-results", body, SYSTEM_NAMESPACE)
    with pytest.raises(TimedOut, match=f"persistentvolumeclaim/{NAME}-results to be deleted.*a pod may still use it"):
        operations.delete(applied.api, "nightly", applied.clock, _silent, results=True)


def test_permissions_stay_until_the_pod_has_ended(applied: FakeCluster) -> None:
    pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {SCHEDULE_LABEL: "nightly"}}}
    applied.server.seed(pod, namespace=SYSTEM_NAMESPACE)
    with pytest.raises(TimedOut, match="its permissions were kept, run the command again"):
        operations.delete(applied.api, "nightly", applied.clock, _silent)
    assert applied.api.find(operations.CLUSTER_ROLES, NAME)


def test_deleting_an_unknown_schedule_is_an_error(fake_cluster: FakeCluster) -> None:
    with pytest.raises(InputError, match="this cluster has no schedule"):
        operations.delete(fake_cluster.api, "nightly", fake_cluster.clock, _silent)


def test_edit_by_hand_is_shown(applied: FakeCluster) -> None:
    assert _status(applied).edited == ""
    owners = [{"manager": "kubectl-edit", "fieldsV1": {"f:spec": {"f:schedule": {}}}}]
    applied.api.patch(CRON_JOBS, NAME, {"metadata": {"managedFields": owners}}, SYSTEM_NAMESPACE)
    assert _status(applied).edited == "kubectl-edit"


def test_error_of_the_server_is_not_hidden(fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(403, "Forbidden", "attempting to grant RBAC permissions", path="/clusterroles/")
    with pytest.raises(ApiError, match="attempting to grant"):
        operations.apply(fake_cluster.api, values(), _silent)
