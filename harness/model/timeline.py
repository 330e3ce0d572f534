"""The timeline of a run: observations, requests, phases and injections with their times.

All times are in seconds since the timeline's origin, a CLOCK_MONOTONIC reading, so that the harness, its threads and
the load generator's processes share one axis. A timeline is append-only; objectives read it and never write to it.

Series that the built-in probes write, and their values (all JSON):

``pods``       subject ``<pod>``: {"event", "uid", "owner", "ready", "phase", "reason" (of a failure), "deleting",
               "node", "ip", "containers": {name: {"id", "restarts", "ready", "waiting", "exit_code", "end_reason",
               "started"}},
               "requests": {name: {resource: amount}} as the kubelet has applied them, "liveness": {name: {"delay",
               "period", "timeout", "failures", "grace"}} in seconds, "ready_since", "created", "labels",
               "images": [[image, id of what runs under this name] …]}
``endpoints``  subject ``<service>``: {"ready": [pod uid …], "serving": […], "all": […]}, "gone" without any slice
``workloads``  subject ``<kind>/<name>``: {"uid", "desired", "replicas", "ready", "available", "updated", "generation",
               "observed_generation", "revision", "template" (a hash of the pod template), "conditions": {type:
               {"status", "reason", "message", "since"}}, "deadline" (progressDeadlineSeconds), "progressed" (Unix
               seconds of a Deployment's last progress, None if unknown)}; of a Rollout also "delivery": {"phase",
               "message", "aborted", "paused": [reason …], "stable", "current" (hashes of pod templates)}; of a
               StatefulSet also "first_ordinal" (spec.ordinals.start)
``autoscalers`` subject ``hpa/<name>``: {"current", "desired", "min", "max", "metrics": {name: number},
               "conditions": …}; these and the workloads' counts are None if no controller has written them yet:
               read them through ``harness.model.reported``
``scaling``    subject ``hpa/<name>``, once: {"sync", "resolution", "sampling", "window" (seconds), "tolerance",
               "assumed": [which of them are defaults because the cluster's are not readable], "target":
               "<kind>/<name>", "ready": {container: {"readiness period": seconds …}} or None, "metrics":
               [{"resource", "container", "per_pod", "target"}], "external": whether it reads no such metric,
               "polling": seconds, of KEDA's, else None} (see ``harness.engine.steps.scaling_settings``)
``recommendations`` subject ``vpa/<name>``: {"mode", "containers": {name: {"target", "lower", "upper", "uncapped":
               each {resource: amount}}}, "conditions": …}
``claims``     subject ``pvc/<name>``: {"uid", "volume" (its name, "" until bound), "phase", "deleting"}
``podMetrics`` subject ``<pod>``: {"window", "containers": {name: {resource: amount}}}, ``wall``: when it was measured
``events``     subject ``<kind>/<name>``: {"reason", "message", "type", "count"}
``nodes``      subject ``<node>``: {"ready", "schedulable", "zone", "gone"}, "unknown" without reports of its kubelet
``identity``   subject ``<pod>``: {"uid", "hostname" or None, "ip", "claims": {volume: [claim, volume's name]}, "dns":
               [ip …] or None}
``readable``   subject ``<selector>``: {"keys": [key …]}
``logs``       subject ``<name>``: {"pods": {uid: {"pod", "read", "at": [Unix seconds …], "complete"}}}
``alerts``     subject: the objective's title: {"asked", "scrape", "rules", "alerts"} of Prometheus
``alertmanager`` subject: the objective's title: {"asked", "alerts"} (both: see ``harness.probes.prometheus.alerts``)
``abort``      subject: the abort condition's name: {"values": [number of every series …]}
``prometheus`` subject: the objective's title: {"phase", "window", "samples", "warnings"} and {"good", "total"} or
               {"value"}; subject ``up:<kind>/<name>``: the number of scrape targets that were up
Values of watched objects also have the "event" (ADDED, MODIFIED, DELETED). Other series are named by the probe that
writes them. A gap in a watch is two observations of the subject ``""`` with ``error`` set: {"gap": "began"} and {"gap":
"ended", "complete": whether no change in between was missed}.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from harness.model.clock_errors import Calibration
from harness.model.history import History
from harness.model.requests import Requests

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Observation:
    """A value or an error of a subject, and when it was observed. ``wall`` is the server's timestamp, if known."""

    series: str
    subject: str
    at: float
    value: Any = None
    error: str | None = None
    wall: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeStream:
    """One stream of the prober: its name, the probed Service (empty: unknown), and all finished probes as requests.

    ``period`` and ``timeout`` are in seconds; ``dropped`` is the number of probes that were due but never started.
    """

    name: str
    service: str
    period: float
    timeout: float
    seen: Requests = field(default_factory=Requests)
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """The bounds of a value in seconds, usually an instant on the timeline: ``low`` <= value <= ``high``."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Phase:
    """A named span of the run; ``at_most`` is its longest length in seconds if it may end earlier, else None."""

    name: str
    start: float
    end: float
    at_most: float | None = None

    def covers(self, at: float) -> bool:
        # Half-open, so that a request at the border of two phases belongs to one of them only.
        return self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class Victim:
    """An object that a fault hit. ``uid`` distinguishes it from a later object of the same name.

    ``detail`` is text to show and is never parsed. ``before`` is what the fault recorded of the object when it chose
    it, such as its number of replicas: a frozen dataclass of the fault's module, or None.
    """

    kind: str
    name: str
    uid: str
    detail: str = ""
    before: object = None

    def state_before(self, expected: type[State]) -> State:
        """Return ``before``. Raises TypeError if it is not an ``expected``."""
        if not isinstance(self.before, expected):
            raise TypeError(f"{self}: found {self.before!r} as the state before, expected {expected.__name__}")
        return self.before

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault that was injected: its victims, the times around the disrupting call, the undo, and the evidence.

    ``unfinished`` describes the part of its effect that had not ended by the end of the recovery phase; empty if none.
    ``number`` is the index of the fault in the experiment, ``moment`` counts the instants at which something was
    injected: faults that were injected together have the same. ``entries`` are the ids of its entries in the undo
    journal.
    """

    fault: str
    victims: tuple[Victim, ...]
    injected: Interval
    undone: Interval | None = None
    proven: bool = False
    evidence: str = ""
    unfinished: str = ""
    number: int = 0
    moment: int = 0
    entries: range = range(0)


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """The planned and the generated load, in requests.

    ``dropped`` requests were due but never started; ``saturated`` is set if they are more than 1 %. ``late`` requests
    started more than 100 ms after they were due: their latency includes the generator's own delay. ``clock_error`` is
    the maximum error of their times in seconds, if the generator ran on another machine.

    In a ``closed`` model, users send nothing while they wait for a response: their requests are those that they could
    send, not those that were due. ``users`` has their number from each monotonic time on, ``unfinished`` the monotonic
    starts of the requests that had not ended when the load was stopped (they are in ``offered`` alone), ``exceptions``
    those of the user's own code by their text.
    """

    offered: int = 0
    achieved: int = 0
    dropped: int = 0
    failed: int = 0
    saturated: bool = False
    late: int = 0
    error: str = ""
    model: Literal["open", "closed"] = "open"
    users: Sequence[tuple[float, int]] = ()
    unfinished: Sequence[float] = ()
    exceptions: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    clock_error: float = 0.0


def all_together(loads: Mapping[str, LoadSummary]) -> LoadSummary:
    """Return the summary of several loads; its texts name the load."""
    found = loads.values()
    return LoadSummary(
        offered=sum(each.offered for each in found),
        achieved=sum(each.achieved for each in found),
        dropped=sum(each.dropped for each in found),
        failed=sum(each.failed for each in found),
        # One that is saturated measured its own limits: what all did together is then unknown too.
        saturated=any(each.saturated for each in found),
        late=sum(each.late for each in found),
        error="; ".join(f"{name}: {each.error}" for name, each in loads.items() if each.error),
        unfinished=[at for each in found for at in each.unfinished],
        notes=[f"{name}: {note}" for name, each in loads.items() for note in each.notes],
        clock_error=max((each.clock_error for each in found), default=0.0),
    )


@dataclass(frozen=True, slots=True)
class Stop:
    """Why and when a run ended early: an objective could no longer be held, or an abort condition was met.

    By ``variant``: a twin or a mutant had broken what it must."""

    at: float
    by: Literal["objective", "abort", "variant"]
    reason: str


@dataclass
class Timeline:
    """The append-only history of a run. ``origin`` (monotonic) and ``wall_origin`` (Unix) are the same instant."""

    origin: float
    wall_origin: float
    _observations: list[Observation] = field(default_factory=list)
    # The same ones by series, and by series and subject: a look must not depend on the length of the run.
    _of_series: dict[str, list[Observation]] = field(default_factory=dict, repr=False)
    _of_subject: dict[tuple[str, str], list[Observation]] = field(default_factory=dict, repr=False)
    # Observers append from their threads while the main thread reads.
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    phases: list[Phase] = field(default_factory=list)
    injections: list[Injection] = field(default_factory=list)
    requests: Requests = field(default_factory=Requests)
    # What each load did to a database, by its name (empty for the only one): filled once the loads have ended.
    histories: Mapping[str, History] = field(default_factory=dict)
    load: LoadSummary | None = None
    # By name, if the experiment has several loads: the place of each is the source of its requests.
    loads: Mapping[str, LoadSummary | None] = field(default_factory=dict)
    stopped: Stop | None = None
    probes: Sequence[ProbeStream] = ()
    calibration: Calibration | None = None

    def add(self, observation: Observation) -> None:
        """Append an observation; thread-safe."""
        with self._lock:
            self._observations.append(observation)
            self._of_series.setdefault(observation.series, []).append(observation)
            self._of_subject.setdefault((observation.series, observation.subject), []).append(observation)

    def offset(self, monotonic: float) -> float:
        """Convert monotonic seconds to seconds on this timeline."""
        return monotonic - self.origin

    def wall(self, at: float) -> float:
        """Convert seconds on this timeline to Unix seconds."""
        return self.wall_origin + at

    def observations(self, series: str, subject: str | None = None) -> list[Observation]:
        """Return a copy of one series in the order of arrival, for one subject or for all."""
        with self._lock:
            found = self._of_series.get(series) if subject is None else self._of_subject.get((series, subject))
            return list(found or ())

    def newest(self, series: str, subject: str) -> Iterator[Observation]:
        """Yield the observations of a subject so far, the newest first, without a copy of them."""
        with self._lock:
            found = self._of_subject.get((series, subject), [])
            last = len(found) - 1
        return (found[index] for index in range(last, -1, -1))

    def latest(self, series: str, subject: str) -> Observation | None:
        """Return the last observation of a subject, or None."""
        return next(self.newest(series, subject), None)

    def __iter__(self) -> Iterator[Observation]:
        with self._lock:
            # A copy, since probes append while it is read.
            return iter(list(self._observations))

    def phase(self, name: str) -> Phase | None:
        """Return a phase by name, or None if the run did not reach it."""
        return next((phase for phase in self.phases if phase.name == name), None)

    def window(self, names: Sequence[str]) -> list[Phase]:
        """Return the phases with these names that the run reached, in order."""
        return [phase for phase in self.phases if phase.name in names]

    def requests_in(self, names: Sequence[str]) -> Requests:
        """Return the requests whose intended start is in one of these phases."""
        # By the intended start: a stalled generator moves the actual start, possibly to a later phase.
        return self.requests.due_in((phase.start, phase.end) for phase in self.window(names))

    def of_load(self, name: str) -> Timeline:
        """Return this timeline, its observations included, with the requests of one load; without a name: of all.

        Raises LookupError if there is no load of this name."""
        if not name:
            return self
        if name not in self.loads:
            raise LookupError(f"no load {name!r}")
        return replace(
            self,
            requests=self.requests_of(name, self.requests),
            histories={"": self.histories[name]} if name in self.histories else {},
            load=self.loads[name],
            loads={},
        )

    def requests_of(self, name: str, among: Requests) -> Requests:
        """Return those of some requests of this timeline that are of one load; without a name: all."""
        return among.of_source(list(self.loads).index(name)) if name and self.loads else among

    def injected(self) -> Interval | None:
        """Return the times around all disrupting calls, or None if nothing was injected."""
        return around([injection.injected for injection in self.injections]) if self.injections else None

    def moments(self) -> list[list[Injection]]:
        """Return the injections grouped by the moment at which they were made, in order."""
        found: dict[int, list[Injection]] = {}
        for injection in self.injections:
            found.setdefault(injection.moment, []).append(injection)
        return list(found.values())

    def of_last_moment(self) -> Timeline:
        """Return this timeline, its observations included, with only the injections of the last moment."""
        return replace(self, injections=self.moments()[-1] if self.injections else [])


def around(brackets: Sequence[Interval]) -> Interval:
    """Return the shortest interval that contains all of these. Raises ValueError without any."""
    return Interval(min(bracket.low for bracket in brackets), max(bracket.high for bracket in brackets))
