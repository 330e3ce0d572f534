"""Unknown is not zero and not one: what each kind of objective concludes from each state in which a number is unknown.

Every row begins with a run that is HELD, so that nothing but the state can change the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.experiment.registry import objectives
from harness.model.finding import Finding
from harness.model.timeline import LoadSummary
from harness.model.verdict import Verdict
from harness.objectives.alert import Alert
from harness.objectives.availability import Availability
from harness.objectives.base import Objective
from harness.objectives.claims import Claims
from harness.objectives.consistency import Consistency
from harness.objectives.drained import Drained
from harness.objectives.durability import Durability
from harness.objectives.error_rate import ErrorRate
from harness.objectives.identity import Identity
from harness.objectives.invariant import Invariant
from harness.objectives.latency import Latency
from harness.objectives.liveness_restart import LivenessRestart
from harness.objectives.log_lines import LogLines
from harness.objectives.member_updates import MemberUpdates
from harness.objectives.order import Order
from harness.objectives.prometheus import Prometheus
from harness.objectives.recovery_time import RecoveryTime
from harness.objectives.replicas import Replicas
from harness.objectives.restarts import Restarts
from harness.objectives.rolled_back import RolledBack
from harness.objectives.rollout_ends import RolloutEnds
from harness.objectives.rollout_halts import RolloutHalts
from harness.objectives.scale_out import ScaleOut
from harness.objectives.scaling_steps import ScalingSteps
from harness.objectives.versions import Versions
from tests.unit.objectives import (
    test_claims,
    test_consistency,
    test_drained,
    test_eviction_order,
    test_liveness_restart,
    test_log_lines,
    test_member_updates,
    test_order,
    test_pod_resources,
    test_recommendation,
    test_scale_out,
    test_scaling_steps,
    test_versions,
)
from tests.unit.timelines import PODINFO, WALL, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
HPA = "hpa/podinfo"
NO_METRICS = "ScalingActive is False: FailedGetResourceMetric: no metrics known for pod"

# A change of one observation from 14 s on; None: no observation at all.
State = Callable[[dict[str, Any]], dict[str, Any] | None]


def condition(name: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {name: {"status": status, "reason": reason, "message": message, "since": WALL}}


def but(**changes: Any) -> State:
    return lambda value: value | changes


def without(*keys: str) -> State:
    return lambda value: {key: each for key, each in value.items() if key not in keys}


def deployment(**changes: Any) -> dict[str, Any]:
    counts = dict.fromkeys(("desired", "replicas", "ready", "available", "updated"), 3)
    known = {"generation": 1, "observed_generation": 1, "template": "good", "event": "MODIFIED"}
    return {**counts, **known, "conditions": condition("Available", "True", "MinimumReplicasAvailable"), **changes}


def autoscaler(**changes: Any) -> dict[str, Any]:
    conditions = condition("AbleToScale", "True", "ReadyForNewScale")
    conditions |= condition("ScalingActive", "True", "ValidMetricFound")
    conditions |= condition("ScalingLimited", "False", "DesiredWithinRange")
    return {"current": 1, "desired": 1, "min": 1, "max": 5, "conditions": conditions, "event": "MODIFIED", **changes}


def story(subject: str, *seen: tuple[float, dict[str, Any]], state: State | None, at: float = 14.0) -> Story:
    """A run with these observations of a subject; from ``at`` on every one of them as ``state`` makes it."""
    series = "autoscalers" if subject == HPA else "workloads"
    told = Story(fault=20)
    told.injected(10.0, undone=30.0)
    last = max((value for value in seen if value[0] <= at), key=lambda value: value[0])
    changed = [*seen, (at, last[1])] if state else list(seen)
    for when, value in sorted(changed, key=lambda each: each[0]):
        found = state(value) if state and when >= at else value
        if found is not None:
            told.add(series, subject, when, found)
    return told


UP = (16.0, autoscaler(current=3, desired=3))
RAMP = ((1.0, autoscaler()), UP, (22.0, autoscaler(current=4, desired=4)), (40.0, autoscaler()))
STEADY = ((1.0, deployment()), (22.0, deployment()))
LOST = condition("ScalingActive", "False", "FailedGetResourceMetric", "no metrics known for pod")
EXCEEDED = condition("Progressing", "False", "ProgressDeadlineExceeded")
ROLLOUT = (
    (1.0, deployment()),
    (10.2, deployment(template="bad", generation=2, updated=0)),
    (10.5, deployment(template="bad", generation=2, observed_generation=2, updated=1)),
    (22.0, deployment(template="bad", generation=2, observed_generation=2, updated=1, conditions=EXCEEDED)),
    (30.1, deployment(generation=3, observed_generation=2)),
    (31.0, deployment(generation=3, observed_generation=3)),
)

# What can be unknown of an autoscaler, and how much of it is in the reason.
HPA_STATES: Mapping[str, tuple[State, str]] = {
    "metrics cannot be read": (
        but(
            current=1,
            desired=1,
            conditions=condition("ScalingActive", "False", "FailedGetResourceMetric", "no metrics known for pod"),
        ),
        NO_METRICS,
    ),
    "metrics were never read": (
        but(
            current=1,
            desired=0,
            conditions=condition("ScalingActive", "False", "FailedGetResourceMetric", "no metrics known for pod"),
        ),
        NO_METRICS,
    ),
    "ScalingActive is Unknown": (
        but(current=1, desired=1, conditions=condition("ScalingActive", "Unknown", "")),
        "ScalingActive is Unknown",
    ),
    "the scale cannot be read": (
        but(current=1, desired=1, conditions=condition("AbleToScale", "False", "FailedGetScale", "not found")),
        "AbleToScale is False: FailedGetScale: not found",
    ),
    "the scale cannot be written": (
        but(current=1, desired=1, conditions=condition("AbleToScale", "False", "FailedUpdateScale", "conflict")),
        "AbleToScale is False: FailedUpdateScale: conflict",
    ),
    "fresh": (but(current=1, desired=0, conditions={}), "has not computed its desired replicas yet"),
    "nothing written": (but(current=None, desired=None, conditions={}), "hpa/podinfo"),
    "fields absent": (without("current", "desired"), "hpa/podinfo"),
    "deleted": (but(event="DELETED", current=1, desired=1), "hpa/podinfo was deleted"),
}
WORKLOAD_STATES: Mapping[str, tuple[State, str]] = {
    "controller behind": (
        but(generation=9, observed_generation=8),
        "the controller of deployment/podinfo has observed only generation 8 of 9",
    ),
    "never observed": (
        but(generation=1, observed_generation=None, replicas=None, ready=None, available=None, updated=None),
        "the controller of deployment/podinfo has observed no generation of 1",
    ),
    "fields absent": (without("ready", "available", "replicas", "updated"), "deployment/podinfo has no number for"),
    "deleted": (but(event="DELETED", desired=0, replicas=0, ready=0, available=0, updated=0), "was deleted"),
}

Row = tuple[
    Objective, str, tuple[tuple[float, dict[str, Any]], ...], Mapping[str, tuple[State, str]], Mapping[str, Verdict]
]

# What is certain although something is unknown breaks an objective; everything else is INCONCLUSIVE.
ROWS: Mapping[str, Row] = {
    "replicas neverAbove of an hpa": (Replicas(of=HPA, neverAbove=4), HPA, RAMP, HPA_STATES, {}),
    "replicas neverBelow of an hpa": (Replicas(of=HPA, neverBelow=1), HPA, RAMP, HPA_STATES, {"deleted": BROKEN}),
    "replicas reaches of an hpa": (
        Replicas(of=HPA, reaches=4, within="40s"),
        HPA,
        RAMP,
        HPA_STATES,
        # How many there are is known where only the target is not: the autoscaler did not do it.
        {
            "metrics cannot be read": BROKEN,
            "metrics were never read": BROKEN,
            "ScalingActive is Unknown": BROKEN,
            "the scale cannot be written": BROKEN,
            "fresh": BROKEN,
            "deleted": BROKEN,
        },
    ),
    "replicas settlesTo of an hpa": (
        Replicas(of=HPA, settlesTo=1, settlesWithin="30s"),
        HPA,
        ((1.0, autoscaler()), (12.0, autoscaler(current=3, desired=3)), (40.0, autoscaler())),
        HPA_STATES,
        {"deleted": BROKEN},
    ),
    "replicas resumesWithin of an hpa": (
        Replicas(of=HPA, resumesWithin="10s"),
        HPA,
        ((1.0, autoscaler()), (12.0, autoscaler(conditions=LOST)), (36.0, autoscaler())),
        HPA_STATES,
        # To compute again is a promise to be kept in time: what nobody saw is broken.
        dict.fromkeys(HPA_STATES, BROKEN),
    ),
    "invariant desired of an hpa": (Invariant(of=HPA, desired="<= 5"), HPA, RAMP, HPA_STATES, {}),
    "replicas neverAbove of a workload": (Replicas(of=PODINFO, neverAbove=4), PODINFO, STEADY, WORKLOAD_STATES, {}),
    "replicas neverBelow of a workload": (
        Replicas(of=PODINFO, neverBelow=3),
        PODINFO,
        STEADY,
        WORKLOAD_STATES,
        {"deleted": BROKEN},
    ),
    "invariant available": (
        Invariant(of=PODINFO, available=">= 3"),
        PODINFO,
        STEADY,
        WORKLOAD_STATES,
        {"deleted": BROKEN},
    ),
    "invariant total": (Invariant(of=PODINFO, total="<= desired + 1"), PODINFO, STEADY, WORKLOAD_STATES, {}),
    "invariant updated equal": (Invariant(of=PODINFO, updated="== 3"), PODINFO, STEADY, WORKLOAD_STATES, {}),
    "rolloutHalts": (
        RolloutHalts(of=PODINFO, within="15s", minAvailable=3, maxTotal=4),
        PODINFO,
        ROLLOUT,
        WORKLOAD_STATES,
        {"deleted": BROKEN},
    ),
    "rolledBack": (
        RolledBack(of=PODINFO, within="10s"),
        PODINFO,
        ROLLOUT,
        WORKLOAD_STATES,
        # A rollback is a promise to be complete: one that nobody saw completed has not been kept.
        dict.fromkeys(WORKLOAD_STATES, BROKEN),
    ),
}


def judged(row: str, state: State | None) -> Finding:
    objective, subject, seen, _, _ = ROWS[row]
    return objective.judge(story(subject, *seen, state=state).timeline)


@pytest.mark.parametrize("row", ROWS)
def test_known_numbers_hold(row: str) -> None:
    finding = judged(row, None)
    assert finding.verdict is HELD, finding.reason


@pytest.mark.parametrize(("row", "state"), [(row, state) for row in ROWS for state in ROWS[row][3]])
def test_unknown_numbers_never_hold(row: str, state: str) -> None:
    change, reason = ROWS[row][3][state]
    finding = judged(row, change)
    assert finding.verdict is ROWS[row][4].get(state, INCONCLUSIVE), finding.reason
    assert reason in finding.reason


# The kinds that read no controller's status: what can be unknown of what they do read.
ETCD_LOOK = {"uid": "u0", "claims": {}, "dns": ["10.0.0.1"], "ip": "10.0.0.1"}


def pods(*, back: bool = True, there: bool = True) -> Story:
    told = Story().injected(10.0, ("podinfo-a", "a"))
    if there:
        told.replicas_ready("a", "b").gone(10.1, "podinfo-a", "a").endpoints(10.2, "b")
    if there and back:
        told.pod(12.0, "podinfo-c", "c", since=12.0).endpoints(12.1, "b", "c", wall=12.0)
    return told.requests(0, 55, rate=50).load()


def served(**load: Any) -> Story:
    return pods().load(**load)


def looked(*at: float, error: str = "") -> Story:
    told = Story().injected(10.0, took=0.0)
    for when in at:
        told.add("identity", "etcd-0", when, ETCD_LOOK)
    return told.error("identity", "etcd-0", 50.0, error) if error else told


def written(read: list[str] | None, error: str = "") -> Story:
    told = Story().injected(10.0).request(1.0, key="k1").request(20.0, key="k2")
    if error:
        return told.error("readable", "app=etcd", 56.0, error)
    return told if read is None else told.add("readable", "app=etcd", 56.0, {"keys": read})


def ratio(*phases: str, **value: Any) -> Story:
    told = Story().injected(10.0)
    for phase in phases:
        numbers = {"phase": phase, "good": 1000.0, "total": 1000.0, "window": [0, 1], **value}
        told.add("prometheus", "served", 56.0, numbers)
    return told


def silent(*, rules: int = 1, until: float = 95.0, error: str = "") -> Story:
    """Looks at a rule whose alert does not fire, twice a second."""
    told = Story(baseline=10, fault=20, recovery=60, settle=5).injected(10.0, undone=30.0)
    for half_seconds in range(int(until * 2) + 1):
        at = half_seconds / 2
        if error and 15.0 <= at < 40.0:
            told.error("alerts", SILENT.title, at, error)
            continue
        rule = {"interval": 2.0, "for": 4.0, "evaluated": WALL + at // 2 * 2, "error": ""}
        known = {} if rules else {"known": ["Other"]}
        looked_at = {"asked": at - 0.1, "scrape": 2.0, "rules": [rule] * rules, "alerts": [], **known}
        told.add("alerts", SILENT.title, at, looked_at)
    return told


def delivery(*, watched: float = 1.0, observed: int = 2) -> Story:
    """A Rollout whose new version is aborted at 15 s, by a controller that has observed this generation of it."""
    told = Story(baseline=10, fault=20, recovery=30, settle=5).injected(10.0, undone=30.0)
    for at, current, generation, aborted in (
        (watched, "old", 1, False),
        (11.0, "new", 2, False),
        (15.0, "new", 2, True),
    ):
        known = {"current": current, "stable": "old", "aborted": aborted, "paused": []}
        state = {"uid": "r", "desired": 5, "generation": generation, "observed_generation": min(generation, observed)}
        told.add("workloads", "rollout/podinfo", at, {**state, "delivery": known})
    return told


SHARES = (Availability(min="99%"), ErrorRate(max="1%"), Latency(share="95%", below="200ms"))
NOTHING_SENT = {"nothing sent": Story().injected(10.0).load(), "load died": served(error="killed")}
NOTHING_SENT |= {"load saturated": served(saturated=True), "arrivals missing": served(offered=9000)}
RATIO = Prometheus(name="served", good="sum(a)", total="sum(b)", min="90%", phases=["fault"])
SILENT = Alert.model_validate({"name": "ShopDown", "mustNotFire": True, "alertmanager": "none"})
RECOVERY, RESTARTS = RecoveryTime(of=PODINFO, max="20s"), Restarts(of=PODINFO, max=0)


def drained(*names: str) -> Story:
    """A drain of two pods, of which these are gone within 5 s."""
    made = test_drained.drain()
    for name in names:
        test_drained.gone(made, name, 12.0)
    return made


OTHERS: list[tuple[Objective, Story, Mapping[str, Story]]] = [
    *((objective, served(), NOTHING_SENT) for objective in SHARES),
    (
        Durability(),
        written(["k1", "k2"]),
        {
            "not read back": written(None),
            "unreadable": written(None, "exit code 1"),
            "unknown keys": written(["k1", "k2", "x"]),
        },
    ),
    (
        RATIO,
        ratio("fault"),
        {"no samples": ratio(), "another phase": ratio("recovery"), "not a number": ratio("fault", good=float("nan"))},
    ),
    (
        SILENT,
        silent(),
        {
            "no such rule": silent(rules=0),
            "no answers": silent(error="connection refused"),
            "not watched to the end": silent(until=20.0),
        },
    ),
    (
        RolloutEnds(of="rollout/podinfo", outcome="aborted", within="15s"),
        delivery(),
        {
            "not watched before": delivery(watched=10.5),
            "states lost": delivery().gap("workloads", 11.0, 12.0, complete=False),
            "its controller is behind": delivery(observed=1),
        },
    ),
    (
        Versions(of=PODINFO),
        test_versions.recreated(),
        {
            "pods not watched": Story().injected(10.0, undone=20.0),
            "states lost": test_versions.recreated().gap("pods", 12.0, 13.0, complete=False),
        },
    ),
    (
        Drained(within="8s"),
        drained("one", "two"),
        {"pods not watched": Story().injected(10.0), "the watch has ended": drained("one").gap("pods", 13.0)},
    ),
    (
        ScalingSteps(of=HPA, maxDown=1, downAfter="20s", maxReversals=1),
        test_scaling_steps.sizes(*test_scaling_steps.SPIKE),
        {
            "autoscaler not watched": Story(),
            "settings not read": test_scaling_steps.sizes(*test_scaling_steps.SPIKE, settings=None),
            "states lost": test_scaling_steps.sizes(*test_scaling_steps.SPIKE).gap("autoscalers", 30.0, 31.0, False),
        },
    ),
    (
        test_recommendation.objective(),
        test_recommendation.advised((5.0, 0.15)),
        {
            "not watched": test_recommendation.advised(),
            "the watch has ended": test_recommendation.advised((5.0, None)).gap("recommendations", 20.0),
            "states lost": test_recommendation.advised((5.0, 0.15)).gap("recommendations", 20.0, 21.0, complete=False),
        },
    ),
    (
        test_pod_resources.objective(cpu={"atLeast": "300m"}),
        test_pod_resources.story(),
        {
            "pods not watched": Story(fault=50),
            "not reported": test_pod_resources.story().pod(20.0, "podinfo-a", "a", unreported=True),
            "states lost": test_pod_resources.story().gap("pods", 20.0, 21.0, complete=False),
        },
    ),
    (
        test_eviction_order.objective(),
        test_eviction_order.story(scratch=15.0),
        {
            "pods not watched": Story(fault=40).injected(10.0),
            "memory not short": test_eviction_order.story(),
            "states lost": test_eviction_order.story(scratch=15.0).gap("pods", 20.0, 21.0, complete=False),
        },
    ),
    (
        ScaleOut(of=HPA),
        test_scale_out.scaled(),
        {
            "settings not read": test_scale_out.scaled(settings=None),
            "size not known before": Story(fault=60).add("scaling", HPA, 0.5, test_scale_out.SETTINGS),
            "states lost": test_scale_out.scaled(served=None).gap("pods", 24.0, 25.0, complete=False),
        },
    ),
    (
        LivenessRestart(of=PODINFO),
        test_liveness_restart.hung(24.0),
        {
            "pods not watched": Story().injected(10.0, ("podinfo-a", "a")),
            "states lost": test_liveness_restart.hung().gap("pods", 12.0, 13.0, complete=False),
        },
    ),
    (
        LogLines(of=PODINFO, name="unready", max=0),
        test_log_lines.story(),
        {
            "not read": Story().injected(10.0),
            "read too early": test_log_lines.story(read_at=30.0),
            "read in part": test_log_lines.story(complete=False),
        },
    ),
    (
        Consistency(withoutWrites="5s"),
        test_consistency.story(test_consistency.written()),
        {
            "nothing recorded": test_consistency.story([]),
            "record incomplete": test_consistency.story(
                test_consistency.written(), LoadSummary(error="load: the process ended with exit code 1")
            ),
            "load not ended": test_consistency.story(test_consistency.written(), ended=False),
        },
    ),
    (
        Identity(of="statefulset/etcd"),
        looked(9.0, 50.0),
        {
            "not looked at before": looked(50.0),
            "not looked at after": looked(9.0),
            "unreadable": looked(9.0, error="403"),
        },
    ),
    (
        Order(of="statefulset/etcd"),
        test_order.told(*test_order.DOWN, desired=1),
        {
            "set not watched": Story().injected(10.0),
            "pods not watched": test_order.told(members=(0,)),
            "states lost": test_order.told(*test_order.DOWN).gap("pods", 12.0, 13.0, complete=False),
        },
    ),
    (
        MemberUpdates.model_validate({"of": "statefulset/etcd", **test_member_updates.PARTITION}),
        test_member_updates.replaced(test_member_updates.changed(), 2, 11.0),
        {
            "pods not watched": test_member_updates.changed(members=0),
            "version not observed": test_member_updates.changed(recorded=False),
            "states lost": test_member_updates.changed().gap("pods", 12.0, 13.0, complete=False),
        },
    ),
    (
        Claims.model_validate({"of": "statefulset/etcd", **test_claims.KEPT}),
        test_claims.scaled(),
        {
            "pods not watched": Story().injected(10.0),
            "claims not watched": test_claims.scaled(claimed=False),
            "states lost": test_claims.scaled().gap("claims", 20.0, 21.0, complete=False),
        },
    ),
    (
        RESTARTS,
        pods(),
        {"pods not watched": pods(there=False), "states lost": pods().gap("pods", 20.0, 21.0, complete=False)},
    ),
    (
        RECOVERY,
        pods(),
        {
            "pods not watched": pods(there=False),
            "states lost": pods().gap("pods", 20.0, 21.0, complete=False),
            "endpoints lost": pods().gap("endpoints", 20.0),
        },
    ),
]


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row[0].kind)
def test_good_measurement_holds(row: tuple[Objective, Story, Mapping[str, Story]]) -> None:
    finding = row[0].judge(row[1].timeline)
    assert finding.verdict is HELD, finding.reason


@pytest.mark.parametrize(
    ("objective", "told"),
    [pytest.param(row[0], row[2][state], id=f"{row[0].kind}: {state}") for row in OTHERS for state in row[2]],
)
def test_missing_measurement_is_inconclusive(objective: Objective, told: Story) -> None:
    finding = objective.judge(told.timeline)
    assert finding.verdict is INCONCLUSIVE, finding.reason
    assert finding.reason


def test_a_service_that_is_not_back_breaks_its_recovery() -> None:
    assert RECOVERY.judge(pods(back=False).timeline).verdict is BROKEN


def test_every_kind_of_objective_is_in_the_tables() -> None:
    tabled = {objective.kind for objective, *_ in (*ROWS.values(), *OTHERS)}
    assert tabled == set(objectives())
