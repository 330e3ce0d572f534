"""Rules find what a twin of the catalogue lacks, from its manifests and a hand-written timeline."""

from __future__ import annotations

from pathlib import Path

from harness.advice.adviser import advise
from harness.advice.rule import Advice, Rule, Strength
from harness.experiment.declaration import describes
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.model.finding import Finding
from harness.model.timeline import Victim
from harness.model.verdict import Verdict
from tests.unit.timelines import PODINFO, WALL, Story

ROOT = Path(__file__).resolve().parents[3]
ROLLOUT = "rollout/podinfo"
QUARTER, IN_PLACE = "deployment/quarter", "deployment/in-place"


def advised(file: str, twin: str, story: Story, comparison: str) -> list[tuple[Rule, Advice]]:
    """Return the advice for a twin that missed the objectives that it names; "" is the experiment itself."""
    experiment = load_experiment(ROOT / "experiments" / file, Sources.for_root(ROOT))
    named = experiment.twins[twin].breaks if twin else [each.kind for each in experiment.objectives]
    missed = [each for each in experiment.objectives if any(describes(each, name) for name in named)]
    finding = Finding(verdict=Verdict.BROKEN, reason="missed", comparison=comparison)
    twinned = experiment.as_twin(twin) if twin else experiment
    return advise(twinned, story.timeline, [(each, finding) for each in missed])


def advice(file: str, twin: str, story: Story, comparison: str = ">=") -> dict[str, Advice]:
    """Return the same by rule."""
    return {rule.name: each for rule, each in advised(file, twin, story, comparison)}


def changed(kind: str, undone: float | None = None) -> Story:
    """Podinfo of a kind is changed at 10 s."""
    return Story().struck(Victim(kind, "podinfo", "u"), undone=undone)


def delivered(*states: tuple[float, str, str], paused: str = "", undone: float | None = None) -> Story:
    """A rollout from version 1 on, whose current and stable version was observed at these times."""
    story = changed("Rollout", undone)
    for at, current, stable in ((1.0, "1", "1"), *states):
        pauses = [paused] if paused and current != stable else []
        story.add("workloads", ROLLOUT, at, {"delivery": {"current": current, "stable": stable, "paused": pauses}})
    return story


def test_policy_that_only_audits() -> None:
    file, binding = "rollouts/refused-by-policy.yaml", "validatingadmissionpolicybinding/podinfo-memory-limit"
    found = [each for _, each in advised(file, "only-audited", changed("Deployment"), ">=")]
    (audited,) = [each for each in found if each.evidence == "validationActions is Audit"]
    assert audited.patch == {binding: {"spec": {"validationActions": ["Deny"]}}}
    others = advised(file, "", changed("Deployment"), ">=")
    assert not [each for _, each in others if "validationActions" in each.evidence]


def counted(workload: str, *numbers: dict[str, int], kind: str = "Deployment") -> Story:
    """A change of a workload, whose numbers of replicas were observed from 11 s on."""
    story = Story().struck(Victim(kind, workload.partition("/")[2], "u"))
    for at, values in enumerate(numbers, start=11):
        story.add("workloads", workload, at, values)
    return story


def test_pods_of_a_lost_zone_that_nothing_spreads() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"), ("podinfo-b", "b"))
    found = advice("self_healing/one-zone-killed.yaml", "no-spread", story)["bound-to-nodes"]
    assert found.cause == "nothing spreads the pods of deployment/podinfo over nodes or zones"
    assert "topologySpreadConstraints" in found.patch[PODINFO]["spec"]["template"]["spec"]


def test_canary_without_analysis_that_was_promoted() -> None:
    story = delivered((12.0, "2", "1"), (20.0, "2", "2")).requests(0, 30, failing=(12.0, 30.0))
    found = advice("rollouts/bad-canary-aborted.yaml", "no-analysis", story)["no-analysis"]
    assert found.strength is Strength.OBSERVED
    assert found.evidence.startswith("strategy.canary has no analysis; rollout/podinfo promoted the new version; ")
    steps = found.patch[ROLLOUT]["spec"]["strategy"]["canary"]["steps"]
    assert [next(iter(step)) for step in steps] == ["setWeight", "analysis", "pause"]
    analysis = steps[1]["analysis"]
    assert analysis["templates"] == [{"templateName": "errors"}]
    assert [arg["name"] for arg in analysis["args"]] == ["version", "namespace"]


def test_canary_that_was_not_promoted_only_lacks_an_analysis() -> None:
    story = delivered((12.0, "2", "1"), (40.0, "2", "2"), undone=30.0)
    found = advice("rollouts/bad-canary-aborted.yaml", "no-analysis", story)["no-analysis"]
    assert (found.strength, found.evidence) == (Strength.LIKELY, "strategy.canary has no analysis")


def test_canary_with_an_analysis_lacks_none() -> None:
    story = delivered((12.0, "2", "1"), (20.0, "2", "2"))
    assert "no-analysis" not in advice("rollouts/bad-canary-aborted.yaml", "", story)


def test_users_before_any_analysis() -> None:
    story = delivered((12.0, "2", "1")).requests(0, 30, failing=(12.0, 20.0))
    found = advice("rollouts/bad-preview-aborted.yaml", "no-analysis-before", story)["no-analysis"]
    assert found.cause == "rollout/podinfo sends all users to a new version before an analysis has judged it"
    change = found.patch[ROLLOUT]["spec"]["strategy"]["blueGreen"]["prePromotionAnalysis"]
    assert change["templates"] == [{"templateName": "configuration"}]
    assert "no-analysis" not in advice("rollouts/bad-preview-aborted.yaml", "", story)


def test_blue_green_rollout_that_keeps_what_it_promoted() -> None:
    file, promoted = "rollouts/bad-version-withdrawn.yaml", delivered((12.0, "2", "1"), (20.0, "2", "2"))
    found = advice(file, "no-analysis-after", promoted)["no-analysis"]
    assert found.cause.endswith("keeps a version that fails only with users: no analysis follows its promotion")
    assert "postPromotionAnalysis" in found.patch[ROLLOUT]["spec"]["strategy"]["blueGreen"]
    assert "no-analysis" not in advice(file, "no-analysis-after", delivered((12.0, "2", "1")))
    assert "no-analysis" not in advice(file, "", promoted)


def test_empty_result_that_counts_as_a_success() -> None:
    promoted = delivered((12.0, "2", "1"), (30.0, "2", "2"))
    found = advice("rollouts/canary-without-metrics.yaml", "empty-is-good", promoted)["empty-analysis"]
    assert found.cause == "metric failed-orders of analysistemplate/errors counts an empty result as a success"
    metric = found.patch["analysistemplate/errors"]["spec"]["metrics"][0]
    assert metric["successCondition"] == "len(result) > 0 && (result[0] <= 0.1)"
    assert metric["failureCondition"] == "len(result) > 0 && !(result[0] <= 0.1)"
    assert "empty-analysis" not in advice("rollouts/canary-without-metrics.yaml", "", promoted)
    waiting = delivered((12.0, "2", "1"))
    assert "empty-analysis" not in advice("rollouts/canary-without-metrics.yaml", "empty-is-good", waiting)


def test_query_that_decides_nothing() -> None:
    waiting = delivered((12.0, "2", "1"), paused="InconclusiveAnalysisRun")
    found = advice("rollouts/good-canary-promoted.yaml", "metric-renamed", waiting)["undecided-analysis"]
    assert "InconclusiveAnalysisRun; the query is sum(rate(orders_failed_total{" in found.evidence
    metric = found.patch["analysistemplate/errors"]["spec"]["metrics"][0]
    assert metric["provider"]["prometheus"] == {"address": "http://prometheus.monitoring:9090", "query": "…"}
    pausing = delivered((12.0, "2", "1"), paused="CanaryPauseStep")
    assert "undecided-analysis" not in advice("rollouts/good-canary-promoted.yaml", "metric-renamed", pausing)


def test_canary_as_big_as_the_stable_version() -> None:
    story = Story().struck(Victim("Deployment", "podinfo-canary", "u")).requests(0, 30, failing=(12.0, 20.0))
    found = advice("rollouts/canary-limits-users.yaml", "canary-as-big-as-stable", story)["canary-share"]
    assert found.cause.startswith("deployment/podinfo-canary has 4 of the 8 replicas behind service/podinfo")


def test_daemon_set_that_is_replaced_on_all_nodes() -> None:
    file, of = "rollouts/daemon-set-rolled-back.yaml", "daemonset/podinfo"
    story = counted(of, {"available": 2, "desired": 2}, {"available": 0, "desired": 2}, kind="DaemonSet")
    found = advice(file, "all-at-once", story)["rollout-limits"]
    assert found.evidence == "maxUnavailable is 100%; 2 of its pods were unavailable at a time"
    assert found.patch == {of: {"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1}}}}}
    assert "rollout-limits" not in advice(file, "", story)
    one = counted(of, {"available": 1, "desired": 2}, kind="DaemonSet")
    assert "rollout-limits" not in advice(file, "all-at-once", one)


def test_rollout_with_more_pods_than_desired() -> None:
    file = "rollouts/rolling-update-grid.yaml"
    story = counted(IN_PLACE, {"replicas": 3, "desired": 3}, {"replicas": 4, "desired": 3})
    found = advice(file, "in-place-surges", story, "<=")["surge"]
    assert found.evidence == "maxSurge is 1; it had 1 more than desired"
    assert found.explains == (f"{IN_PLACE}: available >= desired - 1, total <= desired at every moment",)
    assert "surge" not in advice(file, "in-place-surges", counted(IN_PLACE, {"replicas": 3, "desired": 3}), "<=")
    many = counted(QUARTER, {"replicas": 8, "desired": 5})
    assert advice(file, "half-instead-of-a-quarter", many, "<=")["surge"].cause.startswith(
        f"a rolling update of {QUARTER}"
    )


def ready_and_failed(file: str, twin: str, *, ready: float = 12.0, failed: float = 15.0) -> dict[str, Advice]:
    story = Story().replicas_ready("a", "b", "c").struck(Victim("Deployment", "podinfo", "u"))
    story.pod(11.0, "podinfo-d", "d", ready=False, event="ADDED")
    story.pod(ready, "podinfo-d", "d").pod(failed, "podinfo-d", "d", ready=False)
    return advice(file, twin, story)


def test_new_pods_that_count_before_they_fail() -> None:
    found = ready_and_failed("rollouts/min-ready-seconds.yaml", "no-min-ready-seconds")["counts-too-early"]
    assert found.evidence == "minReadySeconds is 0; 1 new pod failed after at most 3 s as Ready"
    assert found.patch == {PODINFO: {"spec": {"minReadySeconds": 10}}}


def test_new_pods_that_fail_before_they_count() -> None:
    assert "counts-too-early" not in ready_and_failed("rollouts/min-ready-seconds.yaml", "")


def broken_member(uid: str, undone: float | None = None) -> Story:
    """Member 2 is replaced by one of a version that never works; nothing replaces that one before the undo."""
    of = "statefulset/podinfo"
    story = Story().pod(1.0, "podinfo-2", "c", owner=of).struck(Victim("StatefulSet", "podinfo", "u"), undone=undone)
    story.pod(11.0, "podinfo-2", "c", deleting=True, owner=of).gone(12.0, "podinfo-2", "c", owner=of)
    return story.pod(13.0, "podinfo-2", uid, ready=False, event="ADDED", owner=of)


def test_stateful_set_that_waits_for_a_broken_pod() -> None:
    file, twin = "rollouts/stateful-set-rolled-back.yaml", "ordered-ready"
    story = broken_member("d", undone=20.0).gone(21.0, "podinfo-2", "d", owner="statefulset/podinfo")
    found = advice(file, twin, story, "<=")["ordered-ready"]
    assert found.evidence == "podinfo-2 was not Ready until the undo"
    assert found.patch == {"statefulset/podinfo": {"spec": {"podManagementPolicy": "Parallel"}}}
    assert "ordered-ready" not in advice(file, "", story, "<=")
    replaced = broken_member("d").gone(14.0, "podinfo-2", "d", owner="statefulset/podinfo")
    assert "ordered-ready" not in advice(file, twin, replaced, "<=")


def crashed() -> Story:
    story = Story().pod(1.0, "probe-target-a", "a", owner="deployment/probe-target")
    return story.injected(10.0, ("probe-target-a", "a"))


def test_shell_that_hides_crashes() -> None:
    file, twin = "self_healing/crash-loop.yaml", "restarted-by-a-shell"
    found = advice(file, twin, crashed())["hidden-crash"]
    assert found.evidence == "the command is until /bin/probe-target; do :; done"
    assert "hidden-crash" not in advice(file, "", crashed())


def test_too_many_restarts_are_not_hidden_by_a_shell() -> None:
    assert "hidden-crash" not in advice("self_healing/crash-loop.yaml", "restarted-by-a-shell", crashed(), "<=")


def replaced(*lines: float) -> Story:
    """Pod a is killed at 10 s; its replacement d is Ready from 13 s on and logs lines at these times."""
    of = "deployment/probe-target"
    story = Story().pod(1.0, "a", "a", owner=of).injected(10.0, ("a", "a")).gone(10.1, "a", "a", owner=of)
    story.pod(11.0, "d", "d", ready=False, event="ADDED", owner=of).pod(13.0, "d", "d", owner=of)
    logs = {"d": {"pod": "d", "at": [WALL + at for at in lines], "read": 99, "complete": True}}
    return story.add("logs", "requests while not registered", 50.0, {"pods": logs})


def test_new_pod_that_gets_requests_too_early() -> None:
    file = "self_healing/readiness-gates.yaml"
    found = advice(file, "no-gate", replaced(12.0, 14.0, 15.0), "<=")["ready-too-early"]
    assert found.evidence == "lines requests while not registered of pods that were Ready: d 2"
    pod = found.patch["deployment/probe-target"]["spec"]["template"]["spec"]
    assert pod == {"readinessGates": [{"conditionType": "…"}]}
    assert "ready-too-early" not in advice(file, "", replaced(14.0), "<=")
    assert "ready-too-early" not in advice(file, "no-gate", replaced(12.0), "<=")
