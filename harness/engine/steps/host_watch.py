"""Watch what the hosts of URLs resolve to during a run, in a thread because a name server may be slow.

Load and probes dial the address that was checked at the start. If the name has another address now, they no longer go
where users go, so the run must end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from harness.common.clock import Clock
from harness.engine.steps.live import LiveExperiment
from harness.safety.guard.hosts import Host, Resolve, resolve

EVERY = 5.0
STOP_WITHIN = 2.0


class HostWatch:
    """Resolves the hosts every few seconds while the context is active. ``reason`` is why the run must end.

    A host may change between the addresses that its entry in the guard file lists, but no others. While a name cannot
    be resolved, nothing is known about it, and the checked address is still the one that is dialled.
    """

    def __init__(self, names: Iterable[str], hosts: Sequence[Host], clock: Clock, look_up: Resolve = resolve) -> None:
        self._hosts = {host.name: host for host in hosts}
        self._clock, self._look_up = clock, look_up
        self._known: Mapping[str, set[str]] = {name: self._now(name) for name in dict.fromkeys(names)}
        self._reason: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hosts", daemon=True)

    def __enter__(self) -> Self:
        if self._known:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            # A thread that still waits for a name server ends with it; its late result is not used.
            self._thread.join(STOP_WITHIN)

    def reason(self) -> str | None:
        """Return that a host resolves elsewhere, or None."""
        return self._reason

    def look(self) -> None:
        """Resolve every host once."""
        for name, known in self._known.items():
            entry = self._hosts.get(name)
            listed = entry is not None and bool(entry.addresses)
            new = sorted(
                address
                for address in self._now(name) - known
                if not (listed and entry is not None and entry.permits(address))
            )
            if new and known and self._reason is None:
                was, now = ", ".join(sorted(known)), ", ".join(new)
                self._reason = f"the host {name} resolves elsewhere: to {now}, and to {was} at the start of the load"

    def _now(self, name: str) -> set[str]:
        try:
            return set(self._look_up(name))
        except OSError:
            return set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._clock.wait(self._stop, EVERY)


def watch_hosts(live: LiveExperiment, hosts: Sequence[Host], clock: Clock) -> None:
    """Let an experiment end as INCONCLUSIVE if the host of a URL resolves elsewhere than now."""
    names = [target.name for target in live.experiment.targets if target.kind == "url"]
    if names:
        live.end_when(live.enter_context(HostWatch(names, hosts, clock)).reason)
