"""Read what an autoscaler reads, once a second in every experiment with one."""

from __future__ import annotations

from collections.abc import Sequence

from harness.cluster.kube import flags
from harness.cluster.kube.autoscalers import autoscalers
from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import Permission, denied
from harness.engine.steps.polling import Polled, Polling
from harness.engine.steps.run import Run
from harness.engine.steps.scaling_settings import SERIES, scaling_settings
from harness.model.timeline import Observation, Timeline
from harness.probes import pod_metrics
from harness.probes.pod_metrics import PodMetricsProbe

EVERY = 1.0


def useful_for(objects: Sequence[Object]) -> frozenset[Permission]:
    """Return the optional permissions in the experiment's namespace to explain the autoscalers among the objects."""
    return pod_metrics.PERMISSIONS if _has_autoscaler(objects) else frozenset()


def useful_elsewhere(objects: Sequence[Object]) -> frozenset[Permission]:
    """Return those in other namespaces, wherever the experiment runs."""
    return flags.PERMISSIONS if _has_autoscaler(objects) else frozenset()


def _has_autoscaler(objects: Sequence[Object]) -> bool:
    return any(True for _ in autoscalers(objects))


class MetricsWatch(Polling):
    """Adds the settings of the autoscalers to the timeline, and the pods' metrics while the context is active."""

    def __init__(self, run: Run, namespace: str, timeline: Timeline, objects: Sequence[Object]) -> None:
        super().__init__(run, namespace, timeline, name="pod-metrics", every=EVERY)
        self._objects = objects

    def probes(self) -> Sequence[Polled]:
        """Return the probe of the pods' metrics, if there is an autoscaler and they may be read."""
        run, context = self._run, self._context
        found = list(scaling_settings(run.cluster, self._objects))
        for subject, value in found:
            at = context.timeline.offset(run.clock.monotonic())
            context.timeline.add(Observation(SERIES, subject, at, value))
        if not found or denied(run.cluster.api, pod_metrics.PERMISSIONS, context.namespace, run.granted):
            return []
        return [PodMetricsProbe(run.cluster.api.clone())]
