"""From what happened to the record: the mapping of experiment, timeline and findings to stored facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import isfinite

from harness.clock import iso
from harness.experiment import Experiment
from harness.judging import Judged
from harness.objective import Beside
from harness.observation import PHASES, Interval, ProbeStream, RequestSeen, Timeline
from harness.prober.declaration import Probing
from harness.record import (
    BesideRecord,
    Bounds,
    ClockRecord,
    ControlRecord,
    ExperimentRecord,
    FaultRecord,
    LoadRecord,
    ObjectiveRecord,
    PhaseRecord,
    ProbeRecord,
    UndoRecord,
    VictimRecord,
)
from harness.recovery import Recovery, Since, recoveries
from harness.reporting.chart import build_chart
from harness.reporting.events import build_events
from harness.run import Run
from harness.statistics import percentile
from harness.undo_entry import UndoEntry


def declared(experiment: Experiment, node_id: str, run: Run) -> ExperimentRecord:
    """The record of an experiment that has not started yet."""
    now = iso(run.clock.wall())
    return ExperimentRecord(
        id=node_id,
        name=experiment.name,
        twin=experiment.twin,
        file=experiment.file.name,
        hypothesis=experiment.hypothesis,
        namespace=run.namespace_of(experiment),
        seed=run.seed,
        started=now,
        origin=now,
        breaks=list(experiment.breaks),
        because=experiment.because,
        attempt=experiment.attempt,
    )


def describe_run(
    record: ExperimentRecord, experiment: Experiment, timeline: Timeline, undo: Sequence[UndoEntry]
) -> None:
    """Fill in everything that was seen of the arm that was broken, as far as the run came."""
    record.origin = iso(timeline.wall_origin)
    record.phases = [
        PhaseRecord(name=phase.name, start=phase.start, end=phase.end if isfinite(phase.end) else None)
        for phase in timeline.phases
    ]
    if timeline.stopped:
        record.stopped_early, record.stopped_at = timeline.stopped.reason, timeline.stopped.at
    record.faults = _faults(experiment, timeline, undo)
    if experiment.load:
        record.load = _load(experiment, timeline)
    record.probing = [
        _probing(probing, stream) for probing, stream in zip(experiment.prober, timeline.probes, strict=False)
    ]
    if timeline.phases:
        record.recovery = [_clock(found) for found in _recoveries(experiment, timeline)]
        record.chart = build_chart(timeline)
        record.events = build_events(timeline)


def describe_control(experiment: Experiment, namespace: str, timeline: Timeline) -> ControlRecord | None:
    """What was seen of the control arm."""
    if experiment.control is None:
        return None
    return ControlRecord(
        namespace=namespace,
        confidence=experiment.control.confidence,
        load=_load(experiment, timeline) if experiment.load else None,
        chart=build_chart(timeline) if timeline.phases else None,
    )


def describe_findings(findings: Judged) -> list[ObjectiveRecord]:
    """The findings of objectives as records, in their order."""
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
            control=_beside(finding.beside) if finding.beside else None,
        )
        for objective, finding in findings
    ]


def _beside(beside: Beside) -> BesideRecord:
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
    records = []
    for index, fault in enumerate(experiment.faults):
        injection = timeline.injections[index] if index < len(timeline.injections) else None
        records.append(
            FaultRecord(
                kind=fault.kind,
                parameters=fault.model_dump(mode="json", by_alias=True, exclude_none=True),
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
                    if entry.kind == fault.kind
                ],
            )
        )
    return records


def _load(experiment: Experiment, timeline: Timeline) -> LoadRecord:
    assert experiment.load is not None
    summary = timeline.load
    return LoadRecord(
        profile=f"{experiment.load.profile} at {experiment.load.rate:g}/s",
        target=experiment.load.target,
        offered=summary.offered if summary else 0,
        achieved=summary.achieved if summary else len(timeline.requests),
        dropped=summary.dropped if summary else 0,
        failed=summary.failed if summary else sum(not request.ok for request in timeline.requests),
        saturated=summary.saturated if summary else False,
        outcomes=dict(Counter(request.outcome for request in timeline.requests).most_common()),
        latency={name: _latency(timeline.requests_in([name])) for name in PHASES if timeline.requests_in([name])},
    )


def _probing(probing: Probing, stream: ProbeStream) -> ProbeRecord:
    return ProbeRecord(
        name=stream.name,
        target=probing.aim.target,
        protocol=probing.protocol,
        connection=probing.connection,
        rate=probing.rate,
        timeout=probing.timeout,
        sent=len(stream.seen),
        failed=sum(not probe.ok for probe in stream.seen),
        dropped=stream.dropped,
        outcomes=dict(Counter(probe.outcome for probe in stream.seen).most_common()),
        latency=_latency(stream.seen),
    )


def _latency(requests: Sequence[RequestSeen]) -> dict[str, float]:
    good = sorted(request.latency for request in requests if request.ok)
    if not good:
        return {}
    return {f"p{share}": percentile(good, share / 100) for share in (50, 95, 99)} | {"max": good[-1]}


def _recoveries(experiment: Experiment, timeline: Timeline) -> Iterator[Recovery]:
    """What every clock says of each workload that some objective asks about, counted as that objective counts."""
    asked: dict[str, Since] = {}
    for objective in experiment.objectives:
        of = str(getattr(objective, "of", ""))
        if of.startswith(("deployment/", "statefulset/", "daemonset/")):
            asked[of] = getattr(objective, "since", asked.get(of, "injected"))
    for of, since in sorted(asked.items()):
        yield from recoveries(timeline, of, since=since)


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
    )


def _bounds(interval: Interval) -> Bounds:
    return Bounds(low=interval.low, high=interval.high)
