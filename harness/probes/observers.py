"""Run the watch probes, each in a daemon thread with its own API connection. All are ready before a fault is injected.

A gap in a watch is recorded in the probe's series as two observations of the subject ``""``. Both have ``error`` set,
so that they are never read as values: ``{"gap": "began"}`` when the connection was lost, ``{"gap": "ended", "complete":
…}`` when all changes during the gap were received. ``complete`` is false if intermediate states may be missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from harness.cluster.kube.reflector import Change, Reflector, Watched
from harness.cluster.protocol import Cluster
from harness.common.clock import Clock
from harness.common.errors import HarnessError, Inconclusive
from harness.common.timeouts import LOOK_EVERY
from harness.model.timeline import Observation, Timeline
from harness.probes.base import ProbeContext, WatchProbe

# Seconds. After a longer gap the run is inconclusive, since an outage shorter than the gap could not be measured.
GAP_LIMIT = 15.0
STOP_WITHIN = 5.0


class _Observer:
    """One probe, its thread and its connection; the sink of its reflector."""

    def __init__(self, probe: WatchProbe, context: ProbeContext, stop: threading.Event) -> None:
        self.name = f"{probe.series} ({probe.resource.plural})"
        self.settled = threading.Event()
        self.error = ""
        self.gap: tuple[float, str] | None = None
        self._probe, self._timeline, self._clock, self._stop = probe, context.timeline, context.clock, stop
        self._api = context.cluster.api.clone()
        watched = Watched(probe.resource, context.namespace if probe.namespaced else None, probe.selector)
        self._reflector = Reflector(self._api, watched, context.clock, self)
        self._thread = threading.Thread(target=self._run, name=f"watch-{probe.resource.plural}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            self._reflector.run(self._stop)
        except (HarnessError, LookupError, TypeError, ValueError, AttributeError) as error:
            # The last four mean that the probe could not read an object. The thread must not end without a reason.
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.settled.set()

    def died(self) -> str | None:
        """Return why the observer ended, or None while it runs."""
        if self.error:
            return self.error
        ended = self.settled.is_set() and not self._thread.is_alive() and not self._stop.is_set()
        return "its thread ended" if ended else None

    def changed(self, change: Change, at: float) -> None:
        offset = self._timeline.offset(at)
        for seen in self._probe.see(change.event, change.object):
            self._add(Observation(self._probe.series, seen.subject, offset, seen.value, wall=seen.wall))

    def synced(self) -> None:
        self.settled.set()

    def lost(self, reason: str, at: float) -> None:
        self.gap = (at, reason)
        self._mark(at, {"gap": "began"}, f"watch of {self._probe.resource.plural} lost: {reason}")

    def resumed(self, complete: bool, at: float) -> None:
        seconds = at - self.gap[0] if self.gap else 0.0
        self.gap = None
        what = "all events arrived late" if complete else "intermediate states may be missing"
        text = f"watch of {self._probe.resource.plural} resumed after {seconds:.2f} s: {what}"
        self._mark(at, {"gap": "ended", "complete": complete}, text)

    def _mark(self, at: float, value: dict[str, object], error: str) -> None:
        self._add(Observation(self._probe.series, "", self._timeline.offset(at), value, error))

    def _add(self, observation: Observation) -> None:
        # A thread that could not be stopped must not change a timeline that is being judged.
        if not self._stop.is_set():
            self._timeline.add(observation)

    def interrupt(self) -> None:
        self._api.interrupt()

    def join(self, deadline: float) -> None:
        """Wait for the thread to end, after ``stop`` was set and its connection interrupted."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, deadline - self._clock.monotonic()))
        # A thread that still runs uses the connection, so closing it here would race with the thread.
        if not self._thread.is_alive():
            self._api.close()


class Observers:
    """Runs all watch probes while the context lasts. For series and values see ``observation``."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        timeline: Timeline,
        clock: Clock,
        probes: Sequence[WatchProbe],
        *,
        gap_limit: float = GAP_LIMIT,
    ) -> None:
        self._clock, self._gap_limit = clock, gap_limit
        self._stop = threading.Event()
        context = ProbeContext(cluster, namespace, timeline, clock)
        self._observers = [_Observer(probe, context, self._stop) for probe in probes]

    def start(self) -> None:
        """Start listing and watching; returns at once."""
        for observer in self._observers:
            observer.start()

    def wait_ready(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait up to ``seconds`` until every observer has received its first list.

        ``meanwhile`` is called at every check and may raise to end the wait. Raises Inconclusive, which names the
        observer that ended or is not ready.
        """
        deadline = self._clock.monotonic() + seconds
        for observer in self._observers:
            if not self._settles(observer, deadline, meanwhile):
                why = observer.gap[1] if observer.gap else "no answer to the first list"
                raise Inconclusive(f"observer of {observer.name} not ready within {seconds:g} s: {why}")
        # An observer whose thread ended counts as settled too.
        reason = self.alive()
        if reason is not None:
            raise Inconclusive(reason)

    def _settles(self, observer: _Observer, deadline: float, meanwhile: Callable[[], None]) -> bool:
        while (left := deadline - self._clock.monotonic()) > 0:
            meanwhile()
            if self._clock.wait(observer.settled, min(left, LOOK_EVERY)):
                return True
        return observer.settled.is_set()

    def alive(self) -> str | None:
        """Return None while every observer runs; otherwise which one ended, or was disconnected beyond the limit."""
        now = self._clock.monotonic()
        for observer in self._observers:
            dead, gap = observer.died(), observer.gap
            if dead is not None:
                return f"observer of {observer.name} died: {dead}"
            if gap is not None and now - gap[0] > self._gap_limit:
                return f"observer of {observer.name} has been disconnected for {now - gap[0]:.1f} s: {gap[1]}"
        return None

    def stop(self) -> None:
        """Stop all watches. They add nothing to the timeline any more. Takes at most ``STOP_WITHIN`` seconds."""
        self._stop.set()
        # All are interrupted before any is joined, so that the time to stop is not the sum of all.
        for observer in self._observers:
            observer.interrupt()
        deadline = self._clock.monotonic() + STOP_WITHIN
        for observer in self._observers:
            observer.join(deadline)

    def __enter__(self) -> Observers:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
