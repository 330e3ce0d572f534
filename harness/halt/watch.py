"""Watches for the order to halt while a session lasts, in a thread and over a connection of its own."""

from __future__ import annotations

import threading
from pathlib import Path

from harness.clock import Clock
from harness.cluster.api import KubeApi
from harness.cluster.resources import CONFIG_MAPS
from harness.errors import ClusterUnreachable, HarnessError
from harness.halt.order import SELECTOR, Halt, read, read_file
from harness.naming import SYSTEM_NAMESPACE
from harness.reflector import DELETED, Change, Reflector, Watched

READY_SECONDS = 15.0
STOP_WITHIN = 5.0


class HaltWatch:
    """Knows whether this session is to halt. Once it is, it stays so: what was ended does not go on by itself.

    A watch that breaks is taken up again by the reflector, which lists when it must: an order that was given meanwhile
    is heard then. A watch that may not be kept at all is a reason to end: a run that nobody can halt must not go on.
    """

    def __init__(self, api: KubeApi, clock: Clock, file: Path) -> None:
        self._api, self._clock, self._file = api, clock, file
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._halt: Halt | None = None
        self._error = ""
        watched = Watched(CONFIG_MAPS, SYSTEM_NAMESPACE, SELECTOR)
        self._reflector = Reflector(api, watched, clock, self)
        self._thread = threading.Thread(target=self._run, name="watch-halt", daemon=True)

    def start(self) -> None:
        """Begin; returns when an order that stands already would be known. Raises ClusterUnreachable."""
        self._thread.start()
        if not self._clock.wait(self._settled, READY_SECONDS):
            raise ClusterUnreachable(f"no answer within {READY_SECONDS:g} s to the question whether a halt is ordered")

    def reason(self) -> str | None:
        """Why everything is to end, or None. Asked a few times a second: it costs a look for the file."""
        in_file = read_file(self._file) if self._halt is None else None
        if in_file is not None:
            # Only what was found is written: the watch's thread may have heard an order while the file was looked for.
            self._halt = in_file
        if self._halt is not None:
            return str(self._halt)
        return f"nobody could halt it any more: {self._error}" if self._error else None

    def stop(self) -> None:
        """End the watch. Takes at most ``STOP_WITHIN`` seconds."""
        self._stop.set()
        self._api.interrupt()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN)
        self._api.close()

    def changed(self, change: Change, at: float) -> None:
        del at
        if change.event != DELETED and self._halt is None:
            self._halt = read(change.object)

    def synced(self) -> None:
        self._settled.set()

    def lost(self, reason: str, at: float) -> None:
        """The reflector comes back by itself: an outage of the API server may be what an experiment is about."""

    def resumed(self, complete: bool, at: float) -> None:
        """Whatever was ordered meanwhile has been told."""

    def _run(self) -> None:
        try:
            self._reflector.run(self._stop)
        except (HarnessError, LookupError, TypeError, ValueError, AttributeError) as error:
            self._error = f"{type(error).__name__}: {error}"
        finally:
            # Also after an error that nobody has thought of.
            if not self._stop.is_set():
                self._error = self._error or "the watch has ended"
            self._settled.set()
