"""An existing namespace under experiment: exclusive use of it, its opt-in, and its objects before and after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import BUILT_IN_WORKLOADS, EVENTS, NAMESPACES, PODS
from harness.common.errors import ApiError, ClusterRefused, LeftBehind, TimedOut
from harness.common.timeouts import RESIDUE_GONE
from harness.common.waiting import wait_until
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.experiment.live.kinds import read_state
from harness.model.quantities import counted
from harness.safety.cleanup.namespace_state import Differences, compare_objects
from harness.safety.guard.existing import existing_refusals
from harness.safety.leases.namespace_lock import NamespaceLock

# For the opt-in, and for waiting until the workloads are complete and describing them if they are not.
PERMISSIONS = (
    allow(NAMESPACES, "get", place="cluster")
    | allow(PODS, "list")
    | allow(EVENTS, "list")
    | frozenset().union(*(allow(each, "get", "list") for each in BUILT_IN_WORKLOADS.values()))
)
# The guard's reasons against faults in a namespace, which is None if it is gone.
Refusals = Callable[[Object | None], list[str]]
LOOK_EVERY = 1.0
STOP_WITHIN = 5.0


class ExistingNamespace:
    """Holds the namespace of one experiment while the context is active. Entering raises ClusterRefused, ApiError.

    ``in_effect`` is set if effects of faults remain at the end: then the lock is left to ``harness sweep``.
    """

    def __init__(self, run: Run, experiment: Experiment) -> None:
        self.name = experiment.existing
        self._run = run
        self._policy = run.policy_for(experiment)
        self._lock = NamespaceLock(run.cluster.api, run.id, self.name, run.clock, run.progress)
        self._watch: OptInWatch | None = None
        self._before: Sequence[Object] = ()
        self._unseen: tuple[str, ...] = ()
        self.in_effect = False

    def __enter__(self) -> Self:
        api = self._run.cluster.api
        self._lock.take(self._run.wait_for_lock, self._run.go_on)
        try:
            self._begin(api)
        except BaseException:
            self._lock.close()
            raise
        return self

    def _begin(self, api: KubeApi) -> None:
        self._watch = OptInWatch(self._run, self.name, self._refusals)
        self._watch.look(api)
        if why := self._watch.reason:
            raise ClusterRefused(why)
        self._before, self._unseen = read_state(api, self.name)
        self._watch.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch:
            self._watch.stop()
        self._lock.close(keep=self.in_effect)

    def look(self) -> str | None:
        """Read the namespace now. Return why no fault may be injected in it any more, or None."""
        if self._watch:
            self._watch.look(self._run.cluster.api)
        return self.reason()

    def reason(self) -> str | None:
        """Return why no fault may be injected in it any more, or None, without a request."""
        return (self._watch.reason if self._watch else None) or self._lock.lost()

    def nothing_left(self) -> list[str]:
        """Compare the objects with those before, waiting for the harness's own changes to be gone. Return notes.

        Raises LeftBehind if a difference that the harness made remains; TimedOut or ApiError if the objects could not
        be read.
        """
        found: list[Differences] = []

        def see() -> tuple[bool | None, str]:
            if self._is_gone():
                found.clear()
                return True, ""
            after, _ = read_state(self._run.cluster.api, self.name)
            found.append(compare_objects(self._before, after))
            return (None if found[-1].left else True), "; ".join(found[-1].left)

        try:
            wait_until(f"namespace {self.name} as before", see, RESIDUE_GONE, self._run.clock, every=1.0)
        except TimedOut as error:
            if not found:
                raise
            raise LeftBehind(f"LEFT BEHIND in namespace {self.name}: {'; '.join(found[-1].left)}") from error
        if not found:
            return [
                f"namespace {self.name} is gone or being deleted: its objects could not be compared with those before"
            ]
        return self._notes(found[-1])

    def _is_gone(self) -> bool:
        found = self._run.cluster.api.find(NAMESPACES, self.name)
        return found is None or "deletionTimestamp" in found["metadata"]

    def _notes(self, found: Differences) -> list[str]:
        objects = counted(found.compared, "object")
        notes = [f"namespace {self.name}: changed during the run, not by it: {text}" for text in found.others]
        if not found.others:
            notes = [f"namespace {self.name}: {objects} compared with the state before, every field is equal"]
        if self._unseen:
            notes.append(f"not compared, list permission denied: {', '.join(self._unseen)}")
        return notes

    def _refusals(self, namespace: Object | None) -> list[str]:
        return existing_refusals(self.name, namespace, self._policy)


class OptInWatch:
    """Reads a namespace once a second, with a separate connection. ``reason`` never changes back: it is why no fault
    may be injected any more, or None."""

    def __init__(self, run: Run, name: str, refusals: Refusals) -> None:
        self.reason: str | None = None
        self._name, self._refusals, self._clock = name, refusals, run.clock
        self._uid = ""
        self._api = run.cluster.api.clone()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-opt-in", daemon=True)

    def start(self) -> None:
        """Start reading in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading. Waits at most ``STOP_WITHIN`` seconds for the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_WITHIN)
        self._api.close()

    def look(self, api: KubeApi) -> None:
        """Read the namespace once. An outage of the API server changes nothing: the fault may be its cause."""
        try:
            found = api.find(NAMESPACES, self._name)
        except ApiError as error:
            if not error.retryable:
                self.reason = self.reason or f"could not check the opt-in of namespace {self._name}: {error}"
            return
        uid, begun = str(found["metadata"]["uid"]) if found else "", bool(self._uid)
        if begun and uid != self._uid:
            self.reason = self.reason or f"namespace {self._name} was deleted during the experiment"
        self._uid = self._uid or uid
        if why := "; ".join(self._refusals(found)):
            self.reason = self.reason or (f"the guard no longer allows faults: {why}" if begun else why)

    def _run(self) -> None:
        while not self._clock.wait(self._stop, LOOK_EVERY):
            self.look(self._api)
