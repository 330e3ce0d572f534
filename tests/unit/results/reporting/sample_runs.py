"""Runs as they come out of real experiments, made from timelines: held, broken, inconclusive, twins, cut short."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from harness.model.requests import Requests, RequestSample
from harness.model.timeline import Injection, Interval, LoadSummary, Observation, Phase, Timeline, Victim
from harness.model.verdict import Verdict
from harness.results.game_day_record import ChoiceRecord, ChosenRecord, GameDayRecord, LeftOutRecord, TurnRecord
from harness.results.mutation_record import MutantRecord, MutatedRecord, MutationRecord
from harness.results.record import (
    BesideRecord,
    Bounds,
    ClockRecord,
    ControlRecord,
    EnvironmentRecord,
    ExperimentRecord,
    FaultRecord,
    NodeRecord,
    ObjectiveRecord,
    PhaseRecord,
    RunRecord,
    UndoRecord,
    VictimRecord,
)
from harness.results.reporting.chart import build_chart
from harness.results.reporting.events import build_events
from harness.results.series_record import DistributionRecord, QuantileRecord, SeriesRecord
from harness.results.skip_record import SkipRecord
from harness.results.traffic_record import LoadRecord

ORIGIN = "2026-11-23T07:10:00.000Z"
WALL = 1_795_417_800.0
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)' x='",
    "</style></svg></title><iframe src=//evil.example>",
    "{{ 7*7 }}{% raw %}",
    "x" * 300,
    "\u202egnp.exe \u05d0\u05d1\u05d2",
    "🧨 pod 🔥",
    "javascript:alert(4)",
    "https://evil.example/x.js",
    "line\nbreak\ttab\x1b[31mred",
    "a|b`c*d_e[f](g)",
)


@dataclass(frozen=True)
class Shape:
    """What a made-up outage looks like, in seconds on the timeline; the fault hits at 20."""

    outage: tuple[float, float] | None = None
    slow: tuple[float, float] = (20.0, 24.0)
    slowest: float = 0.18
    replicas: int = 3
    lost: int = 1
    ready_again: float = 27.4
    rate: int = 50
    end: float = 62.0


def timeline(shape: Shape, seed: int = 7) -> Timeline:
    """A timeline with requests, pods, workload, endpoints and Kubernetes events around one pod kill."""
    made = Timeline(origin=1000.0, wall_origin=WALL)
    made.phases = [
        Phase("baseline", 0.0, 20.0),
        Phase("fault", 20.0, 30.0),
        Phase("recovery", 30.0, shape.end - 5),
        Phase("settle", shape.end - 5, shape.end - 0.3),
    ]
    victims = tuple(Victim("Pod", f"podinfo-6d5f-{index}", f"uid-{index}") for index in range(shape.lost))
    evidence = "; ".join(f"{victim} is gone and its uid has not come back" for victim in victims)
    made.injections = [Injection("podKill", victims, Interval(20.02, 20.06), proven=True, evidence=evidence)]
    made.requests = _requests(shape, random.Random(seed))
    failed = made.requests.failed
    made.load = LoadSummary(len(made.requests), len(made.requests), 0, failed)
    _controllers(made, shape)
    return made


def _requests(shape: Shape, chance: random.Random) -> Requests:
    requests = []
    for index in range(int(shape.end * shape.rate)):
        at = index / shape.rate
        latency = chance.lognormvariate(-4.4, 0.35)
        if shape.slow[0] <= at < shape.slow[1]:
            latency += chance.random() * shape.slowest
        down = shape.outage is not None and shape.outage[0] <= at < shape.outage[1]
        outcome = chance.choice(["refused", "refused", "503"]) if down else "ok"
        requests.append(RequestSample(at, at, at + latency, not down, outcome, "GET /"))
    return Requests(requests)


def _controllers(made: Timeline, shape: Shape) -> None:
    def pod(index: int, at: float, event: str, ready: bool, **more: object) -> None:
        value = {"event": event, "uid": f"uid-{index}", "ready": ready, "node": "worker-1", "containers": {}, **more}
        made.add(Observation("pods", f"podinfo-6d5f-{index}", at, value))

    def counts(at: float, ready: int) -> None:
        conditions = {"Available": {"status": str(ready > 0), "reason": "MinimumReplicas", "message": ""}}
        value = {"uid": "d", "desired": shape.replicas, "ready": ready, "revision": "1", "conditions": conditions}
        made.add(Observation("workloads", "deployment/podinfo", at, value))
        made.add(Observation("endpoints", "podinfo", at + 0.04, {"ready": [f"uid-{n}" for n in range(ready)]}))

    for index in range(shape.replicas):
        pod(index, -1.0, "SYNC", ready=True)
    counts(-1.0, shape.replicas)
    for index in range(shape.lost):
        pod(index, 20.05, "MODIFIED", ready=True, deleting=True)
        pod(index, 20.6, "DELETED", ready=False)
        pod(index + 10, 20.2, "ADDED", ready=False)
        waiting = {"podinfo": {"restarts": 0, "waiting": "ContainerCreating"}}
        pod(index + 10, 20.9, "MODIFIED", ready=False, containers=waiting)
        pod(index + 10, shape.ready_again + 0.1 * index, "MODIFIED", ready=True)
    counts(20.1, shape.replicas - shape.lost)
    counts(shape.ready_again + 0.1 * shape.lost, shape.replicas)
    warning = {"type": "Warning", "reason": "Unhealthy", "message": "Readiness probe failed: connection refused"}
    made.add(Observation("events", "Pod/podinfo-6d5f-10", 23.0, {**warning, "count": 1}))
    made.add(Observation("events", "Pod/podinfo-6d5f-10", 25.0, {**warning, "count": 3}))


def availability(share: float, samples: int = 3085) -> ObjectiveRecord:
    """An availability objective of 99.9% and what was observed."""
    held = share >= 0.999
    failed = round((1 - share) * samples)
    return ObjectiveRecord(
        kind="availability",
        title="availability",
        verdict=Verdict.HELD if held else Verdict.BROKEN,
        reason=f"{failed} of {samples} requests failed" if failed else f"none of {samples} requests failed",
        phases=["fault", "recovery"],
        observed=share,
        low=share - 0.0008,
        high=min(1.0, share + 0.0004),
        limit=0.999,
        unit="share",
        comparison=">=",
        margin=share - 0.999,
        samples=samples,
    )


def recovery_time(seconds: float, limit: float = 20.0) -> ObjectiveRecord:
    """A recovery time objective and what was observed."""
    held = seconds <= limit
    return ObjectiveRecord(
        kind="recoveryTime",
        title="recovery of deployment/podinfo",
        verdict=Verdict.HELD if held else Verdict.BROKEN,
        reason=f"all clocks saw the recovery within {seconds:.1f} s" if held else f"took {seconds:.1f} s",
        phases=["fault", "recovery"],
        observed=seconds,
        low=seconds - 0.3,
        high=seconds,
        limit=limit,
        unit="s",
        comparison="<=",
        margin=limit - seconds,
        samples=4,
    )


def latency(share: float = 0.994) -> ObjectiveRecord:
    """A latency objective: 95% of requests below 200 ms."""
    return ObjectiveRecord(
        kind="latency",
        title="95% below 200 ms",
        verdict=Verdict.HELD if share >= 0.95 else Verdict.BROKEN,
        reason=f"{share:.1%} of the answered requests were below 200 ms",
        phases=["fault", "recovery"],
        observed=share,
        low=share - 0.004,
        high=share + 0.002,
        limit=0.95,
        unit="share",
        comparison=">=",
        margin=share - 0.95,
        samples=3051,
        detail={"p95": "38 ms", "p99": "141 ms"},
    )


def clocks(shape: Shape) -> list[ClockRecord]:
    """The four clocks' view of a shape."""
    back = shape.ready_again
    took = Bounds(low=back - 20.06, high=back - 20.0)
    user = ClockRecord(clock="user", subject="load", state="not disrupted", reason="no request failed")
    if shape.outage:
        began, ended = shape.outage
        user = ClockRecord(
            clock="user",
            subject="load",
            state="recovered",
            low=ended - began,
            high=ended - began + 0.04,
            began=began,
            ended=ended,
            reason="first of 50 good requests in a row",
        )
    plane = {"subject": "deployment/podinfo", "state": "recovered", "low": took.low, "high": took.high}
    return [
        user,
        ClockRecord.model_validate({"clock": "endpoints", **plane, "began": 20.14, "ended": back + 0.04}),
        ClockRecord.model_validate({"clock": "control plane", **plane, "began": 20.1, "ended": back}),
        ClockRecord(clock="prometheus", subject="up", state="no data", reason="one scrape only in the window"),
    ]


def experiment(name: str = "pod-kill", shape: Shape | None = None, **changes: object) -> ExperimentRecord:
    """A judged experiment that held, unless ``changes`` say otherwise."""
    shape = shape or Shape()
    seen = timeline(shape)
    failed = [request for request in seen.requests if not request.ok]
    record = ExperimentRecord(
        stage="closed",
        id=f"experiments/self_healing/{name.replace('-', '_')}.yaml::{name}",
        name=name,
        file="pod_kill.yaml",
        hypothesis="Losing one of three replicas costs no user a failed request.",
        namespace=f"rh-{name}-20261123-071000-3fa2",
        seed=42,
        started=ORIGIN,
        finished="2026-11-23T07:11:12.400Z",
        origin=ORIGIN,
        verdict=Verdict.HELD,
        reason="all 3 objectives held",
        passed=True,
        phases=[PhaseRecord(name=p.name, start=p.start, end=p.end) for p in seen.phases],
        faults=[fault(seen.injections[0])],
        objectives=[availability(1.0), latency(), recovery_time(shape.ready_again - 20)],
        baseline=[availability(1.0, 1000)],
        recovery=clocks(shape),
        load=LoadRecord(
            profile="steady at 50/s",
            target="service/podinfo",
            offered=len(seen.requests),
            achieved=len(seen.requests),
            failed=len(failed),
            outcomes={"ok": len(seen.requests) - len(failed), **({"refused": len(failed)} if failed else {})},
            latency={
                "baseline": {"p50": 0.0122, "p95": 0.0219, "p99": 0.0281, "max": 0.0402},
                "fault": {"p50": 0.0131, "p95": 0.141, "p99": 0.177, "max": 0.198},
                "recovery": {"p50": 0.0121, "p95": 0.0217, "p99": 0.0276, "max": 0.0391},
            },
        ),
        chart=build_chart(seen),
        events=build_events(seen),
    )
    return record.model_copy(update=changes)


def fault(injection: Injection) -> FaultRecord:
    """The record of an injection."""
    return FaultRecord(
        kind=injection.fault,
        parameters={"selector": "app=podinfo", "count": len(injection.victims), "gracePeriod": 0.0},
        victims=[VictimRecord(kind=v.kind, name=v.name, uid=v.uid, detail=v.detail) for v in injection.victims],
        injected=Bounds(low=injection.injected.low, high=injection.injected.high),
        undone=Bounds(low=injection.undone.low, high=injection.undone.high) if injection.undone else None,
        proven=injection.proven,
        evidence=injection.evidence,
    )


def broken() -> ExperimentRecord:
    """All replicas killed at once: an outage of nine seconds."""
    shape = Shape(outage=(20.04, 28.1), slow=(28.1, 31.0), slowest=1.6, lost=3, ready_again=27.9)
    return experiment(
        "kill-all",
        shape,
        file="kill_all.yaml",
        hypothesis="Losing all replicas at once is over within ten seconds, with fewer than 0.1% of requests failed.",
        verdict=Verdict.BROKEN,
        reason="availability: 403 of 3085 requests failed, 86.9% answered where at least 99.9% must be",
        passed=False,
        objectives=[availability(0.869), latency(0.961), recovery_time(8.1, 10)],
        evidence_files=["experiments/kill-all-0123456789/cluster/events.txt", "experiments/kill-all/pods/podinfo.log"],
    )


def twin(held: bool = False) -> ExperimentRecord:
    """The twin with one replica, which broke as it must; or one that held, which shows that nothing was proven."""
    changes: dict[str, object] = {
        "id": "experiments/self_healing/pod_kill.yaml::pod-kill[single-replica]",
        "twin": "single-replica",
        "because": "one replica instead of three, so that nothing serves while it is replaced",
        "breaks": ["availability"],
    }
    if held:
        reason = "the twin must break availability, but did not: all 3 objectives held"
        return experiment(**changes, passed=False, reason=reason)  # type: ignore[arg-type]
    shape = Shape(outage=(20.03, 26.2), replicas=1, ready_again=26.1, slow=(26.2, 27.0))
    objectives = [availability(0.901), latency(), recovery_time(6.1)]
    reason = "availability: 306 of 3085 requests failed"
    changes |= {"verdict": Verdict.BROKEN, "reason": reason, "objectives": objectives}
    return experiment("pod-kill", shape, **changes)


def users() -> LoadRecord:
    """The load of a locustfile whose users waited in the outage."""
    return LoadRecord(
        profile="locustfile.py: 40 users",
        target="service/podinfo",
        offered=2811,
        achieved=2808,
        failed=306,
        outcomes={"ok": 2502, "timeout": 306},
        latency={"baseline": {"p50": 0.0122, "p95": 0.0219, "p99": 0.0281, "max": 0.0402}},
        model="closed",
        users=40,
        waited={"baseline": 0.03, "fault": 0.61, "recovery": 0.04},
        hidden={"fault": 512, "recovery": 0},
        unfinished=3,
        exceptions={"ValueError: no such article": 12},
        notes=["the shape ended 30 s after the start of the baseline: its last value was kept"],
    )


def inconclusive() -> ExperimentRecord:
    """A fault without proof."""
    shape = Shape(slow=(0.0, 0.0), lost=0)
    record = experiment(
        "rollout-bad-image",
        shape,
        file="rollout_bad_image.yaml",
        hypothesis="A rollout to an image that does not exist halts, and the old replicas serve on.",
        verdict=Verdict.INCONCLUSIVE,
        reason="no evidence that badRollout took effect: no pod of the new revision was ever seen to wait",
        passed=False,
    )
    undo = UndoRecord(kind="badRollout", description="deployment/podinfo back to revision 1", state="done")
    bad = FaultRecord(
        kind="badRollout",
        parameters={"workload": "deployment/podinfo", "image": "does-not:exist"},
        victims=[VictimRecord(kind="Deployment", name="podinfo", uid="d")],
        injected=Bounds(low=20.0, high=20.1),
        undone=Bounds(low=30.1, high=30.9),
        evidence="no pod of the new revision was ever seen to wait",
        undo=[undo],
    )
    unproven = record.objectives[0].model_copy(update={"verdict": Verdict.INCONCLUSIVE, "reason": "too few samples"})
    return record.model_copy(update={"faults": [bad], "objectives": [unproven, *record.objectives[1:]]})


def cut_short() -> ExperimentRecord:
    """An experiment that was observed, and whose run died before judging it."""
    return experiment(
        "leader-kill",
        file="leader_kill.yaml",
        hypothesis="Killing the leader of three members loses no acknowledged write.",
        stage="observed",
        verdict=Verdict.INCONCLUSIVE,
        reason="",
        finished="",
        passed=False,
        objectives=[],
    )


def environment() -> EnvironmentRecord:
    """A local cluster of three nodes."""
    machine = "Debian GNU/Linux 12 (bookworm), 6.1.0, containerd://1.6.20"
    nodes = [
        NodeRecord(name=f"worker-{index}", zone=f"zone-{index}", version="v1.36.3", machine=machine) for index in (1, 2)
    ]
    return EnvironmentRecord(
        context="local-resilience",
        server="https://127.0.0.1:6443",
        provider="local",
        kubernetes="v1.36.3",
        nodes=nodes,
        prometheus="http://127.0.0.1:9090, 3.5.0",
        scrape_interval=1.0,
        capabilities=["image-load", "node-power"],
    )


def run(*experiments: ExperimentRecord) -> RunRecord:
    """A finished run."""
    return RunRecord(
        run="20261123-071000-3fa2",
        started=ORIGIN,
        finished="2026-11-23T07:16:12.000Z",
        seed=42,
        command="pytest --cluster --twins experiments",
        harness="0.1.0",
        environment=environment(),
        experiments=list(experiments),
    )


def skipping(*experiments: ExperimentRecord) -> RunRecord:
    """A run with a skipped experiment and a skipped twin."""
    skipped = [
        SkipRecord(
            id="wide.yaml::wide", name="wide", reason="affects more than its own namespace: " + "add an opt-in " * 40
        ),
        SkipRecord(id="pair.yaml::pair[weak]", name="pair[weak]", twin="weak", reason="the guard allows <2> pods"),
    ]
    return run(*experiments).model_copy(update={"skipped": skipped})


def day(*experiments: ExperimentRecord) -> RunRecord:
    """A game day: one experiment ran, another in an earlier run, one was skipped, one was left out."""
    turns = [
        TurnRecord(id=each.id, name=each.name, run=run().run, verdict=each.verdict, outcome=each.verdict)
        for each in experiments
    ]
    before = TurnRecord(id="d::b", name="before", twin="weak", round=2, run="earlier", verdict=Verdict.HELD)
    skipped = TurnRecord(id="d::s", name="skipped", run="run", reason="the guard says no")
    choice = ChoiceRecord(
        budget=1200.0,
        chosen=[ChosenRecord(name=each.name, reason="never run", seconds=90.0) for each in experiments],
        left_out=[LeftOutRecord(name="long", reason="takes 25 min, longer than the whole budget", seconds=1500.0)],
    )
    made = GameDayRecord(
        name="friday", hypothesis="Users notice nothing", started="2026-01-01T00:00:00Z", verdict=Verdict.INCONCLUSIVE,
        reason="3 runs: 2 passed; aborted", aborted="too many errors", runs=["earlier", "run"], rounds=2,
        turns=[before, *turns, skipped], choice=choice,
    )  # fmt: skip
    return run(*experiments).model_copy(update={"game_day": made})


def mixed() -> RunRecord:
    """One of each."""
    return run(experiment(), twin(), broken(), inconclusive(), cut_short(), autoscaling())


def autoscaling() -> ExperimentRecord:
    """An HPA that scales out under load and back."""
    shape = Shape(slow=(8.0, 22.0), slowest=0.9, lost=0)
    record = experiment(
        "cpu-ramp",
        shape,
        file="cpu_ramp.yaml",
        hypothesis="A load ramp is met by more replicas within 30 s, never more than six, and fewer again afterwards.",
        faults=[],
        recovery=[],
        objectives=[
            ObjectiveRecord(
                kind="replicas",
                title="replicas of hpa/burner",
                verdict=Verdict.HELD,
                reason="scaled 1 → 5 within 22.4 s, never above 6",
                observed=5,
                limit=6,
                unit="replicas",
                comparison="<=",
                margin=1,
                samples=61,
            ),
            latency(0.9501),
        ],
    )
    assert record.chart
    steps = {
        "hpa/burner desired": [(0.0, 1.0), (12.0, 2.0), (17.0, 4.0), (22.0, 5.0), (50.0, 1.0)],
        "deployment/burner ready": [(0.0, 1.0), (14.3, 2.0), (19.6, 4.0), (24.1, 5.0), (51.2, 1.0)],
    }
    return record.model_copy(update={"chart": record.chart.model_copy(update={"steps": steps})})


def controlled() -> ExperimentRecord:
    """The big outage beside a control arm of which next to nothing failed."""
    record = broken()
    beside = BesideRecord(
        verdict=Verdict.HELD,
        reason="3083 of 3085 requests succeeded",
        observed=0.9994,
        samples=3085,
        difference=-13.04,
        difference_low=-14.3,
        difference_high=-11.9,
    )
    calm = experiment(shape=Shape(lost=0, slow=(0.0, 0.0), outage=(33.0, 33.03)))
    control = ControlRecord(
        namespace="rh-kill-all--control-20261123-071000-3fa2", confidence=0.95, load=calm.load, chart=calm.chart
    )
    objectives = [record.objectives[0].model_copy(update={"control": beside}), *record.objectives[1:]]
    changes = {"name": "kill-all-controlled", "id": "x::kill-all-controlled", "file": "controlled.yaml"}
    return record.model_copy(update={**changes, "control": control, "objectives": objectives})


def repeated() -> ExperimentRecord:
    """Two attempts that came back, one that never did, and what stands for all three."""
    made = [
        experiment("again", attempt=number, seed=number, id="x::again", verdict=verdict, passed=verdict is Verdict.HELD)
        for number, verdict in enumerate((Verdict.HELD, Verdict.HELD, Verdict.BROKEN), 1)
    ]
    quantiles = [
        QuantileRecord(name="p50", low=7.2, high=7.6, at_least=6.9),
        QuantileRecord(name="p90", low=60.0),
        QuantileRecord(name="p95", low=60.0),
        QuantileRecord(name="max", low=60.0, at_least=60.0),
    ]
    series = SeriesRecord(
        at_most=3,
        as_should=2,
        otherwise=1,
        good=0.95,
        bad=0.5,
        confidence=0.8,
        recovery=[DistributionRecord(clock="user", attempts=3, recovered=2, undisrupted=0, quantiles=quantiles)],
    )
    reason = "not enough repeats: held in 2 of 3 attempts, at least 7 are needed with 1 that did not"
    lead = experiment("again", id="x::again", verdict=Verdict.INCONCLUSIVE, passed=False, reason=reason, seed=1)
    none: dict[str, object] = {"chart": None, "load": None, "recovery": [], "faults": [], "events": [], "phases": []}
    return lead.model_copy(update={**none, "series": series, "attempts": made})


def hostile() -> RunRecord:
    """Strings of attackers and of bad luck in every place that a cluster or a user can fill."""
    return filled_with(f"{number:04}{string}" for number, string in enumerate(itertools.cycle(HOSTILE)))


def harmless() -> RunRecord:
    """The same run with words in their places, as long as they are: long text is folded."""
    words = (re.sub(r"[^ \n]", "w", string) for string in itertools.cycle(HOSTILE))
    return filled_with(f"{number:04}{word}" for number, word in enumerate(words))


def filled_with(strings: Iterator[str]) -> RunRecord:
    """A run of which every free text is one of these strings: distinct and in order, since the report sorts them."""
    records = [
        ExperimentRecord.model_validate(_fill(record.model_dump(), strings))
        for record in (broken(), twin(), inconclusive(), controlled(), repeated())
    ]
    weak = experiment().model_copy(update={"mutant": "weak"})
    frame = _fill(mutated(skipping(), weak).model_dump(exclude={"experiments"}), strings)
    assert isinstance(frame, dict)
    return RunRecord.model_validate({**frame, "experiments": [record.model_dump() for record in records]})


def mutated(of: RunRecord, mutant: ExperimentRecord) -> RunRecord:
    """The run with this mutant, one that was caught and one that was left out."""
    found = [
        MutantRecord(id=mutant.id, operator=mutant.mutant, outcome="survived", reason="nothing notices it"),
        MutantRecord(id="a", operator="replicas-1", outcome="caught", caught_by=["availability"], twin="one"),
        MutantRecord(id="b", operator="no-limits", outcome="not judged", reason="has no limits"),
    ]
    mutation = MutationRecord(
        caught=1, survived=1, not_judged=1, score=50, experiments=[MutatedRecord(id="i", name="shop", mutants=found)]
    )
    return of.model_copy(update={"mutants": [mutant], "mutation": mutation})


_KEPT = {
    "quantiles",
    "verdict",
    "since",
    "stage",
    "state",
    "clock",
    "provider",
    "ownership",
    "schema_version",
    "comparison",
    "unit",
    "model",
    "started",
    "origin",
    "content",
    "mutant",
    "outcome",
}


def _fill(value: object, strings: Iterator[str], key: str = "") -> object:
    if isinstance(value, Verdict) or key in _KEPT:
        return value
    if isinstance(value, str):
        return next(strings)
    if isinstance(value, list):
        return [_fill(inner, strings, key) for inner in value]
    if isinstance(value, dict) and key in {
        "steps",
        "outcomes",
        "latency",
        "detail",
        "parameters",
        "waited",
        "exceptions",
    }:
        return {next(strings): inner if key == "latency" else _fill(inner, strings) for inner in value.values()}
    if isinstance(value, dict):
        return {name: _fill(inner, strings, name) for name, inner in value.items()}
    return value


def many(count: int = 60) -> RunRecord:
    """As many experiments, one in ten broken."""
    made = []
    for index in range(count):
        base = broken() if index % 10 == 3 else experiment()
        made.append(base.model_copy(update={"name": f"{base.name}-{index}", "id": f"{base.id}-{index}"}))
    return run(*made)
