"""Scale-out: the first replica that an autoscaler adds serves in the time that the cluster's own settings allow.

The limit is a model of the reaction (``harness.objectives._reaction``), not a guess. Every part of it is printed beside
what was measured, so that a reader sees which one was slow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from harness.model.finding import Finding
from harness.model.phase_names import FAULT
from harness.model.quantities import Duration, show_seconds
from harness.model.timeline import Interval, Timeline
from harness.objectives import _reaction
from harness.objectives._fields import Limit, reference
from harness.objectives._findings import inconclusive, never, within
from harness.objectives._reaction import Part, assumed, reaction
from harness.objectives._series import statuses, unknown_now, values
from harness.objectives.base import Objective
from harness.objectives.recovery import watched_until
from harness.objectives.recovery.gaps import states_lost
from harness.objectives.recovery.pods import PodSample, pods_of

_SINCE = "the start of the fault phase"
# Seconds. The autoscaler writes the new size before its own status, and each has its own watch.
_LAG = 2.0
# What happens in order, each with the part of the model that it belongs to.
_MOMENTS = {
    "metrics": _reaction.METRICS,
    "autoscaler": _reaction.AUTOSCALER,
    "created": _reaction.STARTED,
    "scheduled": _reaction.STARTED,
    "started": _reaction.STARTED,
    "ready": _reaction.READY,
    "endpoint": _reaction.READY,
}


@dataclass(frozen=True, slots=True)
class _Reaction:
    """The instants that were seen, by the names in _MOMENTS; None for one that was not. ``served`` is the last one.

    ``size`` is the number of replicas before.
    """

    size: int
    seen: Mapping[str, float | None]
    served: float | None

    def lengths(self, start: float) -> Iterator[tuple[str, float]]:
        """Yield how long each moment took after the one before. What was not seen is part of the next one."""
        before, unseen = start, ""
        for name, at in self.seen.items():
            if at is None:
                unseen += f"{name} and "
                continue
            yield unseen + name, max(0.0, at - before)
            before, unseen = max(before, at), ""


class ScaleOut(Objective):
    """The first new replica of an autoscaler serves within the time that its settings allow, plus ``slack``.

    The time counts from the start of the fault phase, so the load should jump there: a load that climbs needs more
    slack. It is the age of the metrics + the stabilization window for scaling up + the HPA sync period (KEDA's polling
    interval for the first replica of none) + the start of a pod + its startup and readiness probes. HELD is certain
    even if the watch on pods was interrupted, the watch on endpoints was interrupted or the watch on autoscalers was
    interrupted, for a while or at the end: a replica that was seen to serve has done so, also without container
    statuses.
    """

    kind: ClassVar[str] = "scaleOut"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {"of": "hpa/podinfo", "slack": "5s"}

    of: Annotated[str, AfterValidator(reference("hpa"))] = Field(description="the autoscaler, hpa/NAME")
    slack: Limit | None = Field(
        default=None, description="what is allowed beyond the model; by default one HPA sync period of the cluster"
    )
    image: Duration = Field(default=0.0, description="the time to pull the image on a node that does not have it")
    metric: Duration = Field(
        default=0.0,
        description="the time until the source of an external metric shows a change, such as the interval of scrapes "
        "and the window of a PromQL query",
    )

    @property
    def title(self) -> str:
        return f"scale-out of {self.of}"

    def unready(self, timeline: Timeline) -> str:
        return unknown_now(timeline, "autoscalers", self.of, ("current", "desired"))

    def awaits(self, timeline: Timeline) -> str:
        found = self._reaction(timeline)
        return "" if found is not None and found.served is not None else f"no new replica of {self.of} serves yet"

    def pending(self, timeline: Timeline) -> str:
        return self.awaits(timeline)

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # from the start of the fault phase to the end of the run
        fault, settings = timeline.phase(FAULT), self._settings(timeline)
        if fault is None:
            return inconclusive("the run did not reach the fault phase")
        if settings is None:
            return inconclusive(f"the settings of {self.of} were not recorded")
        found = self._reaction(timeline)
        if found is None:
            return inconclusive(f"the replicas of {self.of} before the fault phase are unknown")
        parts = reaction(settings, self.image, self.metric, from_zero=found.size == 0)
        model = sum(part.seconds for part in parts)
        limit = model + (settings["sync"] if self.slack is None else self.slack)
        what = f"first new replica of {self.of} served"
        if found.served is not None:
            took = found.served - fault.start
            finding = within(what, Interval(took, took), limit, _SINCE)
        elif any(states_lost(timeline, series, fault.start) for series in self._watched(settings)):
            return inconclusive(f"a watch was interrupted, so a new replica of {self.of} may have been missed")
        else:
            finding = never(what, watched_until(timeline) - fault.start, limit, _SINCE)
            finding = replace(finding, reason=finding.reason + self._trouble(timeline, found))
        lengths = dict(found.lengths(fault.start))
        measured = ", ".join(f"{name} {show_seconds(seconds)}" for name, seconds in lengths.items())
        notes = (f"model {show_seconds(model)} + {show_seconds(limit - model)} slack", measured, assumed(settings))
        reason = f"{finding.reason} ({'; '.join(filter(None, notes))})"
        return replace(finding, reason=reason, detail=dict(_beside(parts, lengths)))

    def _watched(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        return ("workloads" if _is_polled(settings) else "autoscalers", "pods", "endpoints")

    def _settings(self, timeline: Timeline) -> Mapping[str, Any] | None:
        seen = values(timeline, "scaling", self.of)
        return seen[-1].value if seen else None

    def _trouble(self, timeline: Timeline, found: _Reaction) -> str:
        """Return why nothing was added, to be appended to a reason; may be empty."""
        last = statuses(timeline, "autoscalers", self.of)[-1:]
        if found.seen["autoscaler"] is None:
            found_of = [status.trouble for status in last if status.trouble]
            return f"; it never wanted more replicas{': ' + found_of[0] if found_of else ''}"
        stages = [name for name, at in found.seen.items() if at is not None]
        return f"; the last stage that was reached is: {stages[-1]}"

    def _reaction(self, timeline: Timeline) -> _Reaction | None:
        """Return what was seen of the first new replica that serves; None without a known size before the fault."""
        fault, settings = timeline.phase(FAULT), self._settings(timeline)
        if fault is None or settings is None:
            return None
        # What an autoscaler wants is unknown while it cannot compute, but not how many replicas there are. KEDA adds
        # the first of none itself, so with KEDA the number that counts is that in the target's spec.
        keda = _is_polled(settings)
        subject = ("workloads", str(settings["target"])) if keda else ("autoscalers", self.of)
        seen, current = statuses(timeline, *subject), "desired" if keda else "current"
        before = [size for one in seen if one.at < fault.start and isinstance(size := one.count(current), int)]
        if not before:
            return None
        sizes = [(one.at, one.count("desired")) for one in seen if one.at >= fault.start]
        wanted = next((at for at, size in sizes if isinstance(size, int) and size > before[-1]), None)
        risen = _risen(timeline, settings, fault.start)
        if wanted is None:
            return _Reaction(before[-1], {**dict.fromkeys(_MOMENTS), "metrics": risen}, None)
        if risen is not None:
            # They are read once a second: the autoscaler may have read the same sample a little earlier.
            risen = min(risen, wanted)
        target, endpoints = _pods(timeline, str(settings["target"])), _endpoints(timeline)
        last = "endpoint" if any(endpoints.get(uid, math.inf) < fault.start for uid in target) else "ready"
        new = [events for events in target.values() if events[0].at >= max(fault.start, wanted - _LAG)]
        moments = [_moments(events, endpoints) for events in new]
        first = min(moments, key=lambda one: one[last] or math.inf, default={})
        names = [name for name in _MOMENTS if name != "endpoint" or last == "endpoint"]
        stages = {name: first.get(name) for name in names}
        return _Reaction(before[-1], {**stages, "metrics": risen, "autoscaler": wanted}, first.get(last))


def _is_polled(settings: Mapping[str, Any]) -> bool:
    return settings.get("polling") is not None


def _pods(timeline: Timeline, workload: str) -> dict[str, list[PodSample]]:
    found: dict[str, list[PodSample]] = {}
    for pod in pods_of(timeline, workload):
        found.setdefault(pod.uid, []).append(pod)
    return found


def _endpoints(timeline: Timeline) -> dict[str, float]:
    """Return when each pod (its UID) was first among the ready endpoints of a Service."""
    found: dict[str, float] = {}
    for seen in timeline.observations("endpoints"):
        if isinstance(seen.value, Mapping):
            found = dict.fromkeys(seen.value.get("ready", ()), seen.at) | found
    return found


def _moments(events: Sequence[PodSample], endpoints: Mapping[str, float]) -> dict[str, float | None]:
    """Return when each stage of a pod was seen first."""

    def first(stage: Callable[[PodSample], bool]) -> float | None:
        return next((pod.at for pod in events if stage(pod)), None)

    return {
        "created": events[0].at,
        "scheduled": first(lambda pod: bool(pod.node)),
        "started": first(lambda pod: bool(pod.started) and set(pod.started) == set(pod.containers)),
        "ready": first(lambda pod: pod.ready),
        "endpoint": endpoints.get(events[0].uid),
    }


def _risen(timeline: Timeline, settings: Mapping[str, Any], start: float) -> float | None:
    """Return when the metrics API first showed more use per pod than a metric of the autoscaler permits."""
    members = {pod.name for pod in pods_of(timeline, str(settings["target"]))}
    latest: dict[str, Mapping[str, Mapping[str, float]]] = {}
    for seen in timeline.observations("podMetrics"):
        if seen.error is not None or seen.subject not in members:
            continue
        latest[seen.subject] = seen.value["containers"]
        if seen.at >= start and any(_is_exceeded(each, latest.values(), settings) for each in settings["metrics"]):
            return seen.at
    return None


def _is_exceeded(
    metric: Mapping[str, Any], pods: Collection[Mapping[str, Mapping[str, float]]], settings: Mapping[str, Any]
) -> bool:
    used = sum(
        usage.get(metric["resource"], 0.0)
        for containers in pods
        for name, usage in containers.items()
        if metric["container"] in {"", name}
    )
    allowed: float = metric["per_pod"] * (1 + settings["tolerance"])
    return used / len(pods) > allowed


def _beside(parts: Sequence[Part], lengths: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield each part of the model with what was measured for it."""
    for part in parts:
        own = {name: seconds for name, seconds in lengths.items() if _MOMENTS[name.rpartition(" ")[2]] == part.name}
        if not own:
            measured = "not measured"
        else:
            measured = show_seconds(sum(own.values()))
            if set(own) != {part.name}:
                measured += f" ({', '.join(f'{name} {show_seconds(seconds)}' for name, seconds in own.items())})"
        yield part.name, f"{measured}, model at most {show_seconds(part.seconds)}: {part.formula}"
