"""Stored facts of a run, versioned: everything that a report says stands here, and rendering reads nothing else.

``results.json`` holds a ``RunRecord``. Its JSON Schema: ``harness schema results``. All ``at``, ``start``
and ``end`` are seconds since the experiment's origin; ``wall`` times are RFC 3339 in UTC.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.verdict import Verdict

SCHEMA_VERSION = "1"


class _Fact(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class Bounds(_Fact):
    """An instant or a length known within bounds, in seconds."""

    low: float
    high: float


class NodeRecord(_Fact):
    name: str
    zone: str = ""
    version: str = ""
    roles: list[str] = Field(default_factory=list)
    machine: str = Field("", description="operating system, kernel, container runtime")


class EnvironmentRecord(_Fact):
    """Where a run took place."""

    context: str
    server: str
    provider: Literal["local", "kind", "kubeconfig", "fake"]
    kubernetes: str
    nodes: list[NodeRecord] = Field(default_factory=list)
    prometheus: str = Field("", description="URL or service, and version; empty when there was none")
    scrape_interval: float | None = Field(None, description="seconds, as read from Prometheus")
    capabilities: list[str] = Field(default_factory=list)


class PhaseRecord(_Fact):
    name: str
    start: float
    end: float


class VictimRecord(_Fact):
    kind: str
    name: str
    uid: str
    detail: str = ""


class UndoRecord(_Fact):
    """One undo of the journal: what it takes back, and what became of it."""

    kind: str
    description: str
    state: Literal["pending", "done", "failed"]
    error: str = ""


class FaultRecord(_Fact):
    kind: str
    parameters: dict[str, object]
    victims: list[VictimRecord] = Field(default_factory=list)
    injected: Bounds | None = None
    undone: Bounds | None = None
    proven: bool = False
    evidence: str = ""
    undo: list[UndoRecord] = Field(default_factory=list)


class ObjectiveRecord(_Fact):
    kind: str
    title: str
    verdict: Verdict
    reason: str
    phases: list[str] = Field(default_factory=list)
    observed: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: str = ""
    comparison: str = ""
    margin: float | None = None
    samples: int = 0
    detail: dict[str, str] = Field(default_factory=dict)


class ClockRecord(_Fact):
    """The recovery as one clock saw it: ``low`` and ``high`` bound its length in seconds."""

    clock: Literal["control plane", "endpoints", "user", "prometheus"]
    subject: str
    state: Literal["recovered", "not disrupted", "not recovered", "no data"]
    low: float | None = None
    high: float | None = None
    began: float | None = Field(None, description="when the disruption was seen, on the timeline")
    ended: float | None = Field(None, description="when the recovery was seen, on the timeline")
    reason: str = ""


class LoadRecord(_Fact):
    profile: str
    target: str
    offered: int = 0
    achieved: int = 0
    dropped: int = 0
    failed: int = 0
    saturated: bool = False
    outcomes: dict[str, int] = Field(default_factory=dict)
    latency: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="by phase: p50, p95, p99, max of successful requests, seconds"
    )


class ChartRecord(_Fact):
    """The time-aligned chart: one entry a bin. ``steps`` are (at, value) pairs that hold until the next."""

    bin: float = Field(1.0, description="seconds")
    start: float = 0.0
    good: list[int] = Field(default_factory=list)
    failed: list[int] = Field(default_factory=list)
    p50: list[float | None] = Field(default_factory=list, description="seconds")
    p95: list[float | None] = Field(default_factory=list, description="seconds")
    steps: dict[str, list[tuple[float, float]]] = Field(
        default_factory=dict, description="named step lines: ready replicas of a workload, an HPA's desired replicas"
    )


class EventRecord(_Fact):
    at: float
    source: str = Field(description="harness, kubernetes, pod, rollout …")
    subject: str
    message: str


class ExperimentRecord(_Fact):
    """One experiment or one of its twins."""

    stage: Literal["declared", "observed", "judged"] = "declared"
    id: str = Field(description="the pytest node id")
    name: str
    twin: str = ""
    file: str = ""
    hypothesis: str = ""
    namespace: str = ""
    seed: int = 0
    started: str = ""
    finished: str = ""
    origin: str = Field("", description="wall time of the timeline's zero")
    verdict: Verdict = Verdict.INCONCLUSIVE
    reason: str = ""
    breaks: list[str] = Field(default_factory=list, description="for a twin: the objectives it must break")
    passed: bool = Field(False, description="HELD, or for a twin: BROKEN on every objective that it must break")
    phases: list[PhaseRecord] = Field(default_factory=list)
    faults: list[FaultRecord] = Field(default_factory=list)
    objectives: list[ObjectiveRecord] = Field(default_factory=list)
    baseline: list[ObjectiveRecord] = Field(default_factory=list, description="the steady state before the fault")
    recovery: list[ClockRecord] = Field(default_factory=list)
    load: LoadRecord | None = None
    chart: ChartRecord | None = None
    events: list[EventRecord] = Field(default_factory=list)
    evidence_files: list[str] = Field(default_factory=list, description="kept on failure, relative to the run's folder")
    notes: list[str] = Field(default_factory=list)


class RunRecord(_Fact):
    """A run: one session of pytest."""

    schema_version: Literal["1"] = "1"
    run: str
    started: str
    finished: str = ""
    seed: int
    command: str = ""
    harness: str
    environment: EnvironmentRecord | None = None
    experiments: list[ExperimentRecord] = Field(default_factory=list)
