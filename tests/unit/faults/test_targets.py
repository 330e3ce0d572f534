"""Choosing what to hit: selectors, counts, `where`, and the seeded choice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import ExecResult
from harness.common.clock import FakeClock
from harness.common.errors import ApiError, ClusterRefused, Inconclusive
from harness.faults.targets import PodTarget, WorkloadTarget
from tests.fake_world import NAMESPACE, World, bare_pod, deployment, machine, owner

LABELS = {"app": "web"}


def _choose(cluster: FakeCluster, seed: int = 1, **fields: Any) -> list[str]:
    target = PodTarget(**{"selector": "app=web", **fields})
    return [pod["metadata"]["name"] for pod in target.choose_pods(cluster.api, NAMESPACE, random.Random(seed))]


@pytest.fixture
def web(fake_cluster: FakeCluster) -> FakeCluster:
    """Five running pods web-0 … web-4, a pending one, a finished one, one of another app and one elsewhere."""
    pods = [bare_pod(f"web-{number}", LABELS, ownerReferences=owner()) for number in range(5)]
    pods += [bare_pod("web-pending", LABELS, "Pending"), bare_pod("web-done", LABELS, "Succeeded")]
    fake_cluster.server.seed(*pods, bare_pod("db-0", {"app": "db"}), namespace=NAMESPACE)
    fake_cluster.server.seed(bare_pod("web-9", LABELS, ownerReferences=owner()), namespace="elsewhere")
    return fake_cluster


@pytest.mark.parametrize("selector", ["app=web", "app=", "app==web,tier!=db", "app in (web, api)", "!canary", "app"])
def test_selectors_that_kubernetes_takes_are_taken(selector: str) -> None:
    assert PodTarget(selector=selector).selector == selector


@pytest.mark.parametrize("selector", ["", "  ", "=web", "app=web,", "app web", "app in web", "app=a b", "-x=1"])
def test_other_selectors_are_refused_with_an_example(selector: str) -> None:
    with pytest.raises(ValidationError, match="expected"):
        PodTarget(selector=selector)


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "0%", "101%", "5", "half", "50.5%", None])
def test_invalid_counts_are_refused(count: object) -> None:
    with pytest.raises(ValidationError, match="expected a whole number from 1, a percentage such as 50%, or all"):
        PodTarget.model_validate({"selector": "app=web", "count": count})


def test_one_pod_is_chosen_by_default(web: FakeCluster) -> None:
    assert len(_choose(web)) == 1


def test_only_matching_running_pods_of_the_namespace_are_chosen(web: FakeCluster) -> None:
    assert _choose(web, count="all") == [f"web-{number}" for number in range(5)]


@pytest.mark.parametrize(("policy", "exit_code", "chosen"), [("Never", 1, 4), ("OnFailure", 0, 4), ("OnFailure", 1, 5)])
def test_pod_whose_containers_ended_is_no_candidate(web: FakeCluster, policy: str, exit_code: int, chosen: int) -> None:
    """Its phase says Running until the kubelet has reported the end."""
    ended = [{"name": "main", "state": {"terminated": {"exitCode": exit_code}}}]
    status = {"phase": "Running", "containerStatuses": ended}
    web.server.store.update(
        PODS, NAMESPACE, "web-2", lambda pod: {**pod, "spec": {**pod["spec"], "restartPolicy": policy}}
    )
    web.server.store.update(PODS, NAMESPACE, "web-2", lambda pod: {**pod, "status": status}, "status")
    assert len(_choose(web, count="all")) == chosen


def test_a_pod_that_is_being_deleted_is_no_candidate(web: FakeCluster) -> None:
    web.api.delete(PODS, "web-2", NAMESPACE)
    assert "web-2" not in _choose(web, count="all")


@pytest.mark.parametrize(("count", "number"), [(2, 2), ("all", 5), ("1%", 1), ("40%", 2), ("41%", 3), ("100%", 5)])
def test_requested_number_is_chosen_and_percentages_round_up(web: FakeCluster, count: object, number: int) -> None:
    assert len(_choose(web, count=count)) == number


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(), order=st.permutations(range(8)), count=st.integers(1, 8))
def test_choice_depends_only_on_names_and_seed(seed: int, order: list[int], count: int) -> None:
    def chosen(numbers: Sequence[int]) -> list[str]:
        cluster = FakeCluster()
        pods = [bare_pod(f"web-{number}", LABELS, ownerReferences=owner()) for number in numbers]
        cluster.server.seed(*pods, namespace=NAMESPACE)
        return _choose(cluster, seed, count=count)

    assert chosen(order) == chosen(range(8))


def test_every_pod_is_chosen_by_some_seed(web: FakeCluster) -> None:
    assert {_choose(web, seed)[0] for seed in range(60)} == {f"web-{number}" for number in range(5)}


def test_empty_selection_is_reported(web: FakeCluster) -> None:
    with pytest.raises(Inconclusive, match="1 wanted, 0 found: no pod matches app=nobody in namespace shop"):
        _choose(web, selector="app=nobody")


@pytest.mark.parametrize("count", [1, "all", "50%"])
def test_pods_that_do_not_run_are_no_candidates(fake_cluster: FakeCluster, count: object) -> None:
    fake_cluster.server.seed(bare_pod("web-0", LABELS, "Pending"), namespace=NAMESPACE)
    with pytest.raises(Inconclusive, match=r"matches 1, of which 0 are running \(web-0 is Pending\)"):
        _choose(fake_cluster, count=count)


def test_too_few_matches_are_inconclusive_and_listed(web: FakeCluster) -> None:
    with pytest.raises(Inconclusive, match="6 wanted, 5 found: app=web matches 7, of which 5 are running"):
        _choose(web, count=6)


def _leader(*names: str) -> Any:
    def answer(namespace: str, pod: str, container: str | None, command: Sequence[str]) -> ExecResult:
        return ExecResult("", "", 0 if pod in names else 1)

    return answer


def test_where_finds_the_leader(web: FakeCluster) -> None:
    web.server.exec = _leader("web-3")
    assert _choose(web, where=["sh", "-c", "am-i-the-leader"]) == ["web-3"]


def test_where_runs_in_every_running_candidate_only(web: FakeCluster) -> None:
    web.server.exec = _leader("web-3")
    _choose(web, where=["leader"])
    asked = [call.path.split("/")[-2] for call in web.server.calls if call.method == "EXEC"]
    assert asked == [f"web-{number}" for number in range(5)]


def test_missing_leader_is_inconclusive(web: FakeCluster) -> None:
    web.server.exec = _leader()
    with pytest.raises(Inconclusive, match=r"5 are running .* and 0 meet `where`"):
        _choose(web, where=["leader"])


def test_failing_where_command_is_inconclusive(web: FakeCluster) -> None:
    web.server.exec = _leader("web-0")
    web.server.fail_next(500, "ExecFailed", "no such file", method="EXEC", path="web-4")
    with pytest.raises(Inconclusive, match=r"`where` could not be run in pod web-4: .*no such file"):
        _choose(web, where=["leader"])


def test_unknown_container_is_reported_with_the_existing_ones(web: FakeCluster) -> None:
    with pytest.raises(Inconclusive, match="pod web-0 has no container sidecar, only main"):
        _choose(web, where=["leader"], container="sidecar")


def test_an_empty_where_is_refused() -> None:
    with pytest.raises(ValidationError):
        PodTarget(selector="app=web", where=[])


def test_pod_without_a_replacing_controller_is_refused(fake_cluster: FakeCluster) -> None:
    fake_cluster.server.seed(bare_pod("web-0", LABELS), namespace=NAMESPACE)
    with pytest.raises(ClusterRefused, match="no controller"):
        _choose(fake_cluster)


def test_an_api_error_is_passed_on(web: FakeCluster) -> None:
    web.server.fail_next(403, "Forbidden", path="/pods")
    with pytest.raises(ApiError, match="Forbidden"):
        _choose(web)


SHOP, CART = "statefulset/shop", "deployment/cart"
AGED = {
    "old-0": ("n1", SHOP),
    "old-1": ("n2", SHOP),
    "mid-0": ("n3", SHOP),
    "mid-1": ("n1", CART),
    "new-0": ("n3", CART),
    "new-1": ("n3", CART),
}


@pytest.fixture
def aged() -> FakeCluster:
    """The pods above, each created 10 s after the one before, and 10 s ago the last; n3 is in another zone."""
    clock = FakeClock()
    cluster = FakeCluster(clock)
    cluster.server.seed(machine("n1", "a"), machine("n2", "a"), machine("n3", "b"))
    for name, (node, of) in AGED.items():
        hashed = {"pod-template-hash": "6f"} if of == CART else {}
        owners = owner("ReplicaSet", "cart-6f", "cart") if of == CART else owner("StatefulSet", "shop")
        pod = bare_pod(name, {**LABELS, **hashed}, ownerReferences=owners)
        pod["spec"]["nodeName"] = node
        cluster.server.seed(pod, namespace=NAMESPACE)
        clock.sleep(10.0)
    return cluster


def _aged(cluster: FakeCluster, seed: int = 1, **fields: Any) -> list[str]:
    target = PodTarget(**fields)
    pods = target.choose_pods(cluster.api, NAMESPACE, random.Random(seed), cluster.clock.wall())
    return [pod["metadata"]["name"] for pod in pods]


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ({"selector": "*", "count": "all"}, sorted(AGED)),
        ({"selector": "app=web", "pick": "oldest", "count": 2}, ["old-0", "old-1"]),
        ({"selector": "app=web", "pick": "newest", "count": "50%"}, ["mid-1", "new-0", "new-1"]),
        ({"selector": "app=web", "older_than": "35s", "count": "all"}, ["mid-0", "old-0", "old-1"]),
        ({"owner": SHOP, "count": "all"}, ["mid-0", "old-0", "old-1"]),
        ({"owner": CART, "selector": "app=web", "pick": "oldest"}, ["mid-1"]),
        ({"selector": "app=web", "node": "n1", "count": "all"}, ["mid-1", "old-0"]),
        ({"selector": "app=web", "zone": "b", "count": "all"}, ["mid-0", "new-0", "new-1"]),
        ({"owner": SHOP, "zone": "a", "count": "all"}, ["old-0", "old-1"]),
        ({"owner": SHOP, "zone": "a", "node": "n2"}, ["old-1"]),
    ],
)
def test_pods_are_chosen_by_age_owner_and_place(aged: FakeCluster, fields: dict[str, Any], chosen: list[str]) -> None:
    assert _aged(aged, **fields) == chosen


@pytest.mark.parametrize(
    ("fields", "groups"),
    [
        ({"zone": "any"}, {("mid-1", "old-0", "old-1"), ("mid-0", "new-0", "new-1")}),
        ({"node": "any"}, {("mid-1", "old-0"), ("old-1",), ("mid-0", "new-0", "new-1")}),
    ],
)
def test_any_place_is_drawn_among_those_with_a_candidate(
    aged: FakeCluster, fields: dict[str, Any], groups: set[tuple[str, ...]]
) -> None:
    assert {tuple(_aged(aged, seed, selector="*", count="all", **fields)) for seed in range(40)} == groups


def test_pods_of_one_second_are_drawn(fake_cluster: FakeCluster) -> None:
    pods = [bare_pod(f"web-{number}", LABELS, ownerReferences=owner()) for number in range(5)]
    fake_cluster.server.seed(*pods, namespace=NAMESPACE)
    assert len({_choose(fake_cluster, seed, pick="oldest")[0] for seed in range(60)}) == 5


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({"older_than": "5m"}, "older than 5 min"),
        ({"owner": "job/x"}, "of job/x"),
        ({"zone": "c"}, "in zone c"),
        ({"node": "n9"}, "on node n9"),
    ],
)
def test_limits_that_no_pod_meets_are_named(aged: FakeCluster, fields: dict[str, Any], limits: str) -> None:
    with pytest.raises(Inconclusive, match=rf"1 wanted, 0 found: .*of these must be {limits}"):
        _aged(aged, selector="*", **fields)


def test_selector_or_owner_is_needed() -> None:
    with pytest.raises(ValidationError, match=r"found neither selector nor owner, expected one; selector: '\*' means"):
        PodTarget()
    assert PodTarget(owner=SHOP).selectors == ()
    assert PodTarget.model_validate(PodTarget(selector="*").model_dump()).selectors == ("",)


@pytest.mark.parametrize("of", ["shop", "pod/shop", "deployment/Shop"])
def test_owner_is_a_workload(of: str) -> None:
    with pytest.raises(ValidationError):
        PodTarget(owner=of)


def test_nodes_are_read_only_for_a_zone() -> None:
    with_zone, without = PodTarget(selector="*", zone="a"), PodTarget(selector="*", node="n1")
    found = with_zone.target_permissions - without.target_permissions
    assert {(permission.resource, permission.verb) for permission in found} == {("nodes", "list")}


@pytest.mark.parametrize("of", ["deployment/shop", "statefulset/db", "daemonset/agent", "deployment/a.b-c"])
def test_workloads_are_named_by_kind_and_name(of: str) -> None:
    target = WorkloadTarget(of=of)
    assert f"{target.resource.kind.lower()}/{target.name}" == of


@pytest.mark.parametrize(
    "of", ["shop", "pod/shop", "deployment/", "deployment/Shop", "Deployment/shop", "deployment/a/b", ""]
)
def test_target_without_a_workload_is_refused_with_the_format(of: str) -> None:
    with pytest.raises(ValidationError, match="expected deployment/<name> or"):
        WorkloadTarget(of=of)


def test_a_workload_is_found(world: World) -> None:
    found = WorkloadTarget(of="deployment/podinfo").find_workload(world.api, NAMESPACE)
    assert found["spec"]["replicas"] == deployment()["spec"]["replicas"]


def test_a_missing_workload_is_inconclusive(world: World) -> None:
    with pytest.raises(Inconclusive, match="no statefulset/podinfo in namespace shop"):
        WorkloadTarget(of="statefulset/podinfo").find_workload(world.api, NAMESPACE)
