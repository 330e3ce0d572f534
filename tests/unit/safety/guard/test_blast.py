"""The blast radius: over all faults of an experiment together, in pods, whatever is hit."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.fake.controllers import DeploymentController, Kubelet
from harness.cluster.kube.resources import PODS
from harness.model.timeline import Victim
from harness.safety.guard.blast import Strike, refusals, workload
from harness.safety.guard.policy import OPT_IN_LABEL, Policy
from harness.safety.guard.safety import Cap, Caps, Safety
from tests.fake_world import bare_pod, deployment, owner

SHOP = "shop"
NOW = 1_700_000_000.0
OPEN = Safety(last_replica="allowed", budgets="ignored")


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.server.store.reactors += [Kubelet(), DeploymentController()]
    labels = {"topology.kubernetes.io/zone": "zone-a"}
    for name in ("node-1", "node-2"):
        cluster.server.seed({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    cluster.server.seed(deployment("web", 3), deployment("cart", 2), namespace=SHOP)
    return cluster


def _pods(cluster: FakeCluster, app: str, count: int = 99, namespace: str = SHOP) -> tuple[Victim, ...]:
    found = cluster.server.store.list(PODS, namespace, f"app={app}")[:count]
    return tuple(Victim("Pod", pod["metadata"]["name"], pod["metadata"]["uid"]) for pod in found)


def _refused(
    cluster: FakeCluster, *strikes: Strike, policy: Policy | None = None, safety: Safety | None = None
) -> list[str]:
    return refusals(cluster.api, SHOP, strikes, policy or Policy(), safety or Safety(), now=NOW)


def _capped(**caps: Cap) -> Policy:
    return Policy(caps=Caps(**caps))  # type: ignore[arg-type]


def test_one_of_several_pods_may_be_hit(cluster: FakeCluster) -> None:
    assert _refused(cluster, Strike("podKill", _pods(cluster, "web", 2))) == []


def test_last_healthy_pod_is_spared_unless_permitted(cluster: FakeCluster) -> None:
    strike = Strike("podKill", _pods(cluster, "cart"))
    (text,) = _refused(cluster, strike)
    assert text == (
        "no healthy pod of shop/deployment/cart would be left (2 of 2 hit): "
        "to permit this, add `safety: {lastReplica: allowed}` at the top level of the experiment file (for a twin, in "
        'the twin), or call `experiment.safety(last_replica="allowed")` before the fault in a Python test'
    )
    assert _refused(cluster, strike, safety=Safety(last_replica="allowed")) == []


def test_metrics_of_the_cluster_are_spared_unless_permitted(cluster: FakeCluster) -> None:
    strike = Strike("metricsOutage", (Victim("APIService", "v1beta1.metrics.k8s.io", "1"),))
    (text,) = _refused(cluster, strike)
    assert text.startswith("every autoscaler of the cluster would lose v1beta1.metrics.k8s.io: to permit this, add ")
    assert "`safety: {metricsApi: allowed}`" in text
    assert _refused(cluster, strike, safety=Safety(metrics_api="allowed")) == []
    (text,) = _refused(cluster, strike, safety=Safety(metrics_api="allowed"), policy=Policy(metrics_api="spared"))
    assert text == "the guard does not allow an experiment to take metrics away from the cluster's autoscalers"


def test_two_faults_that_hit_half_each_hit_all(cluster: FakeCluster) -> None:
    """Each alone would be allowed."""
    first, second = _pods(cluster, "cart")
    assert _refused(cluster, Strike("podKill", (first,))) == _refused(cluster, Strike("podKill", (second,))) == []
    assert len(_refused(cluster, Strike("podKill", (first,)), Strike("processHang", (second,)))) == 1


def test_nodes_are_read_only_if_needed(cluster: FakeCluster) -> None:
    """Whoever may not list nodes may still hit pods, also where the guard has a limit for nodes."""
    strike = Strike("podKill", _pods(cluster, "web", 1))

    def listed() -> int:
        return sum(call.path == "/api/v1/nodes" for call in cluster.server.calls)

    _refused(cluster, strike, policy=_capped(nodes=Cap(count=1)))
    assert listed() == 0
    _refused(cluster, strike, policy=_capped(zone=Cap(count=1)))
    _refused(cluster, Strike("nodeStop", (Victim("Node", "node-1", "uid"),)))
    assert listed() == 2


def test_unhealthy_pods_do_not_count_as_remaining(cluster: FakeCluster) -> None:
    first, second = _pods(cluster, "cart")
    unready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    cluster.server.store.update(PODS, SHOP, second.name, lambda pod: {**pod, "status": unready}, "status")
    assert len(_refused(cluster, Strike("podKill", (first,)))) == 1


def test_a_pod_hit_by_two_faults_is_one(cluster: FakeCluster) -> None:
    strike = Strike("podKill", _pods(cluster, "web", 1))
    assert _refused(cluster, strike, strike, policy=_capped(workload=Cap(count=1))) == []


@pytest.mark.parametrize(
    ("caps", "told"),
    [
        ({"workload": Cap(count=1)}, "2 of 3 pods of shop/deployment/web would be hit, and the guard allows 1"),
        ({"workload": Cap(share=0.5)}, "2 of 3 pods of shop/deployment/web would be hit, and the guard allows 50%"),
        ({"namespace": Cap(share=0.2)}, "2 of 5 pods of namespace shop would be hit, and the guard allows 20%"),
        ({"zone": Cap(count=1)}, "2 of 5 pods in zone zone-a would be hit, and the guard allows 1"),
        ({"cluster": Cap(count=1)}, "2 of 5 pods of the cluster would be hit, and the guard allows 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_caps_at_every_level(cluster: FakeCluster, caps: dict[str, Cap], told: str) -> None:
    strike = Strike("podKill", _pods(cluster, "web", 2))
    assert _refused(cluster, strike, policy=_capped(**caps)) == [told]
    assert _refused(cluster, strike, policy=_capped(**dict.fromkeys(caps, Cap(count=2)))) == []


def test_experiment_limits_only_tighten_the_guard(cluster: FakeCluster) -> None:
    strike = Strike("podKill", _pods(cluster, "web", 2))
    own = Safety(caps=Caps(workload=Cap(count=1)))
    (text,) = _refused(cluster, strike, safety=own)
    assert text.endswith("and the experiment allows 1")
    wide = Safety(caps=Caps(workload=Cap(count=3)))
    assert len(_refused(cluster, strike, policy=_capped(workload=Cap(count=1)), safety=wide)) == 1


def test_all_refusals_are_listed_at_once(cluster: FakeCluster) -> None:
    policy = Policy(caps=Caps(workload=Cap(count=1), cluster=Cap(count=1)), protected=[SHOP])
    assert len(_refused(cluster, Strike("podKill", _pods(cluster, "cart")), policy=policy)) == 4


def _budget(allowed: int, selector: dict[str, Any] | None, name: str = "web", **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed, "observedGeneration": 1, **status},
    }


@pytest.mark.parametrize(
    "selector",
    [{"matchLabels": {"app": "web"}}, {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, {}],
    ids=["labels", "expressions", "empty"],
)
def test_disruption_budgets_are_respected_unless_openly_ignored(cluster: FakeCluster, selector: dict[str, Any]) -> None:
    cluster.server.seed(_budget(1, selector), namespace=SHOP)
    strike = Strike("podKill", _pods(cluster, "web", 2))
    (text,) = _refused(cluster, strike)
    assert text.startswith("2 pods would be hit and poddisruptionbudget/web in shop allows 1")
    assert _refused(cluster, strike, safety=Safety(budgets="ignored")) == []
    assert _refused(cluster, Strike("podKill", _pods(cluster, "web", 1))) == []
    asking = Strike("podEvict", strike.victims, obeys_budgets=True)
    assert _refused(cluster, asking) == [], "the API server asks the budget itself"


def test_pod_both_evicted_and_killed_counts_against_the_budget(cluster: FakeCluster) -> None:
    cluster.server.seed(_budget(1, {"matchLabels": {"app": "web"}}), namespace=SHOP)
    victims = _pods(cluster, "web", 2)
    asking, killing = Strike("podEvict", victims, obeys_budgets=True), Strike("podKill", victims)
    for strikes in ((asking, killing), (killing, asking)):
        (text,) = _refused(cluster, *strikes)
        assert text.startswith("2 pods would be hit and poddisruptionbudget/web in shop allows 1")


@pytest.mark.parametrize("absent", [True, False], ids=["absent", "null"])
def test_budget_with_null_selector_covers_no_pod(cluster: FakeCluster, absent: bool) -> None:
    budget = _budget(0, None)
    if absent:
        del budget["spec"]["selector"]
    cluster.server.seed(budget, namespace=SHOP)
    assert _refused(cluster, Strike("podKill", _pods(cluster, "web", 1))) == []
    evicted = _pods(cluster, "web", 1)
    cluster.api.evict(evicted[0].name, SHOP, uid=evicted[0].uid)


def test_budget_with_stale_status_allows_nothing(cluster: FakeCluster) -> None:
    cluster.server.seed(_budget(2, {"matchLabels": {"app": "web"}}, observedGeneration=0), namespace=SHOP)
    (text,) = _refused(cluster, Strike("podKill", _pods(cluster, "web", 1)))
    assert "web in shop allows 0 (its status is not current: observedGeneration is 0, generation is 1)" in text


def test_budget_whose_controller_fails_allows_nothing(cluster: FakeCluster) -> None:
    failed = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale"}
    cluster.server.seed(_budget(2, {}, conditions=[failed]), namespace=SHOP)
    (text,) = _refused(cluster, Strike("podKill", _pods(cluster, "web", 1)))
    assert "allows 0 (its controller cannot compute it: no scale)" in text


@pytest.mark.parametrize(
    ("policy", "healthy", "refused"),
    [(None, 2, False), ("IfHealthyBudget", 1, True), ("AlwaysAllow", 1, False)],
)
def test_unready_pods_count_as_in_the_eviction_api(
    cluster: FakeCluster, policy: str | None, healthy: int, refused: bool
) -> None:
    (pod,) = _pods(cluster, "web", 1)
    unready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    cluster.server.store.update(PODS, SHOP, pod.name, lambda found: {**found, "status": unready}, "status")
    budget = _budget(0, {"matchLabels": {"app": "web"}}, currentHealthy=healthy, desiredHealthy=2)
    budget["spec"]["unhealthyPodEvictionPolicy"] = policy
    cluster.server.seed(budget, namespace=SHOP)
    assert bool(_refused(cluster, Strike("podKill", (pod,)))) is refused


@pytest.mark.parametrize("safety", [Safety(), Safety(budgets="ignored")])
def test_two_budgets_on_an_evicted_pod_are_both_named(cluster: FakeCluster, safety: Safety) -> None:
    cluster.server.seed(_budget(2, {}, "all"), _budget(2, {"matchLabels": {"app": "web"}}), namespace=SHOP)
    evicted = _pods(cluster, "web", 1)
    (text,) = _refused(cluster, Strike("podEvict", evicted, obeys_budgets=True), safety=safety)
    assert text.startswith(f"pod/{evicted[0].name} in shop cannot be evicted: ")
    assert "poddisruptionbudget/all and poddisruptionbudget/web both cover it" in text
    assert _refused(cluster, Strike("podKill", evicted), safety=safety) == [], "deleting asks no budget"


def test_budget_of_other_pods_does_not_matter(cluster: FakeCluster) -> None:
    cluster.server.seed(_budget(0, {"matchLabels": {"app": "cart"}}), namespace=SHOP)
    assert _refused(cluster, Strike("podKill", _pods(cluster, "web", 2))) == []


def test_a_workload_that_is_scaled_down_loses_pods_too(cluster: FakeCluster) -> None:
    victim = Victim("Deployment", "cart", "uid")
    assert len(_refused(cluster, Strike("scale", (victim,), {victim: 2}))) == 1
    assert _refused(cluster, Strike("scale", (victim,), {victim: 1})) == []
    assert _refused(cluster, Strike("badRollout", (victim,), {victim: 0})) == []


def _leave(cluster: FakeCluster, name: str) -> None:
    """A pod that takes its time to go."""

    def going(pod: dict[str, Any]) -> dict[str, Any]:
        return {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": "2026-11-23T10:00:00Z"}}

    # The kubelet would end it at once, and the controller replace it.
    cluster.server.store.reactors.clear()
    cluster.server.store.update(PODS, SHOP, name, going)


def test_scaling_down_during_a_rollout_hits_serving_pods(cluster: FakeCluster) -> None:
    """There are more pods than replicas then: which of them would go is not for the order of a list to say."""
    scaled = Victim("Deployment", "web", "uid")
    surge = _pods(cluster, "web", 1)[0].name
    unready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    cluster.server.store.update(PODS, SHOP, surge, lambda pod: {**pod, "status": unready}, "status")
    assert len(_refused(cluster, Strike("scale", (scaled,), {scaled: 2}))) == 1


def test_terminating_pods_do_not_count_as_scaled_down(cluster: FakeCluster) -> None:
    first, _ = _pods(cluster, "cart")
    _leave(cluster, first.name)
    scaled = Victim("Deployment", "cart", "uid")
    assert len(_refused(cluster, Strike("scale", (scaled,), {scaled: 1}))) == 1


def test_caps_are_shares_of_non_terminating_pods(cluster: FakeCluster) -> None:
    leaving, hit, _ = _pods(cluster, "web")
    _leave(cluster, leaving.name)
    (text,) = _refused(cluster, Strike("podKill", (hit,)), policy=_capped(workload=Cap(share=0.4)))
    assert text.startswith("1 of 2 pods of shop/deployment/web would be hit")


def test_a_node_takes_all_its_pods_with_it(cluster: FakeCluster) -> None:
    node = Strike("nodeStop", (Victim("Node", "node-1", "n1"),))
    assert len(_refused(cluster, node)) == 2, "neither web nor cart has a pod on another node"
    (text,) = _refused(cluster, node, policy=_capped(nodes=Cap(share=0.4)), safety=OPEN)
    assert text == "1 of 2 nodes would be hit, and the guard allows 40%"
    assert _refused(cluster, Strike("nodeStop", (Victim("Node", "node-2", "n2"),))) == []


def _foreign(cluster: FakeCluster, kind: str = "ReplicaSet", **labels: str) -> None:
    cluster.server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other", "labels": labels}})
    pod = bare_pod("theirs", ownerReferences=owner(kind))
    cluster.server.seed(pod, namespace="other")


def test_foreign_pods_on_a_node_must_have_opted_in(cluster: FakeCluster) -> None:
    _foreign(cluster)
    node = Strike("nodeStop", (Victim("Node", "node-1", "n1"),))
    (text,) = _refused(cluster, node, policy=Policy(opt_in=True), safety=OPEN)
    assert text == f"pods of namespace other would be hit, which does not have the label {OPT_IN_LABEL}=true"
    assert _refused(cluster, node, policy=Policy(), safety=OPEN) == []


def test_opted_in_foreign_pods_may_be_hit_unless_protected(cluster: FakeCluster) -> None:
    _foreign(cluster, **{OPT_IN_LABEL: "true"})
    node = Strike("nodeStop", (Victim("Node", "node-1", "n1"),))
    assert _refused(cluster, node, policy=Policy(opt_in=True), safety=OPEN) == []
    assert _refused(cluster, node, policy=Policy(opt_in=True, protected=["oth*"]), safety=OPEN) == [
        "namespace other is protected by the guard"
    ]


def test_node_bound_pods_do_not_count(cluster: FakeCluster) -> None:
    _foreign(cluster, "DaemonSet")
    node = Strike("nodeStop", (Victim("Node", "node-1", "n1"),))
    assert _refused(cluster, node, policy=Policy(opt_in=True), safety=OPEN) == []


def test_finished_and_mirror_pods_do_not_count(cluster: FakeCluster) -> None:
    cluster.server.seed(
        bare_pod("done", phase="Succeeded", ownerReferences=owner("Job")),
        bare_pod("mirror", ownerReferences=owner("Node")),
        namespace=SHOP,
    )
    strike = Strike("podKill", _pods(cluster, "web", 1))
    assert _refused(cluster, strike, policy=_capped(namespace=Cap(share=0.2))) == [], "1 of 5"


def test_deployment_revisions_are_not_separate_workloads(cluster: FakeCluster) -> None:
    names = {workload(pod) for pod in cluster.server.store.list(PODS, SHOP)}
    assert names == {"shop/deployment/web", "shop/deployment/cart"}
    assert workload(bare_pod("alone", namespace=SHOP)) is None
