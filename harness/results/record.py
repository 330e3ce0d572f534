"""The stored records of a run, with a schema version. Reports are rendered from these records alone.

``results.json`` contains a ``RunRecord``. Its JSON Schema: ``harness schema results``. All ``at``, ``start`` and
``end`` are seconds since the experiment's origin; times of day are RFC 3339 in UTC.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.model.clock_errors import Calibration
from harness.model.verdict import Verdict
from harness.results.advice_record import AdviceRecord
from harness.results.fact import Fact, Known
from harness.results.game_day_record import ChoiceRecord, GameDayRecord
from harness.results.mutation_record import MutationRecord
from harness.results.series_record import SeriesRecord
from harness.results.skip_record import SkipRecord
from harness.results.traffic_record import LoadRecord, ProbeRecord

SCHEMA_VERSION = "1"


class Bounds(Fact):
    """The bounds of an instant or a length, in seconds."""

    low: float = Field(description="lower bound")
    high: float = Field(description="upper bound")


class NodeRecord(Fact):
    """A node of the cluster."""

    name: str
    zone: str = ""
    version: str = ""
    roles: list[str] = Field(default_factory=list)
    machine: str = Field(default="", description="operating system, kernel and container runtime")


class EnvironmentRecord(Fact):
    """The cluster of a run."""

    context: str
    server: str
    provider: Literal["local", "kind", "kubeconfig", "fake"]
    ownership: Literal["owned", "foreign", ""] = Field(
        default="", description="whether the harness created the cluster; empty: recorded by an older version"
    )
    kubernetes: str
    nodes: list[NodeRecord] = Field(default_factory=list)
    prometheus: str = Field(default="", description="URL or Service, and version; empty: no Prometheus")
    scrape_interval: Known = Field(default=None, description="scrape interval of Prometheus in seconds")
    capabilities: list[str] = Field(default_factory=list)
    calibration: Calibration | None = Field(
        default=None, description="the errors of the recovery clocks on such a cluster; null: not calibrated"
    )


class PhaseRecord(Fact):
    """A phase of an experiment."""

    name: str
    start: float
    end: Known = Field(default=None, description="null: the run was interrupted during this phase")
    at_most: Known = Field(default=None, description="the longest length allowed in seconds; null: it is fixed")


class VictimRecord(Fact):
    """An object that a fault selected; the UID distinguishes it from a later object of the same name."""

    kind: str
    name: str
    uid: str
    detail: str = ""


class UndoRecord(Fact):
    """An entry of the undo journal: what it undoes, and its result."""

    kind: str
    description: str
    state: Literal["pending", "done", "failed"]
    error: str = ""


class FaultRecord(Fact):
    """A fault: its parameters, its victims, the evidence that it took effect, and its undo."""

    kind: str
    parameters: dict[str, object]
    timing: str = Field(default="", description="when it is injected and for how long; empty: the whole fault phase")
    victims: list[VictimRecord] = Field(default_factory=list)
    injected: Bounds | None = Field(
        default=None, description="times before and after the disrupting call; null: not injected"
    )
    undone: Bounds | None = Field(
        default=None, description="times before and after the undo; null: not undone, or nothing to undo"
    )
    proven: bool = Field(default=False, description="whether there is evidence that the fault took effect")
    evidence: str = ""
    undo: list[UndoRecord] = Field(default_factory=list)


class BesideRecord(Fact):
    """The finding on the control arm, and the difference to it.

    The difference is the share of good requests minus that of the control arm, in percentage points: negative is worse.
    """

    verdict: Verdict
    reason: str
    observed: Known = None
    low: Known = None
    high: Known = None
    samples: int = 0
    difference: Known = Field(default=None, description="null: the finding is not about a share")
    difference_low: Known = None
    difference_high: Known = None


class ObjectiveRecord(Fact):
    """The finding of one objective. ``observed`` is within ``low`` and ``high``; all numbers are in ``unit``."""

    kind: str
    title: str
    verdict: Verdict
    reason: str
    phases: list[str] = Field(default_factory=list, description="the phases that were judged")
    observed: Known = None
    low: Known = None
    high: Known = None
    limit: Known = None
    unit: str = ""
    comparison: str = Field(default="", description="the good side of the limit: >= or <=")
    margin: Known = Field(default=None, description="distance from the limit on its good side; negative if violated")
    samples: int = Field(default=0, description="number of samples that were evaluated")
    good: int | None = Field(default=None, description="number of good samples; null if the finding is not a share")
    control: BesideRecord | None = Field(default=None, description="the finding on the control arm, if there was one")
    detail: dict[str, str] = Field(default_factory=dict)


class ClockRecord(Fact):
    """The recovery measured by one clock: ``low`` and ``high`` are the bounds of its length in seconds."""

    clock: Literal["control plane", "endpoints", "user", "prometheus"]
    subject: str
    state: Literal["recovered", "not disrupted", "not recovered", "no data"]
    low: Known = None
    high: Known = None
    likely: Known = Field(default=None, description="the most likely length, between low and high")
    began: Known = Field(default=None, description="time on the timeline when the disruption was seen")
    ended: Known = Field(default=None, description="time on the timeline when the recovery was seen")
    reason: str = ""
    since: Literal["injected", "undone"] = Field(
        default="injected", description="the start of the length: the injection or the undo"
    )
    judged: bool = Field(default=True, description="whether an objective uses this clock; false: for information")


class ChartRecord(Fact):
    """The chart of an experiment: one entry per bin. ``steps`` are (at, value) pairs, valid until the next pair."""

    bin: float = Field(default=1.0, description="width of a bin in seconds")
    start: float = 0.0
    good: list[int] = Field(default_factory=list)
    failed: list[int] = Field(default_factory=list)
    p50: list[Known] = Field(default_factory=list, description="latency in seconds")
    p95: list[Known] = Field(default_factory=list, description="latency in seconds")
    steps: dict[str, list[tuple[float, float]]] = Field(
        default_factory=dict, description="step lines by name, such as the ready replicas of a workload"
    )
    probes: dict[str, list[tuple[float, float]]] = Field(
        default_factory=dict, description="by stream of the prober: the periods of failing probes, as (start, end)"
    )


class ControlRecord(Fact):
    """The control arm: the same workload under the same load at the same time, without a fault."""

    namespace: str
    confidence: float = Field(description="confidence of the two-sided bounds on differences")
    load: LoadRecord | None = None
    loads: list[LoadRecord] = Field(default_factory=list, description="several loads, in place of load")
    chart: ChartRecord | None = None


class EventRecord(Fact):
    """An event of the timeline."""

    at: float
    source: str = Field(description="harness, kubernetes, pod, rollout …")
    subject: str
    message: str


class ImageRecord(Fact):
    """An image that containers ran, and what it was at that time, since a tag may move."""

    image: str = Field(description="the name, as the node reports it")
    digest: str = Field(description="digest of the image, or its id on the node if it came from no registry")
    pods: int = Field(default=0, description="number of pods that ran it")


class WorkloadRecord(Fact):
    """What was deployed: where it came from, and a checksum of its objects."""

    source: str = Field(description="a folder, a kustomization, a chart with its version, or a namespace")
    tool: str = Field(default="", description="the program that rendered the objects, and its version; empty: none")
    digest: str = Field(
        default="", description="sha256 of the objects as JSON with sorted keys, before references to images are filled"
    )

    def __str__(self) -> str:
        return f"{self.source}, rendered by {self.tool}" if self.tool else self.source


class ExperimentRecord(Fact):
    """One experiment, or one of its twins or mutants."""

    stage: Literal["declared", "observed", "judged", "closed"] = Field(
        default="declared",
        description="the last stage that was reached: there is a verdict from judged on, and it is final when closed: "
        "after the undo and the search for leftovers",
    )
    id: str = Field(description="the pytest node ID")
    name: str
    twin: str = ""
    mutant: str = Field(default="", description="for a mutant: the operator that weakened its workload")
    weakened: list[str] = Field(default_factory=list, description="for a mutant: the objects that the operator changed")
    because: str = Field(default="", description="for a twin or a mutant: how its workload is weakened")
    file: str = ""
    hypothesis: str = ""
    workload: WorkloadRecord | None = Field(default=None, description="null: none, or recorded by an older version")
    images: list[ImageRecord] = Field(default_factory=list, description="the images that its containers ran")
    namespace: str = ""
    seed: int = 0
    started: str = ""
    finished: str = ""
    origin: str = Field(default="", description="time of day of the timeline's zero")
    # A record is stored before anything runs. If the run is killed, these defaults remain, and they must not count as a
    # pass.
    verdict: Verdict = Verdict.INCONCLUSIVE
    reason: str = ""
    stopped_early: str = Field(default="", description="why the fault ended early; empty: it did not")
    stopped_at: Known = Field(default=None, description="time on the timeline of the decision to end the fault early")
    breaks: list[str] = Field(default_factory=list, description="for a twin: the objectives that it must break")
    passed: bool = Field(
        default=False,
        description="whether it is HELD, or for a twin BROKEN on every objective that it must break, or for a mutant "
        "BROKEN",
    )
    interrupted: bool = Field(default=False, description="whether a signal, such as Ctrl-C, ended it early")
    phases: list[PhaseRecord] = Field(default_factory=list)
    faults: list[FaultRecord] = Field(default_factory=list)
    objectives: list[ObjectiveRecord] = Field(default_factory=list)
    advice: list[AdviceRecord] = Field(
        default_factory=list, description="likely causes of what was missed, the best supported first"
    )
    baseline: list[ObjectiveRecord] = Field(default_factory=list, description="the steady state before the fault")
    recovery: list[ClockRecord] = Field(default_factory=list)
    load: LoadRecord | None = None
    loads: list[LoadRecord] = Field(default_factory=list, description="several loads, in place of load")
    probing: list[ProbeRecord] = Field(default_factory=list, description="the streams of the prober")
    chart: ChartRecord | None = None
    control: ControlRecord | None = None
    events: list[EventRecord] = Field(default_factory=list)
    attempt: int = Field(default=0, description="number of the attempt in its series, from 1; 0: not part of a series")
    rerun: int = Field(
        default=0, description="number of earlier runs of this item by a pytest plug-in; every record counts"
    )
    round: int = Field(default=0, description="number of the round of its game day, from 1; 0: not part of one")
    content: str = Field(
        default="", description="checksum of the experiment file with its workload; empty: unknown, or a Python test"
    )
    series: SeriesRecord | None = Field(default=None, description="set if this record summarises several attempts")
    attempts: list[ExperimentRecord] = Field(default_factory=list, description="the attempts of a series, in order")
    evidence_files: list[str] = Field(
        default_factory=list, description="files kept on failure, relative to the run's folder"
    )
    notes: list[str] = Field(default_factory=list)

    @property
    def has_verdict(self) -> bool:
        """Whether the experiment reached a verdict."""
        return self.stage in {"judged", "closed"}

    @property
    def cut_short(self) -> bool:
        """Whether a signal ended it early, or the run ended before its verdict."""
        return self.interrupted or not self.has_verdict

    @property
    def repetition(self) -> str:
        """`` (round 2)`` and `` (rerun 1)``; empty for the first of both."""
        found = [("round", self.round if self.round > 1 else 0), ("rerun", self.rerun)]
        return "".join(f" ({what} {number})" for what, number in found if number)

    @property
    def standing(self) -> Verdict:
        """The verdict; INCONCLUSIVE if the experiment did not reach one."""
        return self.verdict if self.has_verdict else Verdict.INCONCLUSIVE


class RunRecord(Fact):
    """A run: one pytest session. ``finished`` is empty while it runs, and stays empty if it is interrupted."""

    schema_version: Literal["1"] = "1"
    run: str
    started: str
    finished: str = ""
    seed: int
    command: str = ""
    harness: str
    environment: EnvironmentRecord | None = None
    experiments: list[ExperimentRecord] = Field(default_factory=list)
    skipped: list[SkipRecord] = Field(
        default_factory=list, description="experiments that were selected, but skipped; they have no verdict"
    )
    mutants: list[ExperimentRecord] = Field(
        default_factory=list, description="the mutants of experiments; they do not count in the verdict of the run"
    )
    mutation: MutationRecord | None = Field(
        default=None, description="which mutants were caught, and the score; null: the run had no mutants"
    )
    choice: ChoiceRecord | None = Field(
        default=None, description="the experiments that were chosen for a time budget; null: no budget was given"
    )
    game_day: GameDayRecord | None = Field(default=None, description="the game day; null: this run was none")
    warnings: list[str] = Field(
        default_factory=list, description="what failed beside the experiments, such as a notification; no verdict"
    )

    @property
    def everything(self) -> list[ExperimentRecord]:
        """All records: of experiments, twins and mutants."""
        return [*self.experiments, *self.mutants]
