"""A pytest plugin that kills its own process at one place, as a power cut would: for tests of what is left then.

``CRASH_AT`` names the place, ``CRASH_LOG`` a file to which every place that is passed is written, so that a first run
tells what places there are. Places: ``begin`` and ``end`` of every line of a journal, of every request to the API
that changes something (renewals of Leases do not count), of every command in a container, and of every phase; and
``after:SECONDS``, counted from the start of the first experiment. ``CRASH_TTL`` is how many seconds an effect may
outlive its experiment.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness.site
import harness.undo
from harness.cluster.transport import HttpTransport, Request
from harness.live import LiveExperiment

_counts: Counter[str] = Counter()
_lock = threading.Lock()


def _pass(place: str) -> None:
    log = os.environ.get("CRASH_LOG")
    if log:
        with Path(log).open("a") as stream:
            stream.write(place + "\n")
    if place == os.environ.get("CRASH_AT"):
        os.kill(os.getpid(), signal.SIGKILL)


def _around(what: str, call: Callable[..., Any], counts: Callable[..., bool]) -> Callable[..., Any]:
    def counted(*arguments: Any, **options: Any) -> Any:
        if not counts(*arguments):
            return call(*arguments, **options)
        with _lock:
            _counts[what] += 1
            number = _counts[what]
        _pass(f"{what}:{number}:begin")
        result = call(*arguments, **options)
        _pass(f"{what}:{number}:end")
        return result

    return counted


def _changes(_transport: HttpTransport, request: Request) -> bool:
    asks = "accessreviews" in request.path
    renews = request.method == "PATCH" and "/leases/" in request.path
    return request.method != "GET" and not asks and not renews


def pytest_configure() -> None:
    harness.site.EFFECT_GRACE = float(os.environ.get("CRASH_TTL", harness.site.EFFECT_GRACE))
    harness.undo.append_line = _around("line", harness.undo.append_line, lambda *_: True)
    HttpTransport.send = _around("request", HttpTransport.send, _changes)  # type: ignore[method-assign]
    HttpTransport.exec = _around("exec", HttpTransport.exec, lambda *_: True)  # type: ignore[method-assign]
    LiveExperiment.phase = _phases(LiveExperiment.phase)  # type: ignore[method-assign]
    deploy = LiveExperiment.deploy

    def deploying(self: LiveExperiment, *arguments: Any) -> None:
        kind, _, seconds = os.environ.get("CRASH_AT", "").partition(":")
        if kind == "after":
            timer = threading.Timer(float(seconds), os.kill, (os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()
        deploy(self, *arguments)

    LiveExperiment.deploy = deploying  # type: ignore[method-assign]


def _phases(phase: Callable[..., Any]) -> Callable[..., Any]:
    @contextmanager
    def counted(self: LiveExperiment, name: str, *arguments: Any) -> Iterator[Any]:
        _pass(f"phase:{name}:begin")
        with phase(self, name, *arguments) as found:
            yield found
        _pass(f"phase:{name}:end")

    return counted
