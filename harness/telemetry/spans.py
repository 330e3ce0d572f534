"""The spans of a run: run, experiment, phase and fault, with the times and the ids of their records.

Each attempt of an experiment is a trace, so that a backend shows its requests and nothing else; the trace of the run
and those of its experiments are linked. Plain data: only ``harness.telemetry.otlp`` knows OpenTelemetry's classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.model.trace_context import TraceIds
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, FaultRecord, PhaseRecord, RunRecord, VictimRecord
from harness.results.reporting.overview import item_name, reason, run_verdict
from harness.telemetry.moments import attempts, seconds, wall

Value = str | bool | int | float
# Kinds of victims that OpenTelemetry's semantic conventions have attributes for: k8s.pod.name, k8s.pod.uid …
_KINDS = frozenset({"pod", "node", "deployment", "statefulset", "daemonset", "rollout", "replicaset", "namespace"})


@dataclass(frozen=True, slots=True)
class Moment:
    """An event of a span, at Unix seconds."""

    name: str
    at: float
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """One span, with Unix seconds. ``parent`` is a span id; ``links`` are pairs of trace id and span id.

    ``error`` is why its status is an error; None for a status of OK, "" for none.
    """

    name: str
    trace: str
    id: str
    start: float
    end: float
    parent: str = ""
    attributes: Mapping[str, Value] = field(default_factory=dict)
    events: Sequence[Moment] = ()
    links: Sequence[tuple[str, str]] = ()
    error: str | None = ""


def ids_of(run: RunRecord, record: ExperimentRecord) -> TraceIds:
    """Return the ids of the trace of one execution, which its load has sent too."""
    of = record
    return TraceIds.of(
        run.run,
        file=of.file,
        name=of.name,
        twin=of.twin,
        round=of.round,
        attempt=of.attempt,
        rerun=of.rerun,
    )


def spans(run: RunRecord) -> Iterator[Span]:
    """Yield the span of the run, and the spans of every execution that has started."""
    began = seconds(run.started) or 0.0
    ids, verdict = TraceIds.of(run.run), run_verdict(run)
    traces = [(record, ids_of(run, record)) for record in attempts(run) if record.started]
    yield Span(
        name=f"run {run.run}",
        trace=ids.trace,
        id=ids.span(),
        start=began,
        end=max(began, seconds(run.finished) or began),
        attributes={
            "test.suite.name": "resilience",
            "test.suite.run.status": "success" if verdict is Verdict.HELD else "failure",
            "resilience.run": run.run,
            "resilience.verdict": str(verdict),
            "resilience.seed": run.seed,
            **_cluster(run),
        },
        links=[(own.trace, own.span()) for _, own in traces],
        error=None if verdict is Verdict.HELD else f"{verdict}",
    )
    for record, own in traces:
        yield from _of_experiment(run, record, own)


def _of_experiment(run: RunRecord, record: ExperimentRecord, ids: TraceIds) -> Iterator[Span]:
    began = seconds(record.started) or 0.0
    end = max(began, seconds(record.finished) or _last(record) or began)
    of_run = TraceIds.of(run.run)
    yield Span(
        name=f"experiment {item_name(record)}",
        trace=ids.trace,
        id=ids.span(),
        start=began,
        end=end,
        attributes={
            "test.case.name": record.name,
            "test.case.result.status": "pass" if record.passed else "fail",
            "resilience.run": run.run,
            "resilience.verdict": str(record.standing),
            "resilience.hypothesis": record.hypothesis,
            "resilience.seed": record.seed,
            "resilience.attempt": record.attempt,
            **({"resilience.twin": record.twin} if record.twin else {}),
            **({"k8s.namespace.name": record.namespace} if record.namespace else {}),
            **_cluster(run),
        },
        events=list(_recoveries(record)),
        links=[(of_run.trace, of_run.span())],
        error=None if record.passed else f"{record.standing}: {reason(record)}",
    )
    for phase in record.phases:
        yield Span(
            name=f"phase {phase.name}",
            trace=ids.trace,
            id=ids.span(phase.name),
            parent=ids.span(),
            start=wall(record, phase.start),
            end=_end(record, phase, end),
            attributes={"resilience.phase": phase.name},
        )
    for number, fault in enumerate(record.faults):
        if fault.injected:
            yield _of_fault(record, fault, number, ids, end)


def _of_fault(record: ExperimentRecord, fault: FaultRecord, number: int, ids: TraceIds, end: float) -> Span:
    assert fault.injected is not None
    phase = next((each for each in record.phases if _covers(each, fault.injected.low)), None)
    start, injected = wall(record, fault.injected.low), wall(record, fault.injected.high)
    undone = wall(record, fault.undone.high) if fault.undone else None
    # A fault that has nothing to undo, such as a killed pod, has an instant and no length.
    last = undone or (injected if not fault.undo else _end(record, phase, end) if phase else end)
    failed = [f"{entry.description}: {entry.error or 'not tried'}" for entry in fault.undo if entry.state != "done"]
    error: str | None = f"UNDO FAILED: {'; '.join(failed)}" if failed else None
    if error is None and not fault.proven:
        error = f"no evidence that it took effect: {fault.evidence}"
    where = {"k8s.namespace.name": record.namespace} if record.namespace else {}
    events = [Moment("injected", injected, {**where, **_victim(victim)}) for victim in fault.victims]
    events = events or [Moment("injected", injected)]
    if undone is not None:
        events.append(Moment("undone", undone))
    return Span(
        name=f"fault {fault.kind}",
        trace=ids.trace,
        id=ids.span("fault", str(number)),
        parent=ids.span(phase.name) if phase else ids.span(),
        start=start,
        end=max(start, last),
        attributes={
            "resilience.fault.kind": fault.kind,
            "resilience.fault.proven": fault.proven,
            "resilience.fault.evidence": fault.evidence,
        },
        events=events,
        error=error,
    )


def _recoveries(record: ExperimentRecord) -> Iterator[Moment]:
    for clock in record.recovery:
        about = {"resilience.clock": clock.clock, "resilience.subject": clock.subject}
        if clock.began is not None:
            yield Moment("disrupted", wall(record, clock.began), about)
        if clock.ended is not None:
            yield Moment("recovered", wall(record, clock.ended), about)


def _victim(victim: VictimRecord) -> dict[str, Value]:
    kind = victim.kind.lower()
    named = {f"k8s.{kind}.name": victim.name, f"k8s.{kind}.uid": victim.uid} if kind in _KINDS else {}
    return {"resilience.victim": f"{kind}/{victim.name}", **named}


def _cluster(run: RunRecord) -> dict[str, Value]:
    return {"k8s.cluster.name": run.environment.context} if run.environment and run.environment.context else {}


def _covers(phase: PhaseRecord, at: float) -> bool:
    return phase.start <= at and (phase.end is None or at < phase.end)


def _end(record: ExperimentRecord, phase: PhaseRecord, end: float) -> float:
    """Return when a phase ended; for one that was interrupted, when the experiment did."""
    return wall(record, phase.end) if phase.end is not None else max(end, wall(record, phase.start))


def _last(record: ExperimentRecord) -> float | None:
    """Return the last known time of an experiment that did not end."""
    return max((wall(record, phase.end or phase.start) for phase in record.phases), default=None)
