"""The prober of an experiment, which probes Services of its workload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.common.errors import HarnessError
from harness.common.timeouts import LOAD_GRACE
from harness.engine.steps.reach import Finder, Reach
from harness.model.timeline import ProbeStream
from harness.traffic.prober.declaration import Probing
from harness.traffic.prober.driver import RunningProber
from harness.traffic.prober.wire import Settings, StreamSettings


class TargetProber:
    """A running prober, in the network of the load (see ``Cluster.load_command``); streams to URLs in this machine's.

    Raises Inconclusive if a target does not exist, CapabilityMissing if it cannot be reached."""

    def __init__(self, finder: Finder, probings: Sequence[Probing], *, folder: Path, seconds: float) -> None:
        """Start the prober; it ends by itself some time after ``seconds``. Its files are written to ``folder``."""
        self._probings = probings
        reached = [finder.find(probing.aim.target) for probing in probings]
        # A process has one network, so there may be one process for each of the two.
        self._parts: list[tuple[RunningProber, list[int]]] = []
        self._services = [reach.service for reach in reached]
        for outside, place in ((False, folder), (True, folder / "outside")):
            numbers = [number for number, reach in enumerate(reached) if reach.outside is outside]
            if not numbers:
                continue
            streams = tuple(_settings(reached[number], probings[number]) for number in numbers)
            settings = Settings(streams, seconds + LOAD_GRACE)
            command = () if outside else finder.cluster.load_command()
            try:
                running = RunningProber.start(settings, place, finder.clock, command, finder.secrets)
            except HarnessError:
                self.stop()
                raise
            self._parts.append((running, numbers))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The id of the first process, or of the command that wraps it."""
        return self._parts[0][0].pid

    def wait_ready(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait up to ``seconds`` until every stream had a successful response. Raises Inconclusive.

        ``meanwhile`` is called at every check and may raise."""
        for running, numbers in self._parts:
            running.wait_ready([self._probings[number].title for number in numbers], seconds, meanwhile)

    def failure(self) -> str | None:
        """Return why the prober has died, or None while it is running."""
        return next(filter(None, (running.failure() for running, _ in self._parts)), None)

    def streams(self, origin: float) -> list[ProbeStream]:
        """Return all probes so far, in seconds since a monotonic origin."""
        found = {
            number: ProbeStream(
                name=self._probings[number].title,
                service=self._services[number],
                period=1 / self._probings[number].rate,
                timeout=self._probings[number].timeout,
                seen=running.seen(index, origin),
                dropped=running.dropped(index),
            )
            for running, numbers in self._parts
            for index, number in enumerate(numbers)
        }
        return [found[number] for number in sorted(found)]

    def stop(self) -> None:
        """Stop the prober; repeated calls are allowed."""
        for running, _ in self._parts:
            running.stop()


def _settings(reach: Reach, probing: Probing) -> StreamSettings:
    endpoint = reach.dialled()
    return StreamSettings(
        protocol=probing.protocol,
        host=endpoint.host,
        port=endpoint.port,
        period=1 / probing.rate,
        timeout=probing.timeout,
        kept=probing.connection == "kept",
        options=probing.aim.options(),
        access=endpoint.access,
    )
