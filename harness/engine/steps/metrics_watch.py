"""Read what an autoscaler reads, in a thread because a response may be slow: once a second in every such experiment."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from harness.cluster.kube import flags
from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import Permission, denied
from harness.engine.steps.run import Run
from harness.engine.steps.scaling_settings import AUTOSCALER, SERIES, scaling_settings
from harness.model.timeline import Observation, Timeline
from harness.probes import pod_metrics
from harness.probes.base import ProbeContext
from harness.probes.pod_metrics import PodMetricsProbe

EVERY = 1.0
STOP_WITHIN = 2.0


def useful_for(objects: Sequence[Object]) -> frozenset[Permission]:
    """Return the optional permissions in the experiment's namespace to explain the autoscalers among the objects."""
    return pod_metrics.PERMISSIONS if _has_autoscaler(objects) else frozenset()


def useful_elsewhere(objects: Sequence[Object]) -> frozenset[Permission]:
    """Return those in other namespaces, wherever the experiment runs."""
    return flags.PERMISSIONS if _has_autoscaler(objects) else frozenset()


def _has_autoscaler(objects: Sequence[Object]) -> bool:
    return any(item["kind"] == AUTOSCALER for item in objects)


class MetricsWatch:
    """Adds the settings of the autoscalers to the timeline, and the pods' metrics while the context is active."""

    def __init__(self, run: Run, namespace: str, timeline: Timeline, objects: Sequence[Object]) -> None:
        self._run, self._objects = run, objects
        self._context = ProbeContext(run.cluster, namespace, timeline, run.clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="pod-metrics", daemon=True)

    def __enter__(self) -> Self:
        found = list(scaling_settings(self._run.cluster, self._objects))
        for subject, value in found:
            at = self._context.timeline.offset(self._run.clock.monotonic())
            self._context.timeline.add(Observation(SERIES, subject, at, value))
        if found and not denied(
            self._run.cluster.api, pod_metrics.PERMISSIONS, self._context.namespace, self._run.granted
        ):
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

    def _loop(self) -> None:
        probe = PodMetricsProbe(self._run.cluster.api.clone())
        try:
            while not self._stop.is_set():
                for seen in probe.observations(self._context):
                    if self._stop.is_set():
                        return
                    self._context.timeline.add(seen)
                self._run.clock.wait(self._stop, EVERY)
        finally:
            probe.close()
