"""What was seen, and when: observations, requests, marks, and the timeline that holds them.

Everything on a timeline is in seconds since its origin, a CLOCK_MONOTONIC reading, so that the harness, its threads and
the load generator's processes share one axis. A timeline only grows; judging reads it and never writes to it.

Series that the built-in probes write, and the values they hold (all JSON):

``pods``       subject ``<pod>``: {"event", "uid", "owner", "ready", "phase", "deleting", "node", "ip", "containers":
               {name: {"id", "restarts", "ready", "waiting", "exit_code"}}, "ready_since", "created", "labels"}
``endpoints``  subject ``<service>``: {"ready": [pod uid …], "serving": […], "all": […]}
``workloads``  subject ``<kind>/<name>``: {"uid", "desired", "replicas", "ready", "available", "updated", "generation",
               "observed_generation", "revision", "template" (a hash of the pod template), "conditions": {type:
               {"status", "reason", "message", "since"}}}
``autoscalers`` subject ``hpa/<name>``: {"current", "desired", "min", "max", "metrics": {name: number},
               "conditions": …}
``events``     subject ``<kind>/<name>``: {"reason", "message", "type", "count"}
``nodes``      subject ``<node>``: {"ready", "schedulable", "zone", "gone"}
``identity``   subject ``<pod>``: {"uid", "ip", "claims": {volume: [claim, volume's name]}, "dns": [ip …] or None}
``readable``   subject ``<selector>``: {"keys": [key …]}
``abort``      subject an abort condition's name: {"values": [number of every series …]}
``prometheus`` subject an objective's title: {"phase", "window", "samples", "warnings"} and {"good", "total"} or
               {"value"}; subject ``up:<kind>/<name>``: how many scrape targets were up
Values of watched objects also say by which "event" they were seen. Others are named by the probe that writes them. A
gap in a watch is two observations of the subject ``""`` with ``error`` set: {"gap": "began"} and {"gap": "ended",
"complete": whether nothing in between was missed}.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.accuracy import Calibration

BASELINE, FAULT, RECOVERY, SETTLE = "baseline", "fault", "recovery", "settle"
PHASES = (BASELINE, FAULT, RECOVERY, SETTLE)


@dataclass(frozen=True, slots=True)
class Observation:
    """A value or an error, when it was seen, and of what. ``wall`` is the server's own time for it, when it has one."""

    series: str
    subject: str
    at: float
    value: Any = None
    error: str | None = None
    wall: float | None = None


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """One request of the load: when it was meant to start, when it did, when it ended, and how.

    ``outcome`` is ``ok`` or a short reason (``503``, ``timeout``, ``refused`` …). ``key`` is what the request wrote,
    for the durability objective. Latency counts from the intended start: a stalled client must not hide a stall.
    """

    intended: float
    started: float
    finished: float
    ok: bool
    outcome: str
    name: str
    key: str = ""

    @property
    def latency(self) -> float:
        """Seconds from the intended start to the end."""
        return self.finished - self.intended


@dataclass(frozen=True, slots=True)
class ProbeStream:
    """One stream of the prober: its name, the Service that it asks, and every probe that ended, each as a request.

    ``period`` and ``timeout`` in seconds; ``dropped`` were due and never started.
    """

    name: str
    service: str
    period: float
    timeout: float
    seen: Sequence[RequestSeen] = ()
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """An instant known within bounds: it lies at or after ``low`` and at or before ``high``, in timeline seconds."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Phase:
    """A named span of the run."""

    name: str
    start: float
    end: float

    def covers(self, at: float) -> bool:
        return self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class Victim:
    """An object that a fault hit. ``uid`` tells it from a later object of the same name."""

    kind: str
    name: str
    uid: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True)
class Injection:
    """What a fault did: whom it hit, the bracket around the disrupting call, when it was undone, and what proves it."""

    fault: str
    victims: tuple[Victim, ...]
    injected: Interval
    undone: Interval | None = None
    proven: bool = False
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """What the load generator was asked for and did, in requests.

    ``dropped`` were due and never started; ``saturated`` when they are more than one in a hundred. ``late`` started
    more than 100 ms after they were due: their latency is blurred by the generator itself.
    """

    offered: int = 0
    achieved: int = 0
    dropped: int = 0
    failed: int = 0
    saturated: bool = False
    late: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why and when the fault ended before its time: an objective was beyond saving, or an abort condition was met."""

    at: float
    by: Literal["objective", "abort"]
    reason: str


@dataclass
class Timeline:
    """An append-only history. ``origin`` is monotonic seconds, ``wall_origin`` Unix seconds of the same instant."""

    origin: float
    wall_origin: float
    _observations: list[Observation] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    phases: list[Phase] = field(default_factory=list)
    injections: list[Injection] = field(default_factory=list)
    requests: Sequence[RequestSeen] = ()
    load: LoadSummary | None = None
    stopped: Stop | None = None
    probes: Sequence[ProbeStream] = ()
    calibration: Calibration | None = None

    def add(self, observation: Observation) -> None:
        """Append; safe from any thread."""
        with self._lock:
            self._observations.append(observation)

    def offset(self, monotonic: float) -> float:
        """A monotonic reading on this timeline."""
        return monotonic - self.origin

    def wall(self, at: float) -> float:
        """Unix seconds of a timeline instant."""
        return self.wall_origin + at

    def observations(self, series: str, subject: str | None = None) -> list[Observation]:
        """A copy of one series in the order of arrival, of one subject or of all."""
        with self._lock:
            return [
                seen
                for seen in self._observations
                if seen.series == series and (subject is None or seen.subject == subject)
            ]

    def latest(self, series: str, subject: str) -> Observation | None:
        """The last observation of a subject."""
        with self._lock:
            for seen in reversed(self._observations):
                if seen.series == series and seen.subject == subject:
                    return seen
        return None

    def __iter__(self) -> Iterator[Observation]:
        with self._lock:
            return iter(list(self._observations))

    def phase(self, name: str) -> Phase | None:
        """A phase by its name, or None when the run never came to it."""
        return next((phase for phase in self.phases if phase.name == name), None)

    def window(self, names: Sequence[str]) -> list[Phase]:
        """The phases of these names that took place, in order."""
        return [phase for phase in self.phases if phase.name in names]

    def requests_in(self, names: Sequence[str]) -> list[RequestSeen]:
        """The requests whose intended start lies in one of these phases."""
        phases = self.window(names)
        return [request for request in self.requests if any(phase.covers(request.intended) for phase in phases)]

    def injected(self) -> Interval | None:
        """The bracket around all disrupting calls, or None when nothing was injected."""
        if not self.injections:
            return None
        return Interval(
            min(injection.injected.low for injection in self.injections),
            max(injection.injected.high for injection in self.injections),
        )
