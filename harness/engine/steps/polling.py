"""Ask probes again and again during an experiment, in a thread because a response may be slow."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from harness.engine.steps.run import Run
from harness.model.timeline import Observation, Timeline
from harness.probes.base import ProbeContext

STOP_WITHIN = 2.0


class Polled(Protocol):
    """A probe with a connection of its own, which is used in the thread alone."""

    def observations(self, context: ProbeContext) -> Iterator[Observation]:
        """Ask once, and yield what is to be added to the timeline. Errors of the cluster are yielded, not raised."""

    def close(self) -> None:
        """Close the connection."""


class Polling(ABC):
    """Asks probes every ``every`` seconds while the context is active, and adds what they see to the timeline."""

    def __init__(self, run: Run, namespace: str, timeline: Timeline, *, name: str, every: float) -> None:
        self._run, self._every = run, every
        self._context = ProbeContext(run.cluster, namespace, timeline, run.clock)
        self._probes: Sequence[Polled] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    @abstractmethod
    def probes(self) -> Sequence[Polled]:
        """Return the probes; called once, on entry. Without any no thread is started."""

    def __enter__(self) -> Self:
        self._probes = self.probes()
        if self._probes:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Add nothing to the timeline any more. Takes at most STOP_WITHIN seconds."""
        self._stop.set()
        if self._thread.is_alive():
            # A thread that is still in a request ends with it; its late result is dropped.
            self._thread.join(STOP_WITHIN)

    def look(self) -> None:
        """Ask every probe once and add the results to the timeline."""
        for probe in self._probes:
            for seen in probe.observations(self._context):
                if self._stop.is_set():
                    return
                self._context.timeline.add(seen)

    def _loop(self) -> None:
        try:
            while not self._stop.is_set():
                self.look()
                self._run.clock.wait(self._stop, self._every)
        finally:
            for probe in self._probes:
                probe.close()
