"""Stored facts of a run, versioned: everything that a report says stands here, and rendering reads nothing else.

``results.json`` holds a ``RunRecord``. Its JSON Schema: ``harness schema results``. All ``at``, ``start``
and ``end`` are seconds since the experiment's origin; ``wall`` times are RFC 3339 in UTC.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.accuracy import Calibration
from harness.fact import Fact, Figures, Known
from harness.series_record import SeriesRecord
from harness.verdict import Verdict

SCHEMA_VERSION = "1"


class Bounds(Fact):
    """An instant or a length known within bounds, in seconds."""

    low: float
    high: float


class NodeRecord(Fact):
    """A node of the cluster."""

    name: str
    zone: str = ""
    version: str = ""
    roles: list[str] = Field(default_factory=list)
    machine: str = Field(default="", description="operating system, kernel, container runtime")


class EnvironmentRecord(Fact):
    """Where a run took place."""

    context: str
    server: str
    provider: Literal["local", "kind", "kubeconfig", "fake"]
    kubernetes: str
    nodes: list[NodeRecord] = Field(default_factory=list)
    prometheus: str = Field(default="", description="URL or service, and version; empty when there was none")
    scrape_interval: Known = Field(default=None, description="seconds, as read from Prometheus")
    capabilities: list[str] = Field(default_factory=list)
    calibration: Calibration | None = Field(
        default=None, description="the error of each clock on such a cluster; null: not calibrated"
    )


class PhaseRecord(Fact):
    """A named span of an experiment."""

    name: str
    start: float
    end: Known = Field(default=None, description="null: the run was cut short within this phase")


class VictimRecord(Fact):
    """An object that a fault hit; the uid tells it from a later object of the same name."""

    kind: str
    name: str
    uid: str
    detail: str = ""


class UndoRecord(Fact):
    """One undo of the journal: what it takes back, and what became of it."""

    kind: str
    description: str
    state: Literal["pending", "done", "failed"]
    error: str = ""


class FaultRecord(Fact):
    """A fault: what was asked for, whom it hit, what proves that it bit, and how it was taken back."""

    kind: str
    parameters: dict[str, object]
    victims: list[VictimRecord] = Field(default_factory=list)
    injected: Bounds | None = Field(
        default=None, description="the bracket around the disrupting call; null: never injected"
    )
    undone: Bounds | None = Field(
        default=None, description="the bracket around the undo; null: not taken back, or no need to"
    )
    proven: bool = Field(default=False, description="whether the evidence shows that the fault bit")
    evidence: str = ""
    undo: list[UndoRecord] = Field(default_factory=list)


class BesideRecord(Fact):
    """The same objective judged on the control arm, and the difference to it: the share of good requests less that of
    the control arm, in points, so that less than nothing is worse."""

    verdict: Verdict
    reason: str
    observed: Known = None
    low: Known = None
    high: Known = None
    samples: int = 0
    difference: Known = Field(default=None, description="null: the two cannot be subtracted")
    difference_low: Known = None
    difference_high: Known = None


class ObjectiveRecord(Fact):
    """One objective's finding. ``observed`` lies within ``low`` and ``high``; all numbers are in ``unit``."""

    kind: str
    title: str
    verdict: Verdict
    reason: str
    phases: list[str] = Field(default_factory=list, description="the phases that it was judged in")
    observed: Known = None
    low: Known = None
    high: Known = None
    limit: Known = None
    unit: str = ""
    comparison: str = Field(default="", description="the side of the limit that is good: >= or <=")
    margin: Known = Field(default=None, description="distance from the limit on its good side; negative beyond it")
    samples: int = Field(default=0, description="how many observations the finding rests on")
    good: int | None = Field(default=None, description="how many of the samples were good, where it is a share of them")
    control: BesideRecord | None = Field(default=None, description="what the control arm showed, when it was asked")
    detail: dict[str, str] = Field(default_factory=dict)


class ClockRecord(Fact):
    """The recovery as one clock saw it: ``low`` and ``high`` bound its length in seconds."""

    clock: Literal["control plane", "endpoints", "user", "prometheus"]
    subject: str
    state: Literal["recovered", "not disrupted", "not recovered", "no data"]
    low: Known = None
    high: Known = None
    likely: Known = Field(default=None, description="the likeliest length between low and high")
    began: Known = Field(default=None, description="when the disruption was seen, on the timeline")
    ended: Known = Field(default=None, description="when the recovery was seen, on the timeline")
    reason: str = ""


class LoadRecord(Fact):
    """What the load generator was asked for and did, in requests."""

    profile: str
    target: str
    offered: int = Field(default=0, description="due by the profile")
    achieved: int = Field(default=0, description="started")
    dropped: int = Field(default=0, description="due, but never started")
    failed: int = Field(default=0, description="started, and not answered as expected")
    saturated: bool = Field(default=False, description="the generator was the bottleneck: its latencies say little")
    outcomes: dict[str, int] = Field(default_factory=dict)
    latency: dict[str, Figures] = Field(
        default_factory=dict, description="by phase: p50, p95, p99, max of successful requests, seconds"
    )


class ProbeRecord(Fact):
    """What one stream of the prober was asked for and saw, in probes."""

    name: str
    target: str
    protocol: Literal["http", "tcp", "grpc", "dns"]
    connection: Literal["new", "kept"]
    rate: float = Field(description="probes a second")
    timeout: float = Field(description="seconds")
    sent: int = 0
    failed: int = 0
    dropped: int = Field(default=0, description="due, but never started")
    outcomes: dict[str, int] = Field(default_factory=dict)
    latency: Figures = Field(
        default_factory=dict, description="p50, p95, p99, max of good probes, seconds from their intended start"
    )


class ChartRecord(Fact):
    """The time-aligned chart: one entry a bin. ``steps`` are (at, value) pairs that hold until the next."""

    bin: float = Field(default=1.0, description="seconds")
    start: float = 0.0
    good: list[int] = Field(default_factory=list)
    failed: list[int] = Field(default_factory=list)
    p50: list[Known] = Field(default_factory=list, description="seconds")
    p95: list[Known] = Field(default_factory=list, description="seconds")
    steps: dict[str, list[tuple[float, float]]] = Field(
        default_factory=dict, description="named step lines: ready replicas of a workload, an HPA's desired replicas"
    )
    probes: dict[str, list[tuple[float, float]]] = Field(
        default_factory=dict, description="by stream of the prober: the spans in which probes failed"
    )


class ControlRecord(Fact):
    """The control arm: the same workload under the same load at the same time, to which nothing was done."""

    namespace: str
    confidence: float = Field(description="of the bounds on differences, two-sided")
    load: LoadRecord | None = None
    chart: ChartRecord | None = None


class EventRecord(Fact):
    """Something worth reading that happened to a subject."""

    at: float
    source: str = Field(description="harness, kubernetes, pod, rollout …")
    subject: str
    message: str


class ExperimentRecord(Fact):
    """One experiment or one of its twins."""

    stage: Literal["declared", "observed", "judged", "closed"] = Field(
        default="declared",
        description="how far it came: before judged there is no verdict, and one that stands is closed: everything was "
        "taken back as far as it could be, and what was left behind looked for",
    )
    id: str = Field(description="the pytest node id")
    name: str
    twin: str = ""
    because: str = Field(default="", description="for a twin: what its workload leaves out")
    file: str = ""
    hypothesis: str = ""
    namespace: str = ""
    seed: int = 0
    started: str = ""
    finished: str = ""
    origin: str = Field(default="", description="wall time of the timeline's zero")
    verdict: Verdict = Verdict.INCONCLUSIVE
    reason: str = ""
    stopped_early: str = Field(default="", description="why the fault ended before its time; empty: it did not")
    stopped_at: Known = Field(default=None, description="when that was decided")
    breaks: list[str] = Field(default_factory=list, description="for a twin: the objectives it must break")
    passed: bool = Field(default=False, description="HELD, or for a twin: BROKEN on every objective that it must break")
    phases: list[PhaseRecord] = Field(default_factory=list)
    faults: list[FaultRecord] = Field(default_factory=list)
    objectives: list[ObjectiveRecord] = Field(default_factory=list)
    baseline: list[ObjectiveRecord] = Field(default_factory=list, description="the steady state before the fault")
    recovery: list[ClockRecord] = Field(default_factory=list)
    load: LoadRecord | None = None
    probing: list[ProbeRecord] = Field(default_factory=list, description="what the prober saw")
    chart: ChartRecord | None = None
    control: ControlRecord | None = None
    events: list[EventRecord] = Field(default_factory=list)
    attempt: int = Field(default=0, description="which attempt of a series this is, from 1; 0: it is none")
    series: SeriesRecord | None = Field(default=None, description="set where this stands for several attempts")
    attempts: list[ExperimentRecord] = Field(default_factory=list, description="of a series, in their order")
    evidence_files: list[str] = Field(default_factory=list, description="kept on failure, relative to the run's folder")
    notes: list[str] = Field(default_factory=list)

    @property
    def has_verdict(self) -> bool:
        """Whether it came as far as a verdict."""
        return self.stage in {"judged", "closed"}

    @property
    def standing(self) -> Verdict:
        """Its verdict; INCONCLUSIVE when it never came to one."""
        return self.verdict if self.has_verdict else Verdict.INCONCLUSIVE


class RunRecord(Fact):
    """A run: one session of pytest. ``finished`` is empty while it runs, and stays so when it was cut short."""

    schema_version: Literal["1"] = "1"
    run: str
    started: str
    finished: str = ""
    seed: int
    command: str = ""
    harness: str
    environment: EnvironmentRecord | None = None
    experiments: list[ExperimentRecord] = Field(default_factory=list)
