"""Each rule finds its cause in what was recorded, gives the change, and stays silent about a sound workload."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.advice.adviser import SHOWN, advise, all_rules
from harness.advice.rule import Advice, Strength
from harness.cluster.kube.client import Object
from harness.experiment.declaration import Experiment
from harness.experiment.manifests import Workload
from harness.faults.bad_rollout import BadRollout
from harness.faults.base import Fault
from harness.faults.drain import Drain
from harness.faults.node_stop import NodeStop
from harness.faults.pod_kill import PodKill
from harness.faults.pod_request import PodRequest
from harness.faults.process_hang import ProcessHang
from harness.judging.judge import Judged
from harness.model.finding import Finding
from harness.model.timeline import Victim
from harness.model.verdict import Verdict
from harness.objectives.base import Objective
from tests.unit.timelines import PODINFO, Story

PROBE = {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1}
LABELS = {"app": "podinfo"}
KILL = PodKill(selector="app=podinfo")
BAD = BadRollout(of=PODINFO, image="podinfo:bad")
HANG = ProcessHang(selector="app=podinfo", process="podinfo")
SWITCH = PodRequest(selector="app=podinfo", request={"path": "/x", "port": 8080}, undo="none")
DRAIN = Drain(hosting="app=podinfo")
STOP = NodeStop(hosting="app=podinfo")


def shop(**changes: Any) -> dict[str, Any]:
    """Return a container that lacks nothing; a change to None removes the field."""
    whole: dict[str, Any] = {
        "name": "app",
        "image": "podinfo:1",
        "ports": [{"name": "http", "containerPort": 9898}],
        "readinessProbe": PROBE,
        "livenessProbe": PROBE,
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
        "resources": {"requests": {"cpu": "50m"}},
    }
    return {key: value for key, value in {**whole, **changes}.items() if value is not None}


def workload(container: dict[str, Any], pod: dict[str, Any] | None = None, **spec: Any) -> list[Object]:
    """Return a Deployment of three replicas behind a Service, with a budget."""
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container], **(pod or {})}}
    shape = {"replicas": 3, "selector": {"matchLabels": LABELS}, "template": template, **spec}
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}}
    return [
        {"kind": "Deployment", "metadata": {"name": "podinfo"}, "spec": shape},
        {"kind": "Service", "metadata": {"name": "podinfo"}, "spec": {"selector": LABELS}},
        {"kind": "PodDisruptionBudget", "metadata": {"name": "podinfo"}, "spec": budget},
    ]


def ranked(
    objects: list[Object], fault: Fault, story: Story, *missed: str, about: str = "held", **fields: Any
) -> list[tuple[str, Advice]]:
    """Return rule and advice for an experiment that missed objectives of these kinds, in their order."""
    numbers = {"limit": 15.0, "unit": "s", "comparison": ">=", **fields}
    finding = Finding(verdict=Verdict.BROKEN, reason="missed", **numbers)
    objectives = [cast(Objective, SimpleNamespace(kind=kind, title=f"{kind} {about}")) for kind in missed]
    findings: Judged = [(objective, finding) for objective in objectives]
    made = Workload(Path(), tuple(objects), ())
    experiment = Experiment("x", "it holds", made, (), Path("x.yaml"), faults=(fault,))
    return [(rule.name, advice) for rule, advice in advise(experiment, story.timeline, findings)]


def found(*arguments: Any, **more: Any) -> dict[str, Advice]:
    """Return the same by rule; of several of one rule the least supported."""
    return dict(ranked(*arguments, **more))


def changed(advice: Advice) -> dict[str, Any]:
    """Return the fields of the container that the change sets."""
    container: dict[str, Any] = advice.patch[PODINFO]["spec"]["template"]["spec"]["containers"][0]
    return {key: value for key, value in container.items() if key != "name"}


def killed() -> Story:
    """Pod a is killed at 10 s; its requests are refused until 12 s."""
    story = Story().replicas_ready("a", "b", "c").injected(10.0, ("podinfo-a", "a"))
    story.pod(10.1, "podinfo-a", "a", deleting=True).gone(11.0, "podinfo-a", "a")
    return story.requests(0, 30, failing=(10.2, 12.0))


def rolled() -> Story:
    """A rollout of podinfo from 10 s on; pod d is of the new revision."""
    story = Story().replicas_ready("a", "b", "c").struck(Victim("Deployment", "podinfo", "u"))
    return story.pod(11.0, "podinfo-d", "d", event="ADDED").requests(0, 30, failing=(11.0, 20.0))


def lost_node() -> Story:
    """Both pods are on the node that is lost."""
    return Story().replicas_ready("a", "b").struck(Victim("Node", "node-1", "n"))


def test_sound_workload_gets_no_advice() -> None:
    assert found(workload(shop()), KILL, killed(), "availability", "recoveryTime") == {}


def test_nothing_missed_needs_no_advice() -> None:
    assert found(workload(shop(readinessProbe=None), replicas=1), KILL, killed()) == {}


def test_missing_readiness_probe_of_a_bad_rollout() -> None:
    advice = found(workload(shop(readinessProbe=None)), BAD, rolled(), "availability")["no-readiness-probe"]
    assert advice.strength is Strength.OBSERVED
    assert advice.cause.startswith("deployment/podinfo has no readiness probe")
    assert advice.evidence == "180 requests failed (180 refused)"
    assert advice.explains == ("availability held",)
    assert changed(advice) == {"readinessProbe": {"httpGet": PROBE["httpGet"], "periodSeconds": 1}}


def test_probe_of_a_container_without_any_is_a_connection() -> None:
    bare = shop(readinessProbe=None, livenessProbe=None)
    advice = found(workload(bare), BAD, rolled(), "availability")["no-readiness-probe"]
    assert changed(advice)["readinessProbe"]["tcpSocket"] == {"port": "http"}


@pytest.mark.parametrize(("low", "strength"), [(21.0, Strength.OBSERVED), (5.0, Strength.LIKELY)])
def test_initial_delay_explains_a_recovery_that_took_as_long(low: float, strength: Strength) -> None:
    slow = shop(readinessProbe={**PROBE, "initialDelaySeconds": 20})
    advice = found(workload(slow), KILL, killed(), "recoveryTime", low=low)["slow-to-ready"]
    assert advice.strength is strength
    assert advice.evidence == f"initialDelaySeconds is 20; the recovery took at least {low:g} s"


def test_single_replica_that_was_killed() -> None:
    story = Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a"))
    story.pod(10.1, "podinfo-a", "a", deleting=True).requests(0, 30, failing=(10.0, 12.0))
    advice = found(workload(shop(), replicas=1), KILL, story, "availability")["one-replica"]
    assert (advice.strength, advice.patch) == (Strength.OBSERVED, {PODINFO: {"spec": {"replicas": 2}}})


def test_hanging_container_without_liveness_probe() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.pod(12.0, "podinfo-a", "a", ready=False)
    advice = found(workload(shop(livenessProbe=None)), HANG, story, "restarts")["no-liveness-probe"]
    assert advice.evidence == "no container of pod podinfo-a was restarted after the fault"


def test_container_that_was_restarted_lacks_no_liveness_probe() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.pod(12.0, "podinfo-a", "a", container="c2", restarts=1)
    assert "no-liveness-probe" not in found(workload(shop(livenessProbe=None)), HANG, story, "restarts")


def test_missing_budget_of_a_drain() -> None:
    story = lost_node()
    for pod in "ab":
        story.pod(10.5, f"podinfo-{pod}", pod, deleting=True)
    advice = found(workload(shop())[:2], DRAIN, story, "invariant")["no-disruption-budget"]
    assert advice.evidence == "evicted together: podinfo-a, podinfo-b"
    assert advice.patch["pdb/podinfo"]["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}}
    assert "no-disruption-budget" not in found(workload(shop()), DRAIN, story, "invariant")


def test_requests_that_fail_at_the_end_of_a_pod() -> None:
    advice = found(workload(shop(lifecycle=None)), KILL, killed(), "availability")["abrupt-end"]
    assert advice.cause.startswith("container app of deployment/podinfo has no preStop hook")
    assert advice.evidence == "36 requests failed (36 refused) within 5 s after a pod was told to end"
    gone = found(workload(shop(), {"terminationGracePeriodSeconds": 0}), KILL, killed(), "availability")["abrupt-end"]
    assert gone.strength is Strength.OBSERVED


def test_failures_far_from_the_end_of_any_pod_have_another_cause() -> None:
    story = Story().replicas_ready("a", "b", "c").injected(10.0, ("podinfo-a", "a"))
    story.pod(10.1, "podinfo-a", "a", deleting=True).requests(0, 50, failing=(25.0, 40.0))
    assert "abrupt-end" not in found(workload(shop(lifecycle=None)), KILL, story, "availability")


def test_pods_that_are_bound_to_a_lost_node() -> None:
    advice = found(workload(shop(), {"nodeSelector": {"zone": "a"}}), STOP, lost_node(), "availability")
    assert advice["bound-to-nodes"].patch[PODINFO]["spec"]["template"]["spec"] == {"nodeSelector": None}
    assert advice["slow-eviction"].cause.endswith("stay bound to a lost node for 300 s before they are replaced")
    together = found(workload(shop()), STOP, lost_node(), "availability")["bound-to-nodes"]
    assert (together.strength, together.evidence) == (Strength.OBSERVED, "all its pods ran on node-1")


@pytest.mark.parametrize(("number", "named"), [(0, True), (1, False)])
def test_pods_of_a_service_that_must_run_beside_others(number: int, named: bool) -> None:
    near = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "kubernetes.io/hostname"}]}
    objects = workload(shop(), {"affinity": {"podAffinity": near}})
    # Without its Service it is a job, which may depend on the node of another one.
    del objects[1 : 1 + number]
    advice = found(objects, STOP, lost_node(), "availability")["bound-to-nodes"]
    assert (advice.cause == f"the pods of {PODINFO} may run in one place only, and are lost with it") is named
    if named:
        assert advice.patch[PODINFO]["spec"]["template"]["spec"] == {"affinity": {"podAffinity": None}}


def test_spread_pods_with_short_tolerations_get_no_advice() -> None:
    story = Story().replicas_ready("a").pod(1.0, "podinfo-b", "b", node="node-2")
    story.struck(Victim("Node", "node-1", "n"))
    taints = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    tolerations = [{"key": taint, "tolerationSeconds": 5} for taint in taints]
    pod = {"topologySpreadConstraints": [{"maxSkew": 1}], "tolerations": tolerations}
    assert found(workload(shop(), pod), STOP, story, "availability") == {}


def test_deadline_that_is_longer_than_the_objective_allows() -> None:
    objects = workload(shop(), strategy={"rollingUpdate": {"maxUnavailable": 0}})
    advice = found(objects, BAD, rolled(), "rolloutHalts", limit=20.0)["rollout-limits"]
    assert advice.evidence == "progressDeadlineSeconds is 600, and the objective allows 20 s"
    assert advice.patch == {PODINFO: {"spec": {"progressDeadlineSeconds": 10}}}


def test_strategy_that_ends_old_pods_first() -> None:
    objects = workload(shop(), strategy={"type": "Recreate"}, progressDeadlineSeconds=5)
    advice = found(objects, BAD, rolled(), "availability")["rollout-limits"]
    assert advice.cause == "deployment/podinfo ends all old pods before it starts new ones"


def test_liveness_probe_that_does_not_notice() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.pod(12.0, "podinfo-a", "a", ready=False)
    weak = shop(livenessProbe={"tcpSocket": {"port": "http"}})
    advice = found(workload(weak), HANG, story, "restarts")["no-liveness-probe"]
    assert (
        advice.cause
        == "the liveness probe of container app of deployment/podinfo (tcpSocket) does not notice this fault"
    )
    assert changed(advice)["livenessProbe"]["httpGet"] == PROBE["httpGet"]


def test_pods_that_no_fault_stops_need_no_liveness_probe() -> None:
    assert "no-liveness-probe" not in found(workload(shop(livenessProbe=None)), BAD, rolled(), "errorRate")


def test_leak_without_a_memory_limit() -> None:
    objects = workload(shop())
    query = SimpleNamespace(kind="prometheus", title="memory", value="max(container_memory_working_set_bytes)")
    finding = Finding(verdict=Verdict.BROKEN, reason="missed")
    experiment = Experiment("x", "y", Workload(Path(), tuple(objects), ()), (), Path("x.yaml"), faults=(BAD,))
    advice = {
        rule.name: each for rule, each in advise(experiment, rolled().timeline, [(cast(Objective, query), finding)])
    }
    assert changed(advice["no-memory-limit"]) == {"resources": {"limits": {"memory": "128Mi"}}}


def test_version_that_nothing_refuses() -> None:
    namespace = {"kind": "Namespace", "metadata": {"name": "shop"}}
    advice = ranked([*workload(shop(), minReadySeconds=5), namespace], BAD, rolled(), "replicas")
    causes = [each.cause for name, each in advice if name == "nothing-refuses"]
    assert causes == [
        "no ResourceQuota bounds what the namespace may request",
        "namespace shop enforces no Pod Security Standard",
    ]


def test_canary_with_a_large_share_of_the_replicas() -> None:
    objects = workload(shop(), minReadySeconds=5)
    stable = workload(shop())[0]
    objects.append({**stable, "metadata": {"name": "stable"}})
    advice = found(objects, BAD, rolled(), "errorRate")["canary-share"]
    assert advice.cause.startswith("deployment/podinfo has 3 of the 6 replicas behind service/podinfo")


def test_lost_data_on_an_empty_directory() -> None:
    mounted = shop(volumeMounts=[{"name": "data", "mountPath": "/data"}])
    objects = workload(mounted, {"volumes": [{"name": "data", "emptyDir": {}}]})
    advice = found(objects, KILL, killed(), "durability")["storage-lost"]
    assert advice.patch[PODINFO]["spec"]["volumeClaimTemplates"][0]["metadata"] == {"name": "data"}


KILLED = "Container app failed liveness probe, will be restarted"


def probed(*kills: int, container: dict[str, Any] | None = None) -> dict[str, Advice]:
    """Return the advice on too many restarts, where the kubelet restarted pod b so often for its liveness probe."""
    story = killed()
    for at, count in enumerate(kills, start=14):
        unhealthy = {"reason": "Unhealthy", "message": "Liveness probe failed: timeout", "type": "Warning", "count": 3}
        story.add("events", "pod/podinfo-b", at, unhealthy)
        story.add("events", "pod/podinfo-b", at, {"reason": "Killing", "message": KILLED, "count": count})
    return found(workload(container or shop()), KILL, story, "restarts", comparison="<=")


def test_liveness_probe_that_restarts_what_serves() -> None:
    advice = probed(1)["eager-liveness"]
    assert "restarts it after 3 failures with a timeout of 1 s, though it serves" in advice.cause
    assert advice.evidence == "restarted: podinfo-b: Liveness probe failed: timeout"
    assert changed(advice)["livenessProbe"]["timeoutSeconds"] == 5


def test_liveness_probe_that_ends_what_is_still_starting() -> None:
    advice = probed(1, 2)["eager-liveness"]
    assert advice.cause.endswith("ends containers that are still starting: there is no startup probe")
    assert changed(advice)["startupProbe"]["failureThreshold"] == 60


def test_restarts_by_another_cause_are_not_the_probes() -> None:
    assert "eager-liveness" not in probed()


def test_readiness_probe_that_passes_too_early() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    advice = found(workload(shop()), SWITCH, story, "logLines")["weak-readiness"]
    assert advice.evidence == "podinfo-a stayed Ready after the fault"
    story.pod(12.0, "podinfo-a", "a", ready=False)
    assert "weak-readiness" not in found(workload(shop()), SWITCH, story, "logLines")


def test_missing_readiness_probe_explains_misplaced_requests() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    assert list(found(workload(shop(readinessProbe=None)), SWITCH, story, "logLines")) == ["no-readiness-probe"]


def test_container_that_starts_before_the_one_it_needs() -> None:
    objects = workload(shop())
    objects[0]["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"})
    story = killed().pod(12.0, "podinfo-d", "d", restarts=2)
    advice = found(objects, KILL, story, "restarts", comparison="<=")["start-order"]
    assert advice.cause.startswith("container app of deployment/podinfo failed in new pods, beside proxy")
    pod = advice.patch[PODINFO]["spec"]["template"]["spec"]
    assert pod["initContainers"] == [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}]


def test_rolling_update_that_must_not_mix_versions() -> None:
    advice = found(workload(shop()), BAD, rolled(), "versions")["rollout-limits"]
    assert advice.patch == {PODINFO: {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}}


def test_alert_rule_and_missing_alertmanager() -> None:
    rules = "groups: [{name: shop, rules: [{alert: ShopDown, expr: up == 0, for: 5m}]}]"
    texts = {"shop.yml": rules, "broken": "{", "prometheus.yml": "scrape_configs: []"}
    config = {"kind": "ConfigMap", "metadata": {"name": "config"}, "data": texts}
    causes = [advice.cause for _, advice in ranked([*workload(shop()), config], KILL, killed(), "alert")]
    assert causes[0] == "Prometheus has no Alertmanager to send alerts to (prometheus.yml of configmap/config)"
    assert causes[1].startswith("the rule of alert ShopDown in shop.yml of configmap/config selects no series")
    assert causes[1].endswith("waits too long (for: 5m)")


def budgets(**spec: Any) -> list[Object]:
    objects = workload(shop())
    return [*objects[:2], {**objects[2], "spec": {"selector": {"matchLabels": LABELS}, **spec}}]


@pytest.mark.parametrize(
    ("spec", "evidence"),
    [
        ({"maxUnavailable": 0}, "maxUnavailable is 0"),
        ({"minAvailable": 3}, "minAvailable is 3, and the budget selects 3 replicas"),
        ({"minAvailable": "100%"}, "minAvailable is 100%, and the budget selects 3 replicas"),
    ],
)
def test_budget_that_blocks_every_drain(spec: dict[str, Any], evidence: str) -> None:
    advice = found(budgets(**spec), DRAIN, lost_node(), "drained")["blocked-drain"]
    assert advice.evidence == evidence
    assert advice.patch == {"pdb/podinfo": {"spec": {"maxUnavailable": 1, "minAvailable": None}}}
    assert "blocked-drain" not in found(budgets(minAvailable=2), DRAIN, lost_node(), "drained")


def test_budgets_that_overlap() -> None:
    other = {**budgets(maxUnavailable=1)[2], "metadata": {"name": "web"}}
    advice = found([*budgets(maxUnavailable=1), other], DRAIN, lost_node(), "drained")["blocked-drain"]
    assert (advice.evidence, advice.patch) == ("selected by pdb/podinfo and pdb/web", {"pdb/web": None})


def test_budget_that_protects_an_unready_pod() -> None:
    story = lost_node().pod(11.0, "podinfo-a", "a", ready=False)
    advice = found(budgets(minAvailable=3), DRAIN, story, "drained")["blocked-drain"]
    assert advice.patch == {"pdb/podinfo": {"spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}}}
    allowing = budgets(minAvailable=3, unhealthyPodEvictionPolicy="AlwaysAllow")
    assert "blocked-drain" not in found(allowing, DRAIN, story, "drained")


@pytest.mark.parametrize("text", ["groups: 5", "groups: [admin]", "groups: [{rules: x}]", "groups: [{rules: [x]}]"])
def test_groups_of_another_meaning_are_no_alert_rules(text: str) -> None:
    config = {"kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"a.yml": text}}
    assert found([*workload(shop()), config], KILL, killed(), "alert") == {}


def test_best_supported_causes_come_first_and_are_few() -> None:
    weak = shop(readinessProbe=None, lifecycle=None, livenessProbe=None)
    objects = workload(weak, {"terminationGracePeriodSeconds": 0}, replicas=1)
    advice = [each for _, each in ranked(objects, KILL, killed(), "availability")]
    assert len(advice) == SHOWN
    assert [each.strength for each in advice] == sorted((each.strength for each in advice), reverse=True)


def test_rules_have_different_names() -> None:
    names = [rule.name for rule in all_rules()]
    assert names == sorted(set(names))
    assert len(names) >= 11
