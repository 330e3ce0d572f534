"""Make the outages of a calibration and measure them with the recovery clocks.

The targets run their scheduled outages one after the other while the prober probes them; at the same time this module
changes the switches. Everything is in a separate namespace, which is deleted at the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.kube import namespaces
from harness.cluster.protocol import Cluster
from harness.common.clock import Clock
from harness.common.errors import Inconclusive
from harness.common.waiting import wait_until
from harness.engine.calibration.measure import Sample, errors, of_probes, of_watch
from harness.engine.calibration.plan import distribute, lengths
from harness.engine.calibration.quiet import cpu_times, disturbances
from harness.engine.calibration.switch import ReadinessSwitch
from harness.engine.calibration.target import HTTP, CalibrationTarget
from harness.engine.calibration.truth import OutageKind, Truth
from harness.engine.steps import deploy
from harness.engine.steps.prober import TargetProber
from harness.engine.steps.reach import Finder
from harness.model.clock_errors import ClockError
from harness.model.timeline import Interval, ProbeStream, Timeline
from harness.probes.endpoints import EndpointProbe
from harness.probes.observers import Observers
from harness.probes.pods import PodProbe
from harness.traffic.prober.declaration import HttpAim, Probing
from harness.traffic.target.declaration import Target

TARGETS, SWITCHES = 4, 4
LEAST_OUTAGES = 50
RATE = 100.0
# Seconds, the default of experiments. A pause shorter than this is only a slow response, not an outage.
TIMEOUT = 0.5
SHORTEST_PAUSE = 0.75
GAP = 1.0
READY, SETTLE, SPARE = 30.0, 1.5, 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The outages as measured by each clock. ``disturbed`` lists what disturbed the measurement."""

    samples: list[Sample]
    disturbed: list[str] = field(default_factory=list)

    @property
    def table(self) -> list[ClockError]:
        """The errors, one entry per row of the table."""
        return errors(self.samples)


class CalibrationRun:
    """One calibration of one cluster. ``outages`` is their number per clock; ``run`` names the namespace."""

    def __init__(self, cluster: Cluster, clock: Clock, *, run: str, outages: int, seed: int, folder: Path) -> None:
        self._cluster, self._clock, self._folder, self._run = cluster, clock, folder, run
        self._rng = random.Random(seed)  # noqa: S311 - lengths need repeatability, not secrecy
        self._count = outages
        self._agendas = _agendas(outages, self._rng)
        # The lengths for the pod and for the endpoint of each switch.
        self._switched = list(zip(_switched(outages, self._rng), _switched(outages, self._rng), strict=True))
        self._namespace = f"rh-calibration-{run}"
        self._timeline = Timeline(clock.monotonic(), clock.wall())

    def measure(self, progress: Callable[[str], None]) -> Measured:
        """Make the outages and measure them. Raises Inconclusive, HarnessError, ApiError, TimedOut."""
        with ExitStack() as stack:
            stack.enter_context(self._made_namespace())
            progress("deploying the targets")
            targets, switches = self._deploy()
            for _, target in targets:
                stack.callback(target.close)
            probes, watches = [PodProbe(), EndpointProbe()], self._timeline
            observers = stack.enter_context(Observers(self._cluster, self._namespace, watches, self._clock, probes))
            observers.wait_ready(READY)
            prober = stack.enter_context(self._prober([target for target, _ in targets]))
            prober.wait_ready(READY)
            planned = self._schedule([target for _, target in targets])
            progress(f"{self._count} outages for each clock, about {self._expected():.0f} s")
            began, before = self._clock.monotonic(), cpu_times()
            truths = self._run_switches(switches)
            known = [
                self._wait_for_truths(target, numbers) for (_, target), numbers in zip(targets, planned, strict=True)
            ]
            self._clock.sleep(SETTLE)
            for dead in filter(None, [prober.failure(), observers.alive()]):
                raise Inconclusive(dead)
            prober.stop()
            observers.stop()
            probed = self._probed(prober, known)
            samples = [sample for stream, true in probed for sample in of_probes(stream, true)]
            disturbed = disturbances(probed, before, cpu_times(), self._clock.monotonic() - began)
            return Measured([*samples, *self._watched(switches, truths)], disturbed)

    def _expected(self) -> float:
        """Return the seconds of the outages: those of the target or switch whose outages take longest."""
        groups = [[seconds for _, seconds in agenda] for agenda in self._agendas]
        # The first change of a switch comes up to another gap later.
        groups += [[GAP, *part] for switch in self._switched for part in switch]
        longest: float = max(sum(group) + GAP * len(group) for group in groups)
        return longest + SETTLE

    @contextmanager
    def _made_namespace(self) -> Iterator[None]:
        namespaces.make_namespace(self._cluster.api, self._namespace, self._run, "calibration")
        try:
            yield
        finally:
            namespaces.remove_namespace(self._cluster.api, self._namespace, self._clock)

    def _deploy(self) -> tuple[list[tuple[str, CalibrationTarget]], list[ReadinessSwitch]]:
        api, image = self._cluster.api, self._cluster.image("calibration")
        names = [f"target-{number}" for number in range(TARGETS)]
        served = [item for name in names for item in CalibrationTarget.objects(name, image)]
        turned = [f"switch-{number}" for number in range(SWITCHES)]
        deploy.apply_workload(api, self._namespace, served)
        deploy.apply_workload(
            api, self._namespace, [item for name in turned for item in ReadinessSwitch.objects(name, image)]
        )
        deploy.wait_for_workload(api, self._namespace, served, self._clock)
        targets = [
            (name, CalibrationTarget.connect(self._cluster, self._namespace, name, self._clock)) for name in names
        ]
        switches = [ReadinessSwitch(api, self._namespace, name, self._clock) for name in turned]
        for switch in switches:
            switch.switch_pod(ready=True)
        return targets, switches

    def _prober(self, names: Sequence[str]) -> TargetProber:
        probings = [
            Probing(name=name, http=HttpAim(target=Target(service=f"{name}:{HTTP}")), rate=RATE, timeout=TIMEOUT)
            for name in names
        ]
        finder = Finder(self._cluster, self._namespace, self._folder, self._clock)
        return TargetProber(finder, probings, folder=self._folder, seconds=self._expected() + SPARE)

    def _schedule(self, targets: Sequence[CalibrationTarget]) -> list[list[int]]:
        """Schedule the outages of each target; return their numbers."""
        return [
            [target.schedule(kind, seconds, delay=GAP) for kind, seconds in agenda]
            for target, agenda in zip(targets, self._agendas, strict=True)
        ]

    def _run_switches(self, switches: Sequence[ReadinessSwitch]) -> list[tuple[list[Truth], list[Truth]]]:
        """Switch pods and endpoints off and on by one agenda; return the truths of each switch's pod and endpoint."""
        agenda: list[tuple[float, bool, Callable[..., Interval], list[Interval]]] = []
        brackets: list[tuple[list[Interval], list[Interval]]] = []
        begin = self._clock.monotonic()
        for index, switch in enumerate(switches):
            calls: tuple[list[Interval], list[Interval]] = ([], [])
            for change, into, part in zip(
                (switch.switch_pod, switch.switch_endpoint), calls, self._switched[index], strict=True
            ):
                at = begin + GAP * (1 + self._rng.random())
                for length in part:
                    agenda += [(at, False, change, into), (at + length, True, change, into)]
                    at += length + GAP
            brackets.append(calls)
        for at, ready, change, into in sorted(agenda, key=lambda one: one[0]):
            self._clock.sleep(at - self._clock.monotonic())
            into.append(change(ready=ready))
        return [(_truths(pod), _truths(endpoint)) for pod, endpoint in brackets]

    def _wait_for_truths(self, target: CalibrationTarget, numbers: Sequence[int]) -> list[Truth]:
        def look() -> tuple[list[Truth] | None, str]:
            found = [target.truth(number) for number in numbers]
            known = [truth for truth in found if truth is not None]
            return (known, "") if len(known) == len(numbers) else (None, f"{len(known)} of {len(numbers)} are over")

        return wait_until("the targets' last outages", look, self._expected() + SPARE, self._clock, every=1.0)

    def _probed(self, prober: TargetProber, known: Sequence[Sequence[Truth]]) -> list[tuple[ProbeStream, list[Truth]]]:
        """Return the probes of each target with its outages, in seconds on the timeline."""
        origin = self._timeline.origin
        streams = zip(prober.streams(origin), known, strict=True)
        return [(stream, [truth.since(origin) for truth in truths]) for stream, truths in streams]

    def _watched(
        self, switches: Sequence[ReadinessSwitch], truths: Sequence[tuple[list[Truth], list[Truth]]]
    ) -> Iterator[Sample]:
        origin = self._timeline.origin
        for switch, (pod, endpoint) in zip(switches, truths, strict=True):
            yield from of_watch(self._timeline, "control plane", switch.name, [one.since(origin) for one in pod])
            yield from of_watch(self._timeline, "endpoints", switch.name, [one.since(origin) for one in endpoint])


def _agendas(outages: int, rng: random.Random) -> list[list[tuple[OutageKind, float]]]:
    """Return the outages of each target, in random order: half of all are pauses, the others closed listeners."""
    halves = outages // 2, outages - outages // 2
    pauses: list[tuple[OutageKind, float]] = [("pause", length) for length in lengths(halves[0], rng, SHORTEST_PAUSE)]
    closed: list[tuple[OutageKind, float]] = [("listener", length) for length in lengths(halves[1], rng)]
    agendas = distribute([*pauses, *closed], TARGETS, lambda outage: outage[1] + GAP)
    for agenda in agendas:
        rng.shuffle(agenda)
    return agendas


def _switched(outages: int, rng: random.Random) -> list[list[float]]:
    """Return the lengths of the outages of each switch, in random order."""
    parts = distribute(lengths(outages, rng), SWITCHES, lambda length: length + GAP)
    for part in parts:
        rng.shuffle(part)
    return parts


def _truths(brackets: Sequence[Interval]) -> list[Truth]:
    return [Truth("readiness", began, ended) for began, ended in zip(brackets[::2], brackets[1::2], strict=True)]
