"""Query Prometheus for the abort conditions during an experiment, in a thread because a response may be slow.

Series ``abort``; subject: name of the condition, value: {"values": [one number per series]} or an error.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from harness.common.clock import Clock
from harness.experiment.abort import SERIES, AbortCondition
from harness.model.timeline import Observation, Timeline
from harness.prometheus.client import Prometheus, escape

EVERY = 0.5
STOP_WITHIN = 2.0


class AbortWatch:
    """Queries twice a second while the context is active, with separate connections."""

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
        # A thread that is still in a request ends with it; its late result is dropped.
        self._thread.join(STOP_WITHIN)

    def close(self) -> None:
        """Close the connections of a watch whose context was not entered."""
        self._prometheus.close()

    def query(self) -> None:
        """Query every condition once and add the results to the timeline."""
        for condition in self._conditions:
            promql = condition.query.replace("$namespace", escape(self._namespace))
            try:
                values = [sample.value for sample in self._prometheus.instant(promql)]
                error = None if all(math.isfinite(value) for value in values) else f"result is not a number: {promql}"
            except Exception as failure:  # noqa: BLE001 - any error is recorded: if this thread died, aborts would stop silently
                values, error = [], f"{type(failure).__name__}: {failure}"
            at = self._timeline.offset(self._clock.monotonic())
            if not self._stop.is_set():
                value = None if error else {"values": values}
                self._timeline.add(Observation(SERIES, condition.name, at, value, error))

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.query()
                self._clock.wait(self._stop, EVERY)
        finally:
            self.close()
