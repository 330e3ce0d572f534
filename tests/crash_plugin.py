"""A pytest plugin that kills its own process at one place, as a power cut would: for tests of what is left then.

``CRASH_AT`` names the place, ``CRASH_LOG`` a file to which every place that is passed is written with the seconds since
the start, so that a first run tells what places there are. Places: ``begin`` and ``end``, however it ends, of every
line of a journal, of every request to the API that changes something (renewals of Leases do not count), of every
command in a container, of every phase, and of what is done to the machine of a node; ``after:SECONDS`` since the start.
``CRASH_TTL`` is how many seconds an effect may outlive its experiment.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness.engine.steps.site
import harness.safety.undo.journal
from harness.cluster.kube.transport import HttpTransport, Request
from harness.cluster.local.node_control import LocalNodes
from harness.engine.steps.live import LiveExperiment

# What changes a node, of a NodeControl.
CHANGES = (
    "stop", "kill", "start", "restart", "pause", "resume", "cut_off", "reconnect", "stop_service", "start_service"
)  # fmt: skip

_begun = time.monotonic()
_counts: Counter[str] = Counter()
_lock = threading.Lock()


def _pass(place: str) -> None:
    log = os.environ.get("CRASH_LOG")
    if log:
        with Path(log).open("a") as stream:
            stream.write(f"{place}\t{time.monotonic() - _begun:.2f}\n")
    if place == os.environ.get("CRASH_AT"):
        os.kill(os.getpid(), signal.SIGKILL)


def _around(call: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
    """``call``, with a place before and after it; ``name`` makes the place of its arguments, or "" for none."""

    def counted(*arguments: Any, **options: Any) -> Any:
        what = name(*arguments)
        if not what:
            return call(*arguments, **options)
        with _lock:
            _counts[what] += 1
            number = _counts[what]
        _pass(f"{what}:{number}:begin")
        try:
            return call(*arguments, **options)
        finally:
            # Also of one that fails: a request that is refused because another run was faster is a step like any.
            _pass(f"{what}:{number}:end")

    return counted


def _request(_transport: HttpTransport, request: Request) -> str:
    """Such as ``PATCH configmaps`` or ``POST pods/eviction``; nothing for what changes nothing."""
    if request.method == "GET" or "accessreviews" in request.path:
        return ""
    parts = request.path.strip("/").split("/")
    parts = parts[2 if parts[0] == "api" else 3 :]
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    if (request.method, parts[0]) == ("PATCH", "leases"):
        return ""
    return f"{request.method} {'/'.join([parts[0], *parts[2:]])}"


def pytest_configure() -> None:
    harness.engine.steps.site.EFFECT_GRACE = float(os.environ.get("CRASH_TTL", harness.engine.steps.site.EFFECT_GRACE))
    harness.safety.undo.journal.append_line = _around(harness.safety.undo.journal.append_line, lambda *_: "line")
    HttpTransport.send = _around(HttpTransport.send, _request)  # type: ignore[method-assign]
    HttpTransport.exec = _around(HttpTransport.exec, lambda *_: "exec")  # type: ignore[method-assign]
    LiveExperiment.phase = _phases(LiveExperiment.phase)  # type: ignore[method-assign]
    for change in CHANGES:
        setattr(LocalNodes, change, _around(getattr(LocalNodes, change), lambda *_, what=change: f"node {what}"))
    kind, _, seconds = os.environ.get("CRASH_AT", "").partition(":")
    if kind == "after":
        timer = threading.Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()


def _phases(phase: Callable[..., Any]) -> Callable[..., Any]:
    @contextmanager
    def counted(self: LiveExperiment, name: str, *arguments: Any) -> Iterator[Any]:
        _pass(f"phase {name}:1:begin")
        with phase(self, name, *arguments) as found:
            yield found
        _pass(f"phase {name}:1:end")

    return counted
