"""The event timeline: differences between states, told once, in order, and never too many."""

from __future__ import annotations

from harness.model.timeline import Injection, Interval, Observation, Phase, Timeline, Victim
from harness.results.reporting.events import MAX_EVENTS, build_events


def timeline() -> Timeline:
    made = Timeline(origin=0.0, wall_origin=0.0)
    made.phases = [Phase("baseline", 0.0, 10.0), Phase("fault", 10.0, 20.0)]
    return made


def told(made: Timeline, source: str) -> list[tuple[float, str, str]]:
    return [(event.at, event.subject, event.message) for event in build_events(made) if event.source == source]


def pod(
    made: Timeline, at: float, name: str = "web-0", uid: str = "u1", event: str = "MODIFIED", **value: object
) -> None:
    made.add(Observation("pods", name, at, {"event": event, "uid": uid, **value}))


def test_phases_injections_and_undos_name_their_victims() -> None:
    made = timeline()
    victims = (Victim("Pod", "web-0", "u1"), Victim("Pod", "web-1", "u2"))
    made.injections = [Injection("podKill", victims, Interval(10.1, 10.2), undone=Interval(15.0, 15.5), proven=True)]
    assert told(made, "harness") == [
        (0.0, "phase", "baseline begins"),
        (10.0, "phase", "fault begins"),
        (10.1, "podKill", "injected into pod/web-0, pod/web-1"),
        (15.5, "podKill", "undone on pod/web-0, pod/web-1"),
    ]


def test_pod_lifecycle_follows_its_uid() -> None:
    """The StatefulSet's new pod of the same name is created, and is not the old one getting ready again."""
    made = timeline()
    pod(made, -1.0, event="SYNC", ready=True, node="n1")
    pod(made, 10.1, ready=True, node="n1", deleting=True)
    pod(made, 10.4, event="DELETED", ready=False, node="n1", deleting=True)
    pod(made, 10.5, uid="u2", event="ADDED", ready=False)
    waits = {"web": {"restarts": 0, "waiting": "ImagePullBackOff"}}
    pod(made, 11.0, uid="u2", ready=False, node="n2", containers=waits)
    pod(made, 11.5, uid="u2", ready=False, node="n2", containers=waits)
    pod(made, 12.0, uid="u2", ready=True, node="n2", containers={"web": {"restarts": 1, "exit_code": 137}})
    pod(made, 13.0, uid="u2", ready=False, node="n2", containers={"web": {"restarts": 1, "exit_code": 137}})
    assert [(at, message) for at, _, message in told(made, "pod")] == [
        (10.1, "deletion requested"),
        (10.4, "deleted"),
        (10.5, "created"),
        (11.0, "scheduled on n2"),
        (11.0, "container web is waiting: ImagePullBackOff"),
        (12.0, "container web restarted (restart 1, exit code 137)"),
        (12.0, "ready"),
        (13.0, "no longer ready"),
    ]


def test_state_before_the_first_phase_is_no_event() -> None:
    made = timeline()
    pod(made, -5.0, event="ADDED", ready=False)
    pod(made, -2.0, ready=True)
    assert told(made, "pod") == []


def test_rollout_condition_status_or_reason_changes_are_listed() -> None:
    made = timeline()
    for at, status, reason, message in [
        (1.0, "True", "ReplicaSetUpdated", "1 of 3 updated"),
        (11.0, "True", "ReplicaSetUpdated", "2 of 3 updated"),
        (12.0, "False", "ProgressDeadlineExceeded", "has timed out"),
    ]:
        conditions = {"Progressing": {"status": status, "reason": reason, "message": message}}
        value = {"uid": "d", "revision": "1" if at < 11 else "2", "desired": 3, "conditions": conditions}
        made.add(Observation("workloads", "deployment/web", at, value))
    assert told(made, "rollout") == [
        (11.0, "deployment/web", "revision 1 → 2"),
        (12.0, "deployment/web", "Progressing is False: ProgressDeadlineExceeded: has timed out"),
    ]


def test_autoscaler_node_and_endpoint_changes_are_listed() -> None:
    made = timeline()
    for at, desired in [(1.0, 1), (11.0, 4)]:
        value = {"desired": desired, "min": 1, "max": 6, "metrics": {"cpu": 180.0}}
        made.add(Observation("autoscalers", "hpa/web", at, value))
        made.add(Observation("nodes", "n1", at, {"ready": desired == 1, "schedulable": True}))
        made.add(Observation("endpoints", "web", at, {"ready": ["a"] * desired}))
    assert told(made, "autoscaler") == [(11.0, "hpa/web", "desired replicas 1 → 4 on cpu 180, between 1 and 6")]
    assert told(made, "node") == [(11.0, "n1", "not ready")]
    assert told(made, "endpoints") == [(11.0, "web", "1 → 4 ready")]


def test_objects_created_and_deleted_are_listed_as_such() -> None:
    """A deleted workload has not been scaled to zero, and one made anew has not been scaled back."""
    made = timeline()
    for at, event, desired in [(1.0, "SYNC", 3), (11.0, "DELETED", 0), (12.0, "ADDED", 3), (13.0, "MODIFIED", 5)]:
        made.add(Observation("workloads", "deployment/web", at, {"event": event, "uid": str(at), "desired": desired}))
    assert [(at, message) for at, _, message in told(made, "rollout")] == [
        (11.0, "deleted"),
        (12.0, "created"),
        (13.0, "replaced by a new object of the same name"),
        (13.0, "desired replicas 3 → 5"),
    ]


def test_repeated_kubernetes_events_are_one_with_its_count() -> None:
    made = timeline()
    for at, times in [(11.0, 1), (12.0, 4), (13.0, 9)]:
        value = {"reason": "BackOff", "message": "pulling image", "type": "Warning", "count": times}
        made.add(Observation("events", "Pod/web-0", at, value))
    made.add(Observation("events", "Pod/web-0", 12.0, {"reason": "Pulled", "message": "", "type": "Normal"}))
    assert told(made, "kubernetes") == [(11.0, "Pod/web-0", "BackOff: pulling image (×9)")]


def test_observer_without_data_is_reported_once() -> None:
    made = timeline()
    for at in (11.0, 12.0, 13.0):
        made.add(Observation("pods", "web", at, error="connection refused"))
    assert told(made, "observer") == [(11.0, "pods web", "could not observe: connection refused")]


def test_the_list_is_bounded_and_keeps_the_harness_own_marks() -> None:
    """A thousand pods drown neither the phases nor the faults, and the reader is told how many are missing."""
    made = timeline()
    for index in range(1000):
        pod(made, 10.5 + index / 1000, name=f"web-{index}", uid=f"u{index}", event="ADDED", ready=False)
        made.add(Observation("events", f"Pod/web-{index}", 1.0, {"reason": "BackOff", "type": "Warning"}))
    events = build_events(made)
    assert len(events) == MAX_EVENTS
    assert [event.message for event in events if event.subject == "phase"] == ["baseline begins", "fault begins"]
    assert not [event for event in events if event.source == "kubernetes"]
    assert events[-1].message.startswith(f"{2002 - MAX_EVENTS + 1} further events")
    assert [event.at for event in events] == sorted(event.at for event in events)


def test_states_that_lack_fields_break_nothing() -> None:
    made = timeline()
    for series in ("pods", "workloads", "autoscalers", "endpoints", "events", "nodes"):
        for at in (1.0, 2.0):
            made.add(Observation(series, "x", at, {}))
            made.add(Observation(series, "x", at, None))
    assert {event.source for event in build_events(made)} <= {"harness", "kubernetes", "pod"}


def test_unknown_autoscaler_value_is_no_number() -> None:
    made = timeline()
    for at, desired in [(1.0, 0), (11.0, 2)]:
        value = {"desired": desired, "min": 1, "max": 6, "conditions": {}}
        made.add(Observation("autoscalers", "hpa/web", at, value))
    assert told(made, "autoscaler") == [(11.0, "hpa/web", "desired replicas unknown → 2, between 1 and 6")]
