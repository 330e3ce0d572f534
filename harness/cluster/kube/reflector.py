"""Follows one resource without losing an event: list, watch from there, and reconnect after a failure.

The official client's watch hangs without a client-side time-out and loses events at a 410
(kubernetes-client/python#1402, #2223). Here every connection continues after the last event that was processed. Two
failures are possible; both are reported to the sink as a gap that begins when contact was lost:

- The connection breaks. After a back-off the watch continues from the last event; the events of the gap arrive late,
  one at a time. The gap ends when all of them have arrived: their times are unknown, but no state is missing.
- The server no longer has those versions (410). The new list is compared with the known objects: missing ones are
  DELETED, in their last known state, new ones ADDED, changed ones MODIFIED. Intermediate states are missing.

``Mirror`` is the pure state machine; ``Reflector`` drives it with an API and a clock.

Nothing is queued between the socket and the sink: a slow sink makes the server wait, which has a bounded buffer and
finally closes the watch. The next watch continues from the last event, so a slow sink costs a gap in time, but no
memory and no events.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import orjson

from harness.cluster.kube.client import WATCH_SECONDS, KubeApi, Listing, Object, WatchEvent
from harness.cluster.kube.resources import Resource
from harness.common.clock import Clock
from harness.common.errors import ApiError
from harness.common.waiting import reconnect_pause

T = TypeVar("T")

SYNC, ADDED, MODIFIED, DELETED, BOOKMARK = "SYNC", "ADDED", "MODIFIED", "DELETED", "BOOKMARK"

# Seconds. A watch that ends sooner without an event counts as a failure; reconnecting at once would be a busy loop.
SHORTEST_WATCH = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one object: SYNC (it was in the first list), ADDED, MODIFIED or DELETED."""

    event: str
    object: Object


@dataclass(frozen=True, slots=True)
class Watched:
    """The objects to follow: one resource, in one namespace or in all of them, with one label selector."""

    resource: Resource
    namespace: str | None = None
    selector: str = ""


class Sink(Protocol):
    """Receives what a reflector observes. ``at`` is the monotonic time of arrival, before any processing."""

    def changed(self, change: Change, at: float) -> None:
        """An object changed."""

    def synced(self) -> None:
        """The first list is complete: from now on no change is missed."""

    def lost(self, reason: str, at: float) -> None:
        """Contact is lost: a gap begins."""

    def resumed(self, complete: bool, at: float) -> None:
        """The gap is over; ``complete`` is whether every event in it has arrived late."""


class Kept(NamedTuple):
    """An object in the mirror: JSON text takes a tenth of the memory of Python objects."""

    key: str
    version: str
    text: bytes

    @classmethod
    def of(cls, item: Object) -> Kept:
        """Return the stored form of an object. Raises LookupError if it is not an object of the API."""
        return cls(_key(item), _version(item), orjson.dumps(_slim(item)))

    def change(self, event: str) -> Change:
        return Change(event, orjson.loads(self.text))


class Mirror:
    """The last known state of all objects of one resource on the API server."""

    def __init__(self) -> None:
        self._known: dict[str, Kept] = {}
        self._listed = False
        # The versions in a list made after contact was lost, and the keys of objects that differ from it.
        self._goal: dict[str, str] = {}
        self._behind: set[str] = set()
        self.resource_version = ""

    def listed(self, listing: Listing[Kept]) -> Iterator[Change]:
        """Replace the state by a list and yield the changes from the previous state, deletions first."""
        before, self._known = self._known, {kept.key: kept for kept in listing.items}
        first, self._listed = not self._listed, True
        self.resource_version = listing.resource_version
        return self._changes(before, SYNC if first else ADDED)

    def _changes(self, before: dict[str, Kept], added: str) -> Iterator[Change]:
        # One at a time: all of them decoded at once would take ten times the memory of the mirror.
        for key, kept in before.items():
            if key not in self._known:
                yield kept.change(DELETED)
        for key, kept in self._known.items():
            if key not in before:
                yield kept.change(added)
            elif before[key].version != kept.version:
                yield kept.change(MODIFIED)

    def apply(self, event: WatchEvent) -> Change | None:
        """Apply one watch event and return the change; None if it is a bookmark or repeats an earlier event."""
        key, version = _key(event.object), _version(event.object)
        known = self._known.get(key)
        if event.type in {DELETED, BOOKMARK}:
            self._advance(version)
            if event.type == BOOKMARK or known is None:
                return None
            # A UID is never reused, so a deletion is new exactly when the object is known.
            del self._known[key]
        else:
            if _reached(self.resource_version, version) or (known is not None and known.version == version):
                return None
            self._advance(version)
            self._known[key] = Kept.of(event.object)
        self._compare(key)
        kind = DELETED if event.type == DELETED else ADDED if known is None else MODIFIED
        return Change(kind, _slim(event.object))

    def pursue(self, goal: dict[str, str]) -> None:
        """Compare from now on with a newer list, given as the resourceVersion of every object by its key."""
        self._goal, self._behind = goal, set()
        for key in goal.keys() | self._known.keys():
            self._compare(key)

    @property
    def has_caught_up(self) -> bool:
        """Whether the state has reached the list given to ``pursue``."""
        return not self._behind

    def _compare(self, key: str) -> None:
        known = self._known.get(key)
        if (known.version if known else None) == self._goal.get(key):
            self._behind.discard(key)
        else:
            self._behind.add(key)

    def _advance(self, version: str) -> None:
        # Never back, because the next watch would repeat events.
        if not _reached(self.resource_version, version):
            self.resource_version = version


class Reflector:
    """Drives a mirror: one list, then one watch after the other."""

    def __init__(self, api: KubeApi, watched: Watched, clock: Clock, sink: Sink) -> None:
        self._api, self._watched, self._clock, self._sink = api, watched, clock, sink
        self._mirror = Mirror()
        self._must_list = True
        self._synced = False
        self._in_gap = False
        self._failures = 0
        self._last_contact = clock.monotonic()
        # Whether the gap ends once the events have led to exactly the list given to ``Mirror.pursue``.
        self._pursuing = False

    def run(self, stop: threading.Event) -> None:
        """Follow until ``stop`` is set. Raises ApiError if a retry cannot help: forbidden, or no such resource."""
        while not stop.is_set():
            try:
                self._connect()
                self._watch(stop)
            except ApiError as error:
                if stop.is_set():
                    return
                if not (error.retryable or error.gone):
                    raise
                self._must_list = self._must_list or error.gone
                self._lose(str(error))
                self._clock.wait(stop, reconnect_pause(self._failures))

    def _connect(self) -> None:
        if self._must_list:
            listing = self._list(Kept.of)
            at = self._clock.monotonic()
            for change in self._mirror.listed(listing):
                self._sink.changed(change, at)
            first, self._must_list, self._synced = not self._synced, False, True
            self._resume(complete=first, at=at)
            if first:
                self._sink.synced()
        elif self._in_gap:
            # A watch sends nothing until the next change, so only a list shows up to where the events must catch up.
            listed = self._list(lambda item: (_key(item), _version(item)), metadata_only=True)
            self._mirror.pursue(dict(listed.items))
            self._pursuing = True
            self._catch_up(self._clock.monotonic())

    def _list(self, keep: Callable[[Object], T], *, metadata_only: bool = False) -> Listing[T]:
        resource, namespace, selector = self._watched.resource, self._watched.namespace, self._watched.selector
        listing = self._api.digest(resource, namespace, selector, keep=keep, metadata_only=metadata_only)
        self._last_contact = self._clock.monotonic()
        return listing

    def _watch(self, stop: threading.Event) -> None:
        began, received = self._clock.monotonic(), False
        for event in self._events():
            # Before the event is processed: the processing is not part of the time of arrival.
            at = self._clock.monotonic()
            if stop.is_set():
                return
            received, self._last_contact, self._failures = True, at, 0
            change = self._mirror.apply(event)
            if change is not None:
                self._sink.changed(change, at)
            self._catch_up(at)
        if not received and self._clock.monotonic() - began < SHORTEST_WATCH:
            raise ApiError(0, "WatchEnded", f"the server ended the watch within {SHORTEST_WATCH:g} s without an event")
        self._failures, self._last_contact = 0, self._clock.monotonic()

    def _events(self) -> Iterator[WatchEvent]:
        watched, version = self._watched, self._mirror.resource_version
        try:
            for event in self._api.watch(watched.resource, watched.namespace, version, watched.selector):
                # Read here as well, so that an invalid event is found before any of it is applied.
                _key(event.object), _version(event.object)
                yield event
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # The event was not applied, so the next connection starts before it and requests it again.
            raise ApiError(0, "Malformed", f"the watch sent an invalid event: {error!r}") from error

    def _catch_up(self, at: float) -> None:
        if self._pursuing and self._mirror.has_caught_up:
            self._resume(complete=True, at=at)

    def _resume(self, complete: bool, at: float) -> None:
        self._pursuing = False
        if self._in_gap:
            self._in_gap = False
            self._sink.resumed(complete, at)

    def _lose(self, reason: str) -> None:
        self._failures += 1
        self._pursuing = False
        if not self._in_gap:
            self._in_gap = True
            now = self._clock.monotonic()
            # A healthy watch ends within WATCH_SECONDS. After a longer silence, contact was lost at the last event.
            silent = now - self._last_contact > WATCH_SECONDS
            self._sink.lost(reason, self._last_contact if silent else now)


def _key(item: Object) -> str:
    meta = item["metadata"]
    return str(meta.get("uid") or f"{meta.get('namespace', '')}/{meta.get('name', '')}")


def _version(item: Object) -> str:
    return str(item["metadata"]["resourceVersion"])


def _reached(version: str, wanted: str) -> bool:
    """Return whether one resourceVersion is the same as or after another.

    Since Kubernetes 1.35 they are specified as numbers (KEP-5504); of other values only equality can be tested.
    """
    if version.isdecimal() and wanted.isdecimal():
        return int(version) >= int(wanted)
    return version == wanted


def _slim(item: Object) -> Object:
    # managedFields are a third of an object or more, and unused.
    item["metadata"].pop("managedFields", None)
    return item
