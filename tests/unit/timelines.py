"""Writes timelines by hand, in the shapes that the probes write, for the tests of everything that reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.model.request_store import RequestStore
from harness.model.requests import Requests
from harness.model.timeline import (
    Injection,
    Interval,
    LoadSummary,
    Observation,
    Phase,
    Timeline,
    Victim,
)

WALL = 1_700_000_000.0
PODINFO = "deployment/podinfo"
ETCD = "statefulset/etcd"


class Story:
    """A run of 10 s baseline, 10 s fault, 30 s recovery and 5 s settling, which the methods fill with what was seen."""

    def __init__(self, baseline: float = 10, fault: float = 10, recovery: float = 30, settle: float = 5) -> None:
        self.timeline = Timeline(origin=500.0, wall_origin=WALL)
        self._requests = RequestStore()
        start = 0.0
        for name, length in (("baseline", baseline), ("fault", fault), ("recovery", recovery), ("settle", settle)):
            if length:
                self.timeline.phases.append(Phase(name, start, start + length))
            start += length

    def injected(
        self,
        at: float = 10.0,
        *hit: tuple[str, str],
        took: float = 0.1,
        undone: float | None = None,
        proven: bool = True,
    ) -> Story:
        """A fault that hit the pods (name, UID); ``undone`` is when its undo began, which took as long."""
        victims = tuple(Victim("Pod", name, uid) for name, uid in hit)
        undo = Interval(undone, undone + took) if undone is not None else None
        self.timeline.injections.append(Injection("podKill", victims, Interval(at, at + took), undo, proven, "gone"))
        return self

    def struck(self, victim: Victim, at: float = 10.0, undone: float | None = None) -> Story:
        """A proven fault that hit something else than pods."""
        undo = Interval(undone, undone + 0.1) if undone is not None else None
        injection = Injection("fault", (victim,), Interval(at, at + 0.1), undo, proven=True, evidence="seen")
        self.timeline.injections.append(injection)
        return self

    def add(self, series: str, subject: str, at: float, value: Any, wall: float | None = None) -> Story:
        """Any observation; ``wall`` in timeline seconds."""
        told = WALL + wall if wall is not None else None
        self.timeline.add(Observation(series, subject, at, value, wall=told))
        return self

    def error(self, series: str, subject: str, at: float, error: str, value: Any = None) -> Story:
        self.timeline.add(Observation(series, subject, at, value, error))
        return self

    def gap(self, series: str, began: float, ended: float | None = None, complete: bool = True) -> Story:
        """A watch that broke, and came back or did not."""
        self.error(series, "", began, "connection lost", {"gap": "began"})
        if ended is not None:
            self.error(series, "", ended, "resumed", {"gap": "ended", "complete": complete})
        return self

    def pod(
        self,
        at: float,
        name: str,
        uid: str,
        ready: bool = True,
        *,
        event: str = "MODIFIED",
        owner: str = PODINFO,
        deleting: bool = False,
        phase: str = "Running",
        container: str = "c1",
        restarts: int = 0,
        since: float | None = None,
        told: float | None = None,
        node: str = "node-1",
        unreported: bool = False,
        started: float | None = None,
        liveness: dict[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        requests: Mapping[str, float] | None = None,
        reason: str = "",
        end_reason: str | None = None,
    ) -> Story:
        """One watch event of a pod; ``since`` is the Ready condition's time in timeline seconds, ``told`` the newest
        timestamp in the event. ``unreported``: the kubelet has not written container statuses. ``started`` is the
        start of the container in timeline seconds, ``liveness`` the times of its probe, ``requests`` what it has,
        ``reason`` why the pod failed, ``end_reason`` why its container ended last."""
        state = {"id": f"{uid}-{container}", "restarts": restarts, "ready": ready, "waiting": None, "exit_code": None}
        state["end_reason"] = end_reason
        state["started"] = WALL + started if started is not None else None
        value = {
            "event": event,
            "uid": uid,
            "owner": owner,
            "ready": ready,
            "phase": phase,
            "reason": reason,
            "deleting": deleting,
            "node": node,
            "containers": {} if unreported else {"app": state},
            "requests": {} if unreported else {"app": dict(requests or {"cpu": 0.1})},
            "liveness": {"app": liveness} if liveness else {},
            "ready_since": WALL + since if ready and since is not None else None,
            "labels": dict(labels or {"pod-template-hash": "1"}),
        }
        return self.add("pods", name, at, value, told)

    def gone(self, at: float, name: str, uid: str, owner: str = PODINFO) -> Story:
        return self.pod(at, name, uid, event="DELETED", owner=owner)

    def replicas_ready(self, *uids: str, at: float = 1.0) -> Story:
        """Pods a, b, c … of podinfo with these UIDs, there from the beginning and ready, behind the Service podinfo."""
        for uid in uids:
            self.pod(at, f"podinfo-{uid}", uid, event="SYNC", since=at - 1)
        return self.endpoints(at, *uids)

    def endpoints(self, at: float, *uids: str, service: str = "podinfo", wall: float | None = None) -> Story:
        value = {"ready": sorted(uids), "serving": sorted(uids), "all": sorted(uids)}
        return self.add("endpoints", service, at, value, wall)

    def up(self, counts: Iterable[tuple[float, float]], workload: str = PODINFO) -> Story:
        """Samples of the number of scrape targets that are up."""
        for at, count in counts:
            self.add("prometheus", f"up:{workload}", at, count)
        return self

    def request(
        self, at: float, ok: bool = True, *, took: float = 0.01, late: float = 0.0, key: str = "", outcome: str = "503"
    ) -> Story:
        """One request, due at ``at``, sent ``late`` seconds later, answered ``took`` seconds after that."""
        sent = at + late
        self._requests.append([(at, sent, sent + took, ok, "ok" if ok else outcome, "GET /", key)])
        self.timeline.requests = Requests.of(self._requests, 0.0)
        return self

    def requests(
        self, start: float, end: float, rate: float = 20, *, failing: tuple[float, float] = (0, 0), took: float = 0.01
    ) -> Story:
        """Steady arrivals; those due within ``failing`` fail."""
        due = [start + number / rate for number in range(round((end - start) * rate))]
        bad = [failing[0] <= at < failing[1] for at in due]
        rows = zip(due, bad, strict=True)
        self._requests.append(
            [(at, at, at + took, not failed, "refused" if failed else "ok", "GET /", "") for at, failed in rows]
        )
        self.timeline.requests = Requests.of(self._requests, 0.0)
        return self

    def load(self, **numbers: Any) -> Story:
        """The generator's summary; by default everything that was due was sent."""
        sent = self._requests.size
        self.timeline.load = LoadSummary(**({"offered": sent, "achieved": sent} | numbers))
        return self
