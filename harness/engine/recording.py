"""Map the experiment, the timeline and the findings to the stored record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isfinite
from typing import Protocol, runtime_checkable

import numpy as np

from harness.advice.adviser import advise
from harness.common.clock import iso
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.experiment.load import Load
from harness.experiment.manifests import Workload
from harness.faults.base import Fault
from harness.judging.judge import Judged
from harness.model.closed_model import pace, waited
from harness.model.finding import Beside
from harness.model.phase_names import BASELINE, PHASES
from harness.model.requests import Requests
from harness.model.timeline import Injection, Interval, ProbeStream, Timeline
from harness.objectives._fields import WORKLOADS
from harness.objectives.recovery import Recovery, recoveries
from harness.results.advice_record import AdviceRecord
from harness.results.record import (
    BesideRecord,
    Bounds,
    ClockRecord,
    ControlRecord,
    ExperimentRecord,
    FaultRecord,
    ImageRecord,
    ObjectiveRecord,
    PhaseRecord,
    UndoRecord,
    VictimRecord,
    WorkloadRecord,
)
from harness.results.reporting.chart import build_chart
from harness.results.reporting.events import build_events
from harness.results.traffic_record import LoadRecord, ProbeRecord
from harness.safety.undo.entry import UndoEntry
from harness.stats.bounds import nearest_rank
from harness.traffic.prober.declaration import Probing


def declared(experiment: Experiment, node_id: str, run: Run) -> ExperimentRecord:
    """Return the record of an experiment that has not started yet."""
    now = iso(run.clock.wall())
    return ExperimentRecord(
        id=node_id,
        name=experiment.name,
        twin=experiment.twin,
        mutant=experiment.mutant,
        weakened=list(experiment.weakened),
        file=experiment.file.name,
        hypothesis=experiment.hypothesis,
        workload=_workload(experiment.workload),
        namespace=run.namespace_of(experiment),
        seed=run.seed,
        started=now,
        origin=now,
        breaks=list(experiment.breaks),
        because=experiment.because,
        attempt=experiment.attempt,
        rerun=experiment.rerun,
        round=experiment.round,
        content=experiment.content,
    )


def describe_run(
    record: ExperimentRecord, experiment: Experiment, timeline: Timeline, undo: Sequence[UndoEntry]
) -> None:
    """Fill in the observations of the arm under fault, as far as the run got."""
    record.origin = iso(timeline.wall_origin)
    # Again, since a Python test deploys its workload after it was declared.
    record.workload = _workload(experiment.workload)
    record.images = _images(timeline)
    record.phases = [
        PhaseRecord(
            name=phase.name,
            start=phase.start,
            end=phase.end if isfinite(phase.end) else None,
            at_most=phase.at_most,
        )
        for phase in timeline.phases
    ]
    if timeline.stopped:
        record.stopped_early, record.stopped_at = timeline.stopped.reason, timeline.stopped.at
    record.faults = _faults(experiment, timeline, undo)
    if experiment.load:
        record.load = load_record(experiment.load, timeline)
    record.loads = _loads(experiment, timeline)
    record.probing = [
        _probing(probing, stream) for probing, stream in zip(experiment.prober, timeline.probes, strict=False)
    ]
    if timeline.phases:
        record.recovery = [_clock(found) for found in _recoveries(experiment, timeline)]
        record.chart = build_chart(timeline)
        record.events = build_events(timeline)


def _images(timeline: Timeline) -> list[ImageRecord]:
    pods: dict[tuple[str, str], set[str]] = {}
    for seen in timeline.observations("pods"):
        for image, number in (seen.value or {}).get("images", ()):
            # A node reports repository@digest for what it pulled, and only an id for what was loaded into it.
            pods.setdefault((image, number.rpartition("@")[2]), set()).add(seen.subject)
    return [ImageRecord(image=image, digest=digest, pods=len(of)) for (image, digest), of in sorted(pods.items())]


def _workload(workload: Workload) -> WorkloadRecord | None:
    if not workload.objects:
        return None
    text = json.dumps(workload.objects, sort_keys=True, separators=(",", ":"))
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    origin = workload.origin
    return WorkloadRecord(source=origin.source or str(workload.folder), tool=origin.tool, digest=digest)


def describe_control(experiment: Experiment, namespace: str, timeline: Timeline) -> ControlRecord | None:
    """Return the record of the control arm, or None without one."""
    if experiment.control is None:
        return None
    return ControlRecord(
        namespace=namespace,
        confidence=experiment.control.confidence,
        load=load_record(experiment.load, timeline) if experiment.load else None,
        loads=_loads(experiment, timeline),
        chart=build_chart(timeline) if timeline.phases else None,
    )


def describe_findings(findings: Judged) -> list[ObjectiveRecord]:
    """Return the findings of the objectives as records, in their order."""
    return [
        ObjectiveRecord(
            kind=objective.kind,
            title=objective.title,
            verdict=finding.verdict,
            reason=finding.reason,
            phases=list(getattr(objective, "phases", ())),
            observed=finding.observed,
            low=finding.low,
            high=finding.high,
            limit=finding.limit,
            unit=finding.unit,
            comparison=finding.comparison,
            margin=finding.margin,
            samples=finding.samples,
            detail=finding.detail,
            good=finding.good,
            control=_control_finding(finding.beside) if finding.beside else None,
        )
        for objective, finding in findings
    ]


def describe_advice(experiment: Experiment, timeline: Timeline, findings: Judged) -> list[AdviceRecord]:
    """Return the likely causes of the missed objectives as records, the best supported first."""
    return [
        AdviceRecord(
            rule=rule.name,
            cause=advice.cause,
            evidence=advice.evidence,
            strength=advice.strength.word,
            explains=list(advice.explains),
            patch=dict(advice.patch),
        )
        for rule, advice in advise(experiment, timeline, findings)
    ]


def _control_finding(beside: Beside) -> BesideRecord:
    found = beside.finding
    return BesideRecord(
        verdict=found.verdict,
        reason=found.reason,
        observed=found.observed,
        low=found.low,
        high=found.high,
        samples=found.samples,
        difference=beside.difference,
        difference_low=beside.low,
        difference_high=beside.high,
    )


def _faults(experiment: Experiment, timeline: Timeline, undo: Sequence[UndoEntry]) -> list[FaultRecord]:
    """Return one record for each injection, and one for each fault that was not injected."""
    records = []
    for number, fault in enumerate(experiment.faults):
        timing = experiment.timing(number)
        made = [injection for injection in timeline.injections if injection.number == number]
        for turn, injection in enumerate(made or [None], start=1):
            count = f"{turn} of {timing.times}" if timing.times > 1 and injection else ""
            shown = "; ".join(filter(None, (str(timing), count)))
            records.append(_fault(fault, shown, injection, undo))
    return records


def _fault(fault: Fault, timing: str, injection: Injection | None, undo: Sequence[UndoEntry]) -> FaultRecord:
    return FaultRecord(
        kind=fault.kind,
        parameters=fault.model_dump(mode="json", by_alias=True, exclude_none=True),
        timing=timing,
        victims=[
            VictimRecord(kind=victim.kind, name=victim.name, uid=victim.uid, detail=victim.detail)
            for victim in (injection.victims if injection else ())
        ],
        injected=_bounds(injection.injected) if injection else None,
        undone=_bounds(injection.undone) if injection and injection.undone else None,
        proven=bool(injection and injection.proven),
        evidence=injection.evidence if injection else "not injected",
        undo=[
            UndoRecord(kind=entry.kind, description=entry.description, state=entry.state, error=entry.error)
            for entry in undo
            if entry.kind == fault.kind and (injection is None or entry.id in injection.entries)
        ],
    )


def _loads(experiment: Experiment, timeline: Timeline) -> list[LoadRecord]:
    """Return the records of several loads; empty for a single one."""
    # A load that was not started has no requests on the timeline.
    return [
        load_record(load, timeline.of_load(name), name)
        for name, load in experiment.loads.items()
        if name in timeline.loads
    ]


def load_record(load: Load, timeline: Timeline, name: str = "") -> LoadRecord:
    """Return the record of a load on the target of a timeline; ``name`` is that of one of several."""
    summary = timeline.load
    return LoadRecord(
        name=name,
        profile=load.described,
        scale=load.scale,
        target=str(load.target),
        offered=summary.offered if summary else 0,
        achieved=summary.achieved if summary else len(timeline.requests),
        dropped=summary.dropped if summary else 0,
        failed=summary.failed if summary else timeline.requests.failed,
        saturated=summary.saturated if summary else False,
        outcomes=dict(timeline.requests.outcomes.most_common()),
        latency={name: _latency(due) for name in PHASES if (due := timeline.requests_in([name]))},
        model=load.model,
        users=max((count for _, count in summary.users), default=0) if summary else 0,
        waited={name: share for name in PHASES if (share := waited(timeline, name)) is not None},
        hidden={name: found.hidden for name in PHASES if name != BASELINE and (found := pace(timeline, name))},
        unfinished=len(summary.unfinished) if summary else 0,
        exceptions=dict(summary.exceptions) if summary else {},
        notes=[*(summary.notes if summary else ()), *_sessions(timeline)],
    )


def _sessions(timeline: Timeline) -> Iterator[str]:
    """Yield how many requests the arrivals sent, if some sent several."""
    summary = timeline.load
    if summary and summary.model == "open" and len(timeline.requests) > summary.achieved:
        yield f"{len(timeline.requests):,} requests in {summary.achieved:,} arrivals"


def _probing(probing: Probing, stream: ProbeStream) -> ProbeRecord:
    return ProbeRecord(
        name=stream.name,
        target=str(probing.aim.target),
        protocol=probing.protocol,
        connection=probing.connection,
        rate=probing.rate,
        timeout=probing.timeout,
        sent=len(stream.seen),
        failed=stream.seen.failed,
        dropped=stream.dropped,
        outcomes=dict(stream.seen.outcomes.most_common()),
        latency=_latency(stream.seen),
    )


def _latency(requests: Requests) -> dict[str, float]:
    good = np.sort(requests.latency[requests.ok])
    if not len(good):
        return {}
    found = {f"p{share}": float(good[nearest_rank(len(good), share / 100)]) for share in (50, 95, 99)}
    return found | {"max": float(good[-1])}


@runtime_checkable
class _Timed(Protocol):
    """An objective that evaluates a recovery."""

    def recoveries(self, timeline: Timeline) -> Sequence[Recovery]: ...


def _recoveries(experiment: Experiment, timeline: Timeline) -> list[Recovery]:
    """Return each recovery that an objective evaluates once, then those of the workloads of the other objectives.

    The latter are recorded as not judged."""
    found: dict[Recovery, bool] = {}
    workloads: set[str] = set()
    for objective in experiment.objectives:
        if isinstance(objective, _Timed):
            workloads.add(str(getattr(objective, "of", "")))
            for clock in objective.recoveries(timeline):
                key = replace(clock, judged=False)
                found[key] = found.get(key, False) or clock.judged
    others = {str(getattr(objective, "of", "")) for objective in experiment.objectives} - workloads
    for of in sorted(others):
        if of.partition("/")[0] in WORKLOADS:
            found |= dict.fromkeys(recoveries(timeline, of), False)
    return [replace(clock, judged=judged) for clock, judged in found.items()]


def _clock(found: Recovery) -> ClockRecord:
    length = found.length
    return ClockRecord(
        clock=found.clock,
        subject=found.subject,
        state=found.state,
        low=length.low if length else None,
        high=length.high if length and isfinite(length.high) else None,
        likely=found.likely,
        began=found.began,
        ended=found.ended,
        reason=found.reason,
        since=found.since,
        judged=found.judged,
    )


def _bounds(interval: Interval) -> Bounds:
    return Bounds(low=interval.low, high=interval.high)
