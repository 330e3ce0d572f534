"""Runs the watch probes: one daemon thread and one API connection each, ready or dead before anything is broken.

A gap in a watch stands in the probe's own series as two observations of the subject ``""``, both with ``error`` set,
so that nothing reads them as a value: ``{"gap": "began"}`` when contact was lost, ``{"gap": "ended", "complete": …}``
when everything that had happened meanwhile was in. ``complete`` is false when states in between may be missing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from harness.clock import Clock
from harness.cluster.protocol import Cluster
from harness.errors import HarnessError, Inconclusive
from harness.observation import Observation, Timeline
from harness.probe import ProbeContext, WatchProbe
from harness.reflector import Change, Reflector, Watched
from harness.timeouts import LOOK_EVERY

# A gap longer than this leaves nothing to conclude: no shorter outage than this could be bounded any more.
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
            # The last four: a probe could not read what the server sent. It must not die in silence.
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.settled.set()

    def died(self) -> str | None:
        """Why it is dead, or None while it lives."""
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
        what = "all events arrived late" if complete else "states in between may be missing"
        text = f"watch of {self._probe.resource.plural} resumed after {seconds:.2f} s: {what}"
        self._mark(at, {"gap": "ended", "complete": complete}, text)

    def _mark(self, at: float, value: dict[str, object], error: str) -> None:
        self._add(Observation(self._probe.series, "", self._timeline.offset(at), value, error))

    def _add(self, observation: Observation) -> None:
        # A thread that would not end must not write into a history that is being judged.
        if not self._stop.is_set():
            self._timeline.add(observation)

    def interrupt(self) -> None:
        self._api.interrupt()

    def join(self, deadline: float) -> None:
        """Wait for the thread to end; it has been told to."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, deadline - self._clock.monotonic()))
        if not self._thread.is_alive():
            self._api.close()


class Observers:
    """Watches with all probes while the context lasts. Series and values: see ``observation``."""

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
        """Begin to list and watch; returns at once."""
        for observer in self._observers:
            observer.start()

    def wait_ready(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until every first list is in. Raises Inconclusive naming the observer that died or is not ready.

        ``meanwhile`` is called at every look and may end the wait by what it raises.
        """
        deadline = self._clock.monotonic() + seconds
        for observer in self._observers:
            if not self._settles(observer, deadline, meanwhile):
                why = observer.gap[1] if observer.gap else "no answer to the first list"
                raise Inconclusive(f"observer of {observer.name} not ready within {seconds:g} s: {why}")
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
        """None while every observer is watching; else which one died, or has seen nothing for longer than the limit."""
        now = self._clock.monotonic()
        for observer in self._observers:
            dead, gap = observer.died(), observer.gap
            if dead is not None:
                return f"observer of {observer.name} died: {dead}"
            if gap is not None and now - gap[0] > self._gap_limit:
                return f"observer of {observer.name} has been cut off for {now - gap[0]:.1f} s: {gap[1]}"
        return None

    def stop(self) -> None:
        """End all watches; nothing is written to the timeline any more. Takes at most ``STOP_WITHIN`` seconds."""
        self._stop.set()
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
