"""Asks Prometheus for the abort conditions while an experiment runs, in a thread: an answer may take its time.

Series ``abort``, subject the condition's name: {"values": [number of every series …]}, or an error.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from harness.abort import SERIES, AbortCondition
from harness.clock import Clock
from harness.observation import Observation, Timeline
from harness.probes.prometheus import Prometheus, escape

EVERY = 0.5
STOP_WITHIN = 2.0


class AbortWatch:
    """Asks twice a second while the context lasts, over connections of its own."""

    def __init__(
        self,
        conditions: Sequence[AbortCondition],
        prometheus: Prometheus,
        namespace: str,
        timeline: Timeline,
        clock: Clock,
    ) -> None:
        self._conditions, self._timeline, self._clock = conditions, timeline, clock
        self._namespace = namespace
        self._prometheus = prometheus.clone()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="abort-conditions", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # One that hangs in a request ends with it; what it says then is not written any more.
        self._thread.join(STOP_WITHIN)

    def ask(self) -> None:
        """Ask for every condition once."""
        for condition in self._conditions:
            query = condition.query.replace("$namespace", escape(self._namespace))
            try:
                values = [sample.value for sample in self._prometheus.instant(query)]
                error = None if all(math.isfinite(value) for value in values) else f"not a number: {query}"
            except Exception as failure:  # noqa: BLE001 - a watch that dies would say nothing, and nobody would see it
                values, error = [], f"{type(failure).__name__}: {failure}"
            at = self._timeline.offset(self._clock.monotonic())
            if not self._stop.is_set():
                value = None if error else {"values": values}
                self._timeline.add(Observation(SERIES, condition.name, at, value, error))

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.ask()
                self._clock.wait(self._stop, EVERY)
        finally:
            self._prometheus.close()
