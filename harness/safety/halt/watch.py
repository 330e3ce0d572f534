"""Watch for a halt order during a session, in a separate thread and over a separate connection."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.reflector import DELETED, Change, Reflector, Watched
from harness.cluster.kube.resources import CONFIG_MAPS
from harness.common.clock import Clock
from harness.common.errors import ClusterUnreachable, HarnessError
from harness.common.naming import SYSTEM_NAMESPACE
from harness.safety.halt.order import SELECTOR, Halt, read, read_files

READY_SECONDS = 15.0
STOP_WITHIN = 5.0


class HaltWatch:
    """Whether this session must halt. The answer never changes back, since experiments that were ended do not resume.

    The reflector resumes a watch that breaks and lists again if needed, so an order given in between is found then. A
    watch that fails for good is itself a reason to halt: a run that cannot be halted must not continue.
    """

    def __init__(self, api: KubeApi, clock: Clock, files: Sequence[Path]) -> None:
        self._api, self._clock, self._files = api, clock, files
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._halt: Halt | None = None
        self._error = ""
        watched = Watched(CONFIG_MAPS, SYSTEM_NAMESPACE, SELECTOR)
        self._reflector = Reflector(api, watched, clock, self)
        self._thread = threading.Thread(target=self._run, name="watch-halt", daemon=True)

    def start(self) -> None:
        """Start watching. Return once an existing order would have been seen; raises ClusterUnreachable."""
        self._thread.start()
        if not self._clock.wait(self._settled, READY_SECONDS):
            raise ClusterUnreachable(
                f"the API server did not answer within {READY_SECONDS:g} s when checking for a halt order"
            )

    def reason(self) -> str | None:
        """Return why the session must halt, or None. Called a few times a second; costs one ``stat`` per file."""
        in_file = read_files(self._files) if self._halt is None else None
        if in_file is not None:
            # Never write None here: the watch's thread may have received an order while the files were checked.
            self._halt = in_file
        if self._halt is not None:
            return str(self._halt)
        return f"the watch for halt orders failed: {self._error}" if self._error else None

    def stop(self) -> None:
        """Stop watching. Waits at most ``STOP_WITHIN`` seconds for the thread."""
        self._stop.set()
        self._api.interrupt()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN)
        self._api.close()

    def changed(self, change: Change, at: float) -> None:
        del at
        # The first order stays, whatever happens to the object later.
        if change.event != DELETED and self._halt is None:
            self._halt = read(change.object)

    def synced(self) -> None:
        self._settled.set()

    def lost(self, reason: str, at: float) -> None:
        """Ignore it: the reflector reconnects, and an experiment may be about an outage of the API server."""

    def resumed(self, complete: bool, at: float) -> None:
        """Ignore it: orders given in between have already reached ``changed``."""

    def _run(self) -> None:
        try:
            self._reflector.run(self._stop)
        except (HarnessError, LookupError, TypeError, ValueError, AttributeError) as error:
            self._error = f"{type(error).__name__}: {error}"
        finally:
            # Also after an exception that is not listed above.
            if not self._stop.is_set():
                self._error = self._error or "the watch has ended"
            self._settled.set()
