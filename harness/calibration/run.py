"""Makes the outages of a calibration and has the harness's own clocks measure them, all at the same time.

Targets have theirs by themselves, one after the other, while the prober asks them; meanwhile the switches are turned
from here. Everything is in a namespace of its own, which goes away again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import arrange
from harness.accuracy import ClockError
from harness.calibration.measure import Sample, errors, of_probes, of_watch
from harness.calibration.plan import LONGEST, dealt, lengths
from harness.calibration.switch import ReadinessSwitch
from harness.calibration.target import HTTP, CalibrationTarget
from harness.calibration.truth import OutageKind, Truth
from harness.clock import Clock
from harness.cluster.protocol import Cluster
from harness.errors import Inconclusive
from harness.observation import Interval, Timeline
from harness.observers import Observers
from harness.prober.declaration import HttpAim, Probing
from harness.probes.endpoints import EndpointProbe
from harness.probes.pods import PodProbe
from harness.target_prober import TargetProber
from harness.waiting import wait_until

TARGETS, SWITCHES = 4, 4
LEAST_OUTAGES = 50
RATE = 100.0
# What experiments take unless they say otherwise; a pause shorter than this is no failure to anybody, but a delay.
TIMEOUT = 0.5
SHORTEST_PAUSE = 0.75
GAP = 1.0
READY, SETTLE, SPARE = 30.0, 1.5, 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a calibration."""

    samples: list[Sample]

    @property
    def table(self) -> list[ClockError]:
        """One entry a clock."""
        return errors(self.samples)


class CalibrationRun:
    """One calibration of one cluster. ``outages`` of each clock; ``run`` and ``seed`` name and repeat it."""

    def __init__(self, cluster: Cluster, clock: Clock, *, run: str, outages: int, seed: int, folder: Path) -> None:
        self._cluster, self._clock, self._folder, self._run = cluster, clock, folder, run
        self._rng = random.Random(seed)  # noqa: S311 - lengths need repeatability, not secrecy
        self._count = outages
        self._namespace = f"rh-calibration-{run}"
        self._timeline = Timeline(clock.monotonic(), clock.wall())

    def measure(self, progress: Callable[[str], None]) -> Measured:
        """Make the outages and measure them. Raises Inconclusive, HarnessError, ApiError, TimedOut."""
        with ExitStack() as stack:
            stack.enter_context(self._namespace_made())
            progress("deploying the targets")
            targets, switches = self._deployed()
            for _, target in targets:
                stack.callback(target.close)
            probes, watches = [PodProbe(), EndpointProbe()], self._timeline
            observers = stack.enter_context(Observers(self._cluster, self._namespace, watches, self._clock, probes))
            observers.wait_ready(READY)
            prober = stack.enter_context(self._prober([target for target, _ in targets]))
            prober.wait_ready(READY)
            planned = self._scheduled([target for _, target in targets])
            progress(f"{self._count} outages for each clock, about {self._expected():.0f} s")
            truths = self._turn(switches)
            known = [self._told(target, numbers) for (_, target), numbers in zip(targets, planned, strict=True)]
            self._clock.sleep(SETTLE)
            for dead in filter(None, [prober.failure(), observers.alive()]):
                raise Inconclusive(dead)
            prober.stop()
            observers.stop()
            return Measured([*self._user(prober, known), *self._watched(switches, truths)])

    def _expected(self) -> float:
        each = -(-self._count // TARGETS)
        return each * (GAP + (LONGEST - 0.05) / 6.0) + SETTLE

    @contextmanager
    def _namespace_made(self) -> Iterator[None]:
        arrange.make_namespace(self._cluster.api, self._namespace, self._run, "calibration")
        try:
            yield
        finally:
            arrange.remove_namespace(self._cluster.api, self._namespace, self._clock)

    def _deployed(self) -> tuple[list[tuple[str, CalibrationTarget]], list[ReadinessSwitch]]:
        api, image = self._cluster.api, self._cluster.image("calibration")
        names = [f"target-{number}" for number in range(TARGETS)]
        served = [item for name in names for item in CalibrationTarget.objects(name, image)]
        turned = [f"switch-{number}" for number in range(SWITCHES)]
        arrange.apply_workload(api, self._namespace, served)
        arrange.apply_workload(
            api, self._namespace, [item for name in turned for item in ReadinessSwitch.objects(name, image)]
        )
        arrange.wait_for_workload(api, self._namespace, served, self._clock)
        targets = [
            (name, CalibrationTarget.connect(self._cluster, self._namespace, name, self._clock)) for name in names
        ]
        switches = [ReadinessSwitch(api, self._namespace, name, self._clock) for name in turned]
        for switch in switches:
            switch.turn_pod(ready=True)
        return targets, switches

    def _prober(self, names: Sequence[str]) -> TargetProber:
        probings = [
            Probing(name=name, http=HttpAim(target=f"service/{name}:{HTTP}"), rate=RATE, timeout=TIMEOUT)
            for name in names
        ]
        return TargetProber(
            self._cluster,
            self._namespace,
            probings,
            folder=self._folder,
            seconds=self._expected() + SPARE,
            clock=self._clock,
        )

    def _scheduled(self, targets: Sequence[CalibrationTarget]) -> list[list[int]]:
        """Ask each target for its outages, half of them pauses; returns their numbers."""
        halves = self._count // 2, self._count - self._count // 2
        pauses: list[tuple[OutageKind, float]] = [
            ("pause", length) for length in lengths(halves[0], self._rng, SHORTEST_PAUSE)
        ]
        closed: list[tuple[OutageKind, float]] = [("listener", length) for length in lengths(halves[1], self._rng)]
        hands = [
            [*pause, *close]
            for pause, close in zip(dealt(pauses, len(targets)), dealt(closed, len(targets))[::-1], strict=True)
        ]
        for hand in hands:
            self._rng.shuffle(hand)
        return [
            [target.schedule(kind, seconds, delay=GAP) for kind, seconds in hand]
            for target, hand in zip(targets, hands, strict=True)
        ]

    def _turn(self, switches: Sequence[ReadinessSwitch]) -> list[tuple[list[Truth], list[Truth]]]:
        """Turn pods and endpoints off and on by one agenda; returns what was true of each switch's pod and endpoint."""
        turns: list[tuple[float, bool, Callable[..., Interval], list[Interval]]] = []
        brackets: list[tuple[list[Interval], list[Interval]]] = []
        hands = [dealt(lengths(self._count, self._rng), len(switches)) for _ in range(2)]
        begin = self._clock.monotonic()
        for index, switch in enumerate(switches):
            taken: tuple[list[Interval], list[Interval]] = ([], [])
            for turn, into, hand in zip(
                (switch.turn_pod, switch.turn_endpoint), taken, (h[index] for h in hands), strict=True
            ):
                at = begin + GAP * (1 + self._rng.random())
                for length in hand:
                    turns += [(at, False, turn, into), (at + length, True, turn, into)]
                    at += length + GAP
            brackets.append(taken)
        for at, ready, turn, into in sorted(turns, key=lambda one: one[0]):
            self._clock.sleep(at - self._clock.monotonic())
            into.append(turn(ready=ready))
        return [(_truths(pod), _truths(endpoint)) for pod, endpoint in brackets]

    def _told(self, target: CalibrationTarget, numbers: Sequence[int]) -> list[Truth]:
        def look() -> tuple[list[Truth] | None, str]:
            found = [target.truth(number) for number in numbers]
            known = [truth for truth in found if truth is not None]
            return (known, "") if len(known) == len(numbers) else (None, f"{len(known)} of {len(numbers)} are over")

        return wait_until("the targets' last outages", look, self._expected() + SPARE, self._clock, every=1.0)

    def _user(self, prober: TargetProber, known: Sequence[Sequence[Truth]]) -> Iterator[Sample]:
        origin = self._timeline.origin
        for stream, truths in zip(prober.streams(origin), known, strict=True):
            yield from of_probes(stream, [truth.since(origin) for truth in truths])

    def _watched(
        self, switches: Sequence[ReadinessSwitch], truths: Sequence[tuple[list[Truth], list[Truth]]]
    ) -> Iterator[Sample]:
        origin = self._timeline.origin
        for switch, (pod, endpoint) in zip(switches, truths, strict=True):
            yield from of_watch(self._timeline, "control plane", switch.name, [one.since(origin) for one in pod])
            yield from of_watch(self._timeline, "endpoints", switch.name, [one.since(origin) for one in endpoint])


def _truths(brackets: Sequence[Interval]) -> list[Truth]:
    return [Truth("readiness", began, ended) for began, ended in zip(brackets[::2], brackets[1::2], strict=True)]
