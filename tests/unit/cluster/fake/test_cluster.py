"""The fake cluster keeps the rules of a real API server that clients can trip over."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.fake.server import BUDGETS
from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.client import KubeApi, WatchEvent
from harness.cluster.kube.resources import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS
from harness.cluster.protocol import Capability, Cluster
from harness.common.errors import ApiError, CapabilityMissing
from tests.fake_world import NAMESPACE, World, bare_pod, deployment


@pytest.fixture
def api(fake_cluster: FakeCluster) -> KubeApi:
    fake_cluster.api.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    return fake_cluster.api


def _config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


def _follow(api: KubeApi, version: str, count: int, selector: str = "") -> list[tuple[str, str]]:
    events: list[WatchEvent] = []
    for event in api.watch(PODS, NAMESPACE, version, selector):
        events.append(event)
        if len(events) == count:
            break
    return [(event.type, event.object["metadata"]["name"]) for event in events]


def test_fake_cluster_implements_the_protocol() -> None:
    cluster: Cluster = FakeCluster(name="here", capabilities=[Capability.LOCAL_IMAGES], images=["podinfo"])
    assert (cluster.provider, cluster.name, cluster.context, cluster.kubeconfig) == ("fake", "here", "here", None)
    assert cluster.capabilities() == {Capability.LOCAL_IMAGES}
    assert "podinfo" in cluster.image("podinfo")
    with pytest.raises(CapabilityMissing, match="etcd"):
        cluster.image("etcd")
    with pytest.raises(CapabilityMissing):
        cluster.node_port(30000)
    assert str(FakeCluster().loopback(30000)) == "127.0.0.1:30000"


def test_every_write_has_a_new_version(api: KubeApi) -> None:
    first = api.create(CONFIG_MAPS, _config(a="1"), NAMESPACE)
    second = api.patch(CONFIG_MAPS, "settings", {"data": {"a": "2"}}, NAMESPACE)
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])


def test_no_op_write_changes_no_version(api: KubeApi) -> None:
    first = api.create(CONFIG_MAPS, _config(a="1"), NAMESPACE)
    assert api.patch(CONFIG_MAPS, "settings", {"data": {"a": "1"}}, NAMESPACE) == first


def test_returned_objects_are_copies(api: KubeApi) -> None:
    api.create(CONFIG_MAPS, _config(a="1"), NAMESPACE)["data"]["a"] = "changed"
    assert api.get(CONFIG_MAPS, "settings", NAMESPACE)["data"] == {"a": "1"}


def test_a_name_can_be_taken_once_and_again_with_a_new_uid(api: KubeApi) -> None:
    first = api.create(CONFIG_MAPS, _config(), NAMESPACE)
    with pytest.raises(ApiError, match="409 AlreadyExists"):
        api.create(CONFIG_MAPS, _config(), NAMESPACE)
    api.delete(CONFIG_MAPS, "settings", NAMESPACE)
    assert api.create(CONFIG_MAPS, _config(), NAMESPACE)["metadata"]["uid"] != first["metadata"]["uid"]


def test_missing_namespace_accepts_no_objects(api: KubeApi) -> None:
    with pytest.raises(ApiError, match='namespaces "nowhere" not found'):
        api.create(CONFIG_MAPS, _config(), "nowhere")


def test_deleting_a_namespace_deletes_its_objects(api: KubeApi) -> None:
    api.create(CONFIG_MAPS, _config(), NAMESPACE)
    api.delete(NAMESPACES, NAMESPACE)
    assert api.list(CONFIG_MAPS).items == []


def test_generation_counts_spec_changes_only(api: KubeApi) -> None:
    api.create(DEPLOYMENTS, deployment(), NAMESPACE)
    relabelled = api.patch(DEPLOYMENTS, "podinfo", {"metadata": {"labels": {"a": "b"}}}, NAMESPACE)
    scaled = api.patch(DEPLOYMENTS, "podinfo", {"spec": {"replicas": 1}}, NAMESPACE)
    assert (relabelled["metadata"]["generation"], scaled["metadata"]["generation"]) == (1, 2)


def test_status_is_written_through_its_own_door(api: KubeApi) -> None:
    made = api.create(DEPLOYMENTS, deployment() | {"status": {"replicas": 9}}, NAMESPACE)
    assert "status" not in made
    api.patch(DEPLOYMENTS, "podinfo", {"status": {"replicas": 9}}, NAMESPACE)
    assert "status" not in api.get(DEPLOYMENTS, "podinfo", NAMESPACE)
    patch = {"status": {"replicas": 2}, "spec": {"replicas": 7}}
    after = api.patch(DEPLOYMENTS, "podinfo", patch, NAMESPACE, subresource="status")
    assert (after["status"], after["spec"]["replicas"]) == ({"replicas": 2}, 3)


def test_object_identity_is_immutable(api: KubeApi) -> None:
    made = api.create(CONFIG_MAPS, _config(), NAMESPACE)
    body = {**_config(a="1"), "metadata": {"name": "settings", "creationTimestamp": "2001-01-01T00:00:00Z"}}
    after = api.replace(CONFIG_MAPS, body, NAMESPACE)
    assert after["metadata"]["uid"] == made["metadata"]["uid"]
    assert after["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    with pytest.raises(ApiError, match="409 Conflict"):
        api.patch(CONFIG_MAPS, "settings", {"metadata": {"uid": "another"}}, NAMESPACE)


def test_a_merge_patch_replaces_lists_and_removes_what_is_null(api: KubeApi) -> None:
    api.create(DEPLOYMENTS, deployment(), NAMESPACE)
    patch = {"spec": {"selector": None, "template": {"spec": {"containers": [{"name": "other"}]}}}}
    spec = api.patch(DEPLOYMENTS, "podinfo", patch, NAMESPACE)["spec"]
    assert "selector" not in spec
    assert spec["template"]["spec"]["containers"] == [{"name": "other"}]


def test_a_strategic_merge_patch_merges_containers_by_name(api: KubeApi) -> None:
    api.create(DEPLOYMENTS, deployment(), NAMESPACE)
    containers = [{"name": "podinfo", "env": [{"name": "A", "value": "1"}]}, {"name": "sidecar", "image": "s"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    after = api.patch(DEPLOYMENTS, "podinfo", patch, NAMESPACE, strategy="strategic-merge")
    first, second = after["spec"]["template"]["spec"]["containers"]
    assert first == {"name": "podinfo", "image": "podinfo:1", "env": [{"name": "A", "value": "1"}]}
    assert second["name"] == "sidecar"


def test_strategic_merge_uses_the_published_keys(api: KubeApi) -> None:
    made = deployment()
    mounts = [{"name": "conf", "mountPath": "/a"}, {"name": "conf", "mountPath": "/b"}]
    made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = mounts
    api.create(DEPLOYMENTS, made, NAMESPACE)
    container = {"name": "podinfo", "volumeMounts": [{"name": "conf", "mountPath": "/c"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    after = api.patch(DEPLOYMENTS, "podinfo", patch, NAMESPACE, strategy="strategic-merge")
    (found,) = after["spec"]["template"]["spec"]["containers"]
    assert [mount["mountPath"] for mount in found["volumeMounts"]] == ["/c", "/a", "/b"]


def test_json_patch_is_atomic(api: KubeApi) -> None:
    api.create(CONFIG_MAPS, _config(a="1", b="2"), NAMESPACE)
    good = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "3"},
        {"op": "remove", "path": "/data/b"},
        {"op": "add", "path": "/data/c~1d", "value": "4"},
    ]
    assert api.patch(CONFIG_MAPS, "settings", good, NAMESPACE, strategy="json")["data"] == {"a": "3", "c/d": "4"}
    bad = [{"op": "replace", "path": "/data/a", "value": "5"}, {"op": "test", "path": "/data/a", "value": "6"}]
    with pytest.raises(ApiError, match=r"422 Invalid.*testing value /data/a failed"):
        api.patch(CONFIG_MAPS, "settings", bad, NAMESPACE, strategy="json")
    assert api.get(CONFIG_MAPS, "settings", NAMESPACE)["data"]["a"] == "3"


@pytest.mark.parametrize(
    "operation", [{"op": "remove", "path": "/data/z"}, {"op": "replace", "path": "/x/y", "value": 1}]
)
def test_json_patch_of_a_missing_path_is_invalid(api: KubeApi, operation: dict[str, Any]) -> None:
    api.create(CONFIG_MAPS, _config(a="1"), NAMESPACE)
    with pytest.raises(ApiError, match="missing path"):
        api.patch(CONFIG_MAPS, "settings", [operation], NAMESPACE, strategy="json")


def test_scheduled_pod_deletion_is_graceful_unless_forced(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.seed(bare_pod("web-0"), bare_pod("web-1"), namespace=NAMESPACE)
    api.delete(PODS, "web-0", NAMESPACE)
    api.delete(PODS, "web-1", NAMESPACE, grace_seconds=0)
    (left,) = api.list(PODS, NAMESPACE).items
    assert left["metadata"]["name"] == "web-0"
    assert left["metadata"]["deletionTimestamp"]
    assert left["metadata"]["deletionGracePeriodSeconds"] == 30


def test_finalizers_hold_an_object_back(api: KubeApi) -> None:
    item = _config()
    item["metadata"]["finalizers"] = ["example.com/hold"]
    api.create(CONFIG_MAPS, item, NAMESPACE)
    api.delete(CONFIG_MAPS, "settings", NAMESPACE)
    assert api.get(CONFIG_MAPS, "settings", NAMESPACE)["metadata"]["deletionTimestamp"]
    api.patch(CONFIG_MAPS, "settings", {"metadata": {"finalizers": None}}, NAMESPACE)
    assert api.find(CONFIG_MAPS, "settings", NAMESPACE) is None


def test_owned_objects_are_deleted_with_their_owner(world: World) -> None:
    world.api.delete(DEPLOYMENTS, "podinfo", NAMESPACE, propagation="Orphan")
    assert len(world.pods()) == 3
    for item in world.api.list(REPLICA_SETS, NAMESPACE).items:
        world.api.delete(REPLICA_SETS, item["metadata"]["name"], NAMESPACE)
    assert world.pods() == {}


def _budget(allowed: int) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "web"}}}
    status = {"disruptionsAllowed": allowed}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "two"}} | {
        "spec": spec,
        "status": status,
    }


def test_a_budget_is_spent_by_evictions_and_then_forbids_them(api: KubeApi, fake_cluster: FakeCluster) -> None:
    pods = [bare_pod(f"web-{number}", {"app": "web"}) for number in range(2)]
    fake_cluster.server.seed(*pods, bare_pod("db-0", {"app": "db"}), _budget(1), namespace=NAMESPACE)
    api.evict("web-0", NAMESPACE)
    with pytest.raises(ApiError, match=r"429 TooManyRequests.*disruption budget"):
        api.evict("web-1", NAMESPACE)
    api.evict("db-0", NAMESPACE)
    assert "deletionTimestamp" not in api.get(PODS, "web-1", NAMESPACE)["metadata"]
    assert fake_cluster.server.store.get(BUDGETS, NAMESPACE, "two")["status"] == {"disruptionsAllowed": 0}


def test_watch_delivers_every_change_in_order(api: KubeApi, fake_cluster: FakeCluster) -> None:
    version = api.list(PODS, NAMESPACE).resource_version
    fake_cluster.server.seed(bare_pod("web-0"), namespace=NAMESPACE)
    fake_cluster.server.seed(bare_pod("other"), namespace="elsewhere")
    api.delete(PODS, "web-0", NAMESPACE)
    api.delete(PODS, "web-0", NAMESPACE, grace_seconds=0)
    assert _follow(api, version, 3) == [("ADDED", "web-0"), ("MODIFIED", "web-0"), ("DELETED", "web-0")]


def test_selector_watch_sees_objects_enter_and_leave_by_label(api: KubeApi, fake_cluster: FakeCluster) -> None:
    version = api.list(PODS, NAMESPACE).resource_version
    fake_cluster.server.seed(bare_pod("web-0", {"tier": "no"}), namespace=NAMESPACE)
    for tier in ("yes", "no"):
        api.patch(PODS, "web-0", {"metadata": {"labels": {"tier": tier}}}, NAMESPACE)
    assert _follow(api, version, 2, "tier=yes") == [("ADDED", "web-0"), ("DELETED", "web-0")]


def test_watch_without_a_version_starts_with_existing_objects(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.seed(bare_pod("web-0"), namespace=NAMESPACE)
    assert _follow(api, "0", 1) == [("ADDED", "web-0")]


def test_an_open_watch_expires_when_the_history_is_compacted(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.seed(bare_pod("web-0"), namespace=NAMESPACE)
    watch = api.watch(PODS, NAMESPACE, "0")
    assert next(watch).type == "ADDED"
    fake_cluster.server.store.compact()
    with pytest.raises(ApiError, match="410 Expired"):
        next(watch)
    version = api.list(PODS, NAMESPACE).resource_version
    fake_cluster.server.seed(bare_pod("web-1"), namespace=NAMESPACE)
    assert _follow(api, version, 1) == [("ADDED", "web-1")]


def test_dropped_connections_end_open_watches_but_not_later_ones(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.seed(bare_pod("web-0"), namespace=NAMESPACE)
    watch = api.watch(PODS, NAMESPACE, "0")
    next(watch)
    fake_cluster.server.drop_connections()
    with pytest.raises(ApiError, match="ConnectionLost"):
        next(watch)
    assert _follow(api, "0", 1) == [("ADDED", "web-0")]


def test_a_watch_blocks_until_something_happens(api: KubeApi, fake_cluster: FakeCluster) -> None:
    version = api.list(PODS, NAMESPACE).resource_version
    seen: list[tuple[str, str]] = []
    thread = threading.Thread(target=lambda: seen.extend(_follow(api.clone(), version, 1)), daemon=True)
    thread.start()
    fake_cluster.server.seed(bare_pod("web-0"), namespace=NAMESPACE)
    thread.join(30)
    assert seen == [("ADDED", "web-0")]


def test_failures_follow_the_script_and_then_stop(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(403, "Forbidden", "not you", method="GET", path="/configmaps")
    api.create(CONFIG_MAPS, _config(), NAMESPACE)
    with pytest.raises(ApiError, match=r"403 Forbidden: GET .*: not you"):
        api.get(CONFIG_MAPS, "settings", NAMESPACE)
    api.get(CONFIG_MAPS, "settings", NAMESPACE)


def test_every_call_is_recorded_with_its_object(api: KubeApi, fake_cluster: FakeCluster) -> None:
    api.create(CONFIG_MAPS, _config(), NAMESPACE)
    api.list(CONFIG_MAPS)
    watch = api.watch(PODS, NAMESPACE, "0")
    fake_cluster.server.seed(bare_pod("web-0"), namespace=NAMESPACE)
    next(watch)
    api.exec(NAMESPACE, "web-0", ["true"])
    recorded = [(call.method, call.namespace, call.writes) for call in fake_cluster.server.calls[-4:]]
    assert recorded == [
        ("POST", NAMESPACE, True),
        ("GET", None, False),
        ("WATCH", NAMESPACE, False),
        ("EXEC", NAMESPACE, True),
    ]


def test_a_command_that_no_test_expected_fails(api: KubeApi) -> None:
    assert api.exec(NAMESPACE, "web-0", ["true"]).exit_code != 0


@pytest.mark.parametrize("path", ["/api/v1/gadgets", "/nowhere", "/api/v1/namespaces/shop/pods/x/exec/y"])
def test_unserved_resource_is_not_found(api: KubeApi, path: str) -> None:
    with pytest.raises(ApiError) as caught:
        api.raw(path)
    assert caught.value.not_found


class _Quarrelling:
    """Two of these never agree."""

    def __init__(self, value: str) -> None:
        self.value = value

    def react(self, store: Store, change: Change) -> None:
        if change.resource == CONFIG_MAPS and change.object["data"]["a"] != self.value:
            store.update(CONFIG_MAPS, NAMESPACE, "settings", lambda item: {**item, "data": {"a": self.value}})


def test_reactors_that_never_settle_are_reported(api: KubeApi, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.store.reactors += [_Quarrelling("x"), _Quarrelling("y")]
    with pytest.raises(RuntimeError, match="do not settle"):
        api.create(CONFIG_MAPS, _config(a="z"), NAMESPACE)


# The controllers.


def _status(world: World) -> dict[str, Any]:
    status = world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["status"]
    return {key: status[key] for key in ("replicas", "readyReplicas", "updatedReplicas")}


def _set_image(world: World, image: str) -> None:
    path = "/spec/template/spec/containers/0/image"
    patch = [{"op": "replace", "path": path, "value": image}]
    world.api.patch(DEPLOYMENTS, "podinfo", patch, NAMESPACE, strategy="json")


def test_a_lost_pod_is_replaced_by_one_with_a_new_uid(world: World) -> None:
    before = world.pods()
    name = min(before)
    world.api.delete(PODS, name, NAMESPACE)
    after = world.pods()
    assert len(after) == 3
    assert name not in after
    assert len(set(after.values()) - set(before.values())) == 1


@pytest.mark.parametrize("replicas", [0, 1, 5])
def test_scaling_makes_as_many_pods(world: World, replicas: int) -> None:
    world.api.patch(DEPLOYMENTS, "podinfo", {"spec": {"replicas": replicas}}, NAMESPACE)
    assert len(world.pods()) == replicas
    assert _status(world) == dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas"), replicas)


def test_a_good_rollout_replaces_every_pod(world: World) -> None:
    before = world.pods()
    _set_image(world, "podinfo:2")
    assert not set(before) & set(world.pods())
    assert _status(world) == {"replicas": 3, "readyReplicas": 3, "updatedReplicas": 3}


@pytest.mark.parametrize("trouble", ["missing", "crashing", "unready"])
def test_a_bad_rollout_halts_and_rolling_back_completes(world: World, trouble: str) -> None:
    before = world.pods()
    getattr(world.kubelet, trouble).add("podinfo:bad")
    _set_image(world, "podinfo:bad")
    assert set(before) <= set(world.pods())
    assert _status(world) == {"replicas": 4, "readyReplicas": 3, "updatedReplicas": 1}
    _set_image(world, "podinfo:1")
    assert _status(world) == {"replicas": 3, "readyReplicas": 3, "updatedReplicas": 3}
    assert world.pods() == before


def test_revisions_count_rollouts_and_rolling_back_is_one(world: World) -> None:
    _set_image(world, "podinfo:2")
    _set_image(world, "podinfo:1")
    sets = world.api.list(REPLICA_SETS, NAMESPACE).items
    revision = "deployment.kubernetes.io/revision"
    found = {item["spec"]["replicas"]: item["metadata"]["annotations"][revision] for item in sets}
    assert found == {0: "2", 3: "3"}
    assert world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["metadata"]["annotations"][revision] == "3"


@pytest.mark.parametrize(("surge", "unavailable"), [(1, 0), (0, 1), ("50%", "50%"), (2, 2)])
def test_a_rollout_never_leaves_its_bounds(world: World, surge: int | str, unavailable: int | str) -> None:
    bounds = {"maxSurge": surge, "maxUnavailable": unavailable}
    world.api.patch(DEPLOYMENTS, "podinfo", {"spec": {"strategy": {"rollingUpdate": bounds}}}, NAMESPACE)
    start = world.cluster.server.store.version
    _set_image(world, "podinfo:2")
    most = 3 + (2 if surge in {"50%", 2} else int(surge))
    least = 3 - (1 if unavailable in {"50%", 1} else int(unavailable))
    counts = _counts(world, start)
    assert max(total for total, _ in counts) <= most
    assert min(available for _, available in counts) >= least


def _counts(world: World, start: int) -> list[tuple[int, int]]:
    """(pods, ready pods), terminating ones left out, after every change of a pod since a version."""
    state: dict[str, bool | None] = {}
    counts = []
    for change in world.cluster.server.store.history:
        if change.resource != PODS:
            continue
        uid = change.object["metadata"]["uid"]
        gone = change.type == "DELETED" or "deletionTimestamp" in change.object["metadata"]
        conditions = change.object.get("status", {}).get("conditions", ())
        state[uid] = None if gone else any(item["status"] == "True" for item in conditions)
        if change.version > start:
            alive = [ready for ready in state.values() if ready is not None]
            counts.append((len(alive), sum(alive)))
    return counts
