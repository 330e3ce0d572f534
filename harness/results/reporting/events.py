"""The event timeline of an experiment: the events that an incident review would list, without repetitions.

Watches observe states; an event is a difference between two states of an object. The states before the first phase are
not events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from harness.model.reported import Status, Unknown
from harness.model.timeline import Injection, Observation, Timeline
from harness.results.record import EventRecord

MAX_EVENTS = 200
# If there are too many events, those of the last sources in this list are dropped first.
SOURCES = ("harness", "rollout", "autoscaler", "node", "pod", "endpoints", "observer", "kubernetes")
# Kubernetes events that repeat the states of the pods, with less precise times.
_KNOWN_FROM_PODS = frozenset(
    {"Created", "Pulled", "Pulling", "Scheduled", "Started", "SuccessfulCreate", "SuccessfulDelete"}
)

_STARTING = frozenset({"ContainerCreating", "PodInitializing"})

State = dict[str, Any]
Difference = Callable[[State, State], Iterator[str]]


def build_events(timeline: Timeline) -> list[EventRecord]:
    """Return the events in order, at most MAX_EVENTS; if some were dropped, the last entry has their number."""
    begin = min((phase.start for phase in timeline.phases), default=0.0)
    events = [
        *_marks(timeline),
        *_differences(timeline, "workloads", "rollout", _workload),
        *_differences(timeline, "autoscalers", "autoscaler", _autoscaler),
        *_differences(timeline, "nodes", "node", _node),
        *_pods(timeline),
        *_differences(timeline, "endpoints", "endpoints", _endpoints),
        *_observer_errors(timeline),
        *_kubernetes(timeline),
    ]
    return _bounded([event for event in events if event.at >= begin])


def _bounded(events: list[EventRecord]) -> list[EventRecord]:
    left_out = 0
    if len(events) > MAX_EVENTS:
        events.sort(key=lambda event: (SOURCES.index(event.source), event.at))
        left_out = len(events) - MAX_EVENTS + 1
        events = events[: MAX_EVENTS - 1]
    events.sort(key=lambda event: event.at)
    if left_out:
        message = f"{left_out} further events are not shown; all of them are in the run's folder"
        events.append(EventRecord(at=events[-1].at, source="harness", subject="timeline", message=message))
    return events


def _marks(timeline: Timeline) -> Iterator[EventRecord]:
    if timeline.stopped:
        message = f"ended early: {timeline.stopped.reason}"
        yield EventRecord(at=timeline.stopped.at, source="harness", subject="fault", message=message)
    for phase in timeline.phases:
        yield EventRecord(at=phase.start, source="harness", subject="phase", message=f"{phase.name} begins")
    for injection in timeline.injections:
        yield from _injection(injection)


def _injection(injection: Injection) -> Iterator[EventRecord]:
    victims = ", ".join(str(victim) for victim in injection.victims) or "no victim"
    at = injection.injected.low
    yield EventRecord(at=at, source="harness", subject=injection.fault, message=f"injected into {victims}")
    if injection.undone:
        done = injection.undone.high
        yield EventRecord(at=done, source="harness", subject=injection.fault, message=f"undone on {victims}")


def _differences(timeline: Timeline, series: str, source: str, difference: Difference) -> Iterator[EventRecord]:
    known: dict[str, State] = {}
    for seen in _states(timeline, series):
        for message in _life(known.pop(seen.subject, None), seen.value, difference):
            yield EventRecord(at=seen.at, source=source, subject=seen.subject, message=message)
        # A later object with the same name is a new one and must be reported as created.
        if seen.value.get("event") != "DELETED":
            known[seen.subject] = seen.value


def _life(before: State | None, now: State, difference: Difference) -> Iterator[str]:
    if now.get("event") == "DELETED":
        yield "deleted"
    elif before is not None:
        yield from difference(before, now)
    elif now.get("event") == "ADDED":
        yield "created"


def _states(timeline: Timeline, series: str) -> list[Observation]:
    states = [seen for seen in timeline.observations(series) if isinstance(seen.value, dict)]
    return sorted(states, key=lambda seen: seen.at)


def _workload(before: State, now: State) -> Iterator[str]:
    if before.get("uid") != now.get("uid"):
        yield "replaced by a new object of the same name"
    if before.get("revision") != now.get("revision"):
        yield f"revision {before.get('revision')} → {now.get('revision')}"
    if before.get("desired") != now.get("desired"):
        yield f"desired replicas {before.get('desired')} → {now.get('desired')}"
    yield from _conditions(before, now)


def _autoscaler(before: State, now: State) -> Iterator[str]:
    was, is_now = _wanted(before), _wanted(now)
    if was != is_now:
        metrics = ", ".join(f"{name} {value:g}" for name, value in (now.get("metrics") or {}).items())
        bounds = f"between {now.get('min')} and {now.get('max')}"
        why = f" on {metrics}" if metrics else ""
        yield f"desired replicas {was} → {is_now}{why}, {bounds}"
    yield from _conditions(before, now)


def _wanted(autoscaler: State) -> str:
    number = Status("hpa/", 0.0, autoscaler).count("desired")
    return "unknown" if isinstance(number, Unknown) else str(number)


def _conditions(before: State, now: State) -> Iterator[str]:
    old = before.get("conditions") or {}
    for name, condition in (now.get("conditions") or {}).items():
        # Compare status and reason only: the message of a condition changes with every pod.
        was, is_now = old.get(name) or {}, condition or {}
        if (was.get("status"), was.get("reason")) != (is_now.get("status"), is_now.get("reason")):
            reason, message = is_now.get("reason") or "", is_now.get("message") or ""
            yield f"{name} is {is_now.get('status')}" + "".join(f": {part}" for part in (reason, message) if part)


def _node(before: State, now: State) -> Iterator[str]:
    if bool(before.get("ready")) != bool(now.get("ready")):
        yield "ready" if now.get("ready") else "not ready"
    if bool(before.get("schedulable", True)) != bool(now.get("schedulable", True)):
        yield "schedulable again" if now.get("schedulable") else "cordoned"


def _endpoints(before: State, now: State) -> Iterator[str]:
    was, is_now = len(before.get("ready") or ()), len(now.get("ready") or ())
    if was != is_now:
        yield f"{was} → {is_now} ready"


def _pods(timeline: Timeline) -> Iterator[EventRecord]:
    # By UID: a StatefulSet's new pod has the name of the old one.
    known: dict[str, State] = {}
    for seen in _states(timeline, "pods"):
        uid = str(seen.value.get("uid", seen.subject))
        for message in _pod(known.get(uid), seen.value):
            yield EventRecord(at=seen.at, source="pod", subject=f"pod/{seen.subject}", message=message)
        known[uid] = seen.value


def _pod(before: State | None, now: State) -> Iterator[str]:
    if before is None:
        # SYNC is the state when the watch started, so the pod is not new.
        if now.get("event") in {"SYNC", "DELETED"}:
            return
        yield "created"
        before = {}
    if now.get("event") == "DELETED":
        yield "deleted"
        return
    if now.get("deleting") and not before.get("deleting"):
        yield "deletion requested"
    if now.get("node") and not before.get("node"):
        yield f"scheduled on {now['node']}"
    if now.get("phase") in {"Failed", "Succeeded"} and before.get("phase") != now["phase"]:
        yield f"phase {now['phase']}"
    yield from _containers(before.get("containers") or {}, now.get("containers") or {})
    if bool(now.get("ready")) != bool(before.get("ready")):
        yield "ready" if now.get("ready") else "no longer ready"


def _containers(before: dict[str, State], now: dict[str, State]) -> Iterator[str]:
    for name, container in now.items():
        was = before.get(name) or {}
        restarts = container.get("restarts") or 0
        if restarts > (was.get("restarts") or 0):
            code = container.get("exit_code")
            ended = f", exit code {code}" if code is not None else ""
            yield f"container {name} restarted (restart {restarts}{ended})"
        waiting = container.get("waiting")
        if waiting and waiting != was.get("waiting") and waiting not in _STARTING:
            yield f"container {name} is waiting: {waiting}"


def _observer_errors(timeline: Timeline) -> Iterator[EventRecord]:
    known: set[tuple[str, str, str]] = set()
    for seen in timeline:
        # A probe that fails at every look would fill the list with one error.
        if seen.error is None or (key := (seen.series, seen.subject, seen.error)) in known:
            continue
        known.add(key)
        subject = f"{seen.series} {seen.subject}".strip()
        yield EventRecord(at=seen.at, source="observer", subject=subject, message=f"could not observe: {seen.error}")


def _kubernetes(timeline: Timeline) -> Iterator[EventRecord]:
    first: dict[tuple[str, str, str], EventRecord] = {}
    counts: dict[tuple[str, str, str], int] = {}
    for seen in _states(timeline, "events"):
        reason, message = str(seen.value.get("reason") or ""), str(seen.value.get("message") or "")
        if reason in _KNOWN_FROM_PODS and seen.value.get("type") != "Warning":
            continue
        key = (seen.subject, reason, message)
        # Kubernetes repeats an Event by raising the count of the same object, and the watch delivers each update: the
        # counts are cumulative and must not be added.
        counts[key] = max(counts.get(key, 0), int(seen.value.get("count") or 1))
        text = f"{reason}: {message}" if message else reason
        first.setdefault(key, EventRecord(at=seen.at, source="kubernetes", subject=seen.subject, message=text))
    for key, event in first.items():
        times = f" (×{counts[key]})" if counts[key] > 1 else ""
        yield event.model_copy(update={"message": event.message + times})
