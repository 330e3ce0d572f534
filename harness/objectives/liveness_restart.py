"""Liveness restart: a container that is not alive is restarted in the time that its own probe allows.

The limit is computed from the pod, not guessed. In the worst case the fault begins just after a probe that succeeded.
The next one starts one period later, each probe that hangs takes its whole timeout, and the kubelet starts the next one
at the later of its period and the end of the one before. After failureThreshold failures in a row it stops the
container, which gets its grace period, and starts it again. Sources: "Configure Liveness, Readiness and Startup Probes"
and "Pod Lifecycle" of the Kubernetes documentation, and pkg/kubelet/prober/worker.go of Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from pydantic import Field

from harness.model.finding import Finding
from harness.model.quantities import show_seconds
from harness.model.timeline import Interval, Timeline
from harness.objectives._fields import Limit, WorkloadRef
from harness.objectives._findings import combined, inconclusive, never, within
from harness.objectives.base import Objective
from harness.objectives.recovery import watched_until
from harness.objectives.recovery.gaps import states_lost
from harness.objectives.recovery.pods import PodSample, pods_of, victims

# The kubelet gives a container that it stops at least this long.
_LEAST_GRACE = 2


@dataclass(frozen=True, slots=True)
class _Allowed:
    """The longest time until the restart in seconds, and how it was computed."""

    seconds: float
    formula: str


class LivenessRestart(Objective):
    """A container of each victim is restarted within the time that its liveness probe allows, plus ``slack``.

    The time is periodSeconds + (failureThreshold - 1) × the longer of periodSeconds and timeoutSeconds + timeoutSeconds
    + the grace period. Without a liveness probe it is the slack alone, as for a process that exits. HELD is certain
    even if the watch on pods was interrupted for a while or at the end: a restart that was seen has happened. Pods
    without container statuses have no restart.
    """

    kind: ClassVar[str] = "livenessRestart"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo", "slack": "5s"}

    of: WorkloadRef = Field(description="the workload, such as deployment/podinfo")
    container: str | None = Field(
        default=None, description="the container whose probe counts; by default the only one with a liveness probe"
    )
    slack: Limit = Field(
        default=5.0, description="the time for the start of the new container, and for the kubelet's report of it"
    )

    @property
    def title(self) -> str:
        return f"restart of {self.of} by its liveness probe"

    def pending(self, timeline: Timeline) -> str:
        pods = pods_of(timeline, self.of)
        waiting = [name for name, hit, seen in _hits(timeline, pods) if self._restart(seen, hit) is None]
        return f"{', '.join(waiting)}: no container was restarted" if waiting else ""

    def awaits(self, timeline: Timeline) -> str:
        return self.pending(timeline)

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # from each injection to the end of the run
        if not timeline.injections:
            return inconclusive("no fault was injected")
        pods = pods_of(timeline, self.of)
        hits = list(_hits(timeline, pods))
        if not hits:
            return inconclusive(f"no pod of {self.of} was hit and observed after that")
        parts = [self._judged(timeline, name, hit, seen) for name, hit, seen in hits]
        return replace(combined(parts), samples=len(pods))

    def _judged(self, timeline: Timeline, name: str, hit: Interval, seen: Sequence[PodSample]) -> Finding:
        allowed = self._allowed(seen[0], hit)
        if isinstance(allowed, str):
            return inconclusive(f"pod {name}: {allowed}")
        restarted, what = self._restart(seen, hit), f"container of pod {name} restarted"
        if restarted is not None:
            length = Interval(max(0.0, restarted.low - hit.high), restarted.high - hit.low)
            found = within(what, length, allowed.seconds, "the injection")
        elif states_lost(timeline, "pods", hit.low):
            return inconclusive(f"the watch on pods was interrupted, so a restart of pod {name} may have been missed")
        else:
            # A pod that is gone is observed no longer.
            until = next((one.at for one in seen if not one.alive), watched_until(timeline))
            found = never(what, until - hit.high, allowed.seconds, "the injection")
        return replace(found, reason=f"{found.reason} ({allowed.formula})", detail={"limit": allowed.formula})

    def _restart(self, seen: Sequence[PodSample], hit: Interval) -> Interval | None:
        """Return when a container was seen to run that replaced an earlier one, or None."""
        before = {name: identity for name, identity in seen[0].containers.items() if self.container in {None, name}}
        for pod in seen[1:]:
            for name, identity in before.items():
                if identity and pod.containers.get(name, "") not in {"", identity}:
                    # The timestamp has whole seconds of another machine's clock, which may be ahead.
                    return Interval(min(max(hit.low, pod.started.get(name, hit.low)), pod.at), pod.at)
        return None

    def _allowed(self, pod: PodSample, hit: Interval) -> _Allowed | str:
        """Return the limit for the pod as it was when it was hit, or why it is unknown."""
        if pod.liveness is None:
            return "its liveness probes were not recorded"
        probes = {name: probe for name, probe in pod.liveness.items() if self.container in {None, name}}
        if len(probes) > 1:
            return f"containers {', '.join(sorted(probes))} have liveness probes: name one with `container`"
        slack = f"{show_seconds(self.slack)} slack"
        if not probes:
            return _Allowed(self.slack, f"no liveness probe: {slack}")
        ((name, probe),) = probes.items()
        period, timeout, failures = probe["period"], probe["timeout"], probe["failures"]
        grace = max(probe["grace"], _LEAST_GRACE)
        step = max(period, timeout)
        delay = max(0.0, pod.started.get(name, hit.low) + probe["delay"] - hit.low)
        parts = [
            f"{show_seconds(delay)} until the first probe" if delay else "",
            f"period {show_seconds(period)}",
            f"{failures:g} - 1 failures × {show_seconds(step)}",
            f"timeout {show_seconds(timeout)}",
            f"grace period {show_seconds(grace)}",
            slack,
        ]
        total = delay + period + (failures - 1) * step + timeout + grace + self.slack
        return _Allowed(total, " + ".join(filter(None, parts)))


def _hits(timeline: Timeline, pods: Sequence[PodSample]) -> Iterator[tuple[str, Interval, list[PodSample]]]:
    """Yield name, injection and events of each pod that was hit; the first event is the last one before."""
    brackets = {injection.injected.low: injection.injected for injection in timeline.injections}
    for uid, at in victims(timeline).items():
        events = [pod for pod in pods if pod.uid == uid]
        before = [pod for pod in events if pod.at < at][-1:]
        if before:
            yield before[0].name, brackets[at], [*before, *(pod for pod in events if pod.at >= at)]
