"""A scripted API server for the watch tests: a history of objects, and connections that end the way a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.transport import ExecResult, Request
from harness.common.clock import Clock, FakeClock
from harness.common.errors import ApiError

Object = dict[str, Any]


def pod(name: str, version: int, uid: str = "", **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": uid or f"uid-{name}", "resourceVersion": str(version)},
        "spec": spec,
    }


def event(kind: str, item: Object) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode()


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}})


def error_line(code: int, reason: str) -> bytes:
    return event("ERROR", {"kind": "Status", "code": code, "reason": reason, "message": f"{reason}: too old"})


DROP = ApiError(0, "ConnectionLost", "the peer hung up")

Line = bytes | ApiError | Callable[[], None]


@dataclass
class ScriptedTransport:
    """Answers each list with the next of ``lists`` and each watch with the next of ``watches``.

    A list is (items, resourceVersion) or an error; a watch is a sequence of lines, errors to raise and calls to make.
    When no watch is left, ``at_end`` is called and the watch ends.
    """

    lists: list[Any] = field(default_factory=list)
    watches: list[list[Line]] = field(default_factory=list)
    at_end: Callable[[], None] = lambda: None
    asked: list[Request] = field(default_factory=list)
    server: str = "scripted"

    def send(self, request: Request) -> bytes:
        self.asked.append(request)
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, ApiError):
            raise answer
        items, version = answer
        return json.dumps({"items": deepcopy(items), "metadata": {"resourceVersion": str(version)}}).encode()

    def stream(self, request: Request) -> Iterator[bytes]:
        self.asked.append(request)
        if not self.watches:
            self.at_end()
            return
        for line in self.watches.pop(0):
            if isinstance(line, ApiError):
                raise line
            if isinstance(line, bytes):
                yield line
            else:
                line()

    def exec(self, namespace: str, pod: str, container: str | None, command: list[str], timeout: float) -> ExecResult:
        raise AssertionError("a watch runs no commands")

    def clone(self) -> ScriptedTransport:
        return self

    def interrupt(self) -> None:
        self.at_end()

    def close(self) -> None:
        self.lists, self.watches = [([], 0)], []

    def api(self, clock: Clock | None = None) -> KubeApi:
        return KubeApi(self, clock or FakeClock())


@dataclass
class LeaseSnapshot:
    """A sink that writes down what it is told; ``log`` holds all of it in order, for comparing."""

    log: list[tuple[Any, ...]] = field(default_factory=list)
    lost_at: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def changed(self, change: Any, at: float) -> None:
        meta = change.object["metadata"]
        self.log.append((change.event, meta["uid"], int(meta["resourceVersion"])))
        self.times.append(at)

    def synced(self) -> None:
        self.log.append(("synced",))

    def lost(self, reason: str, at: float) -> None:
        self.log.append(("lost", reason))
        self.lost_at.append(at)

    def resumed(self, complete: bool, at: float) -> None:
        self.log.append(("resumed", complete))

    @property
    def changes(self) -> list[tuple[Any, ...]]:
        return [entry for entry in self.log if entry[0] in {"SYNC", "ADDED", "MODIFIED", "DELETED"}]
