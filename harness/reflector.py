"""Follows one resource without losing an event: list, watch from there, and come back when cut off.

The official client's watch hangs without a time-out of its own and loses events at a 410
(kubernetes-client/python#1402, #2223). Here every connection continues where the last digested event left off.
Two things can go wrong, and both are told to the sink as a gap, from the moment that contact was lost:

- The connection breaks. After the back-off the watch continues from the last event; what happened meanwhile still
  arrives, late, one event at a time. The gap ends when all of it has arrived: it hides times, but no states.
- The server no longer has that past (410). The new list is compared with what was known: what vanished is DELETED, as
  it was last known, what is new is ADDED, what changed is MODIFIED, the rest is left alone. This hides states too.

``Mirror`` is the pure state machine; ``Reflector`` drives it with an API and a clock.

Nothing is queued between the socket and the sink: a sink that is slow makes the server wait, which keeps a bounded
buffer and in the end closes the watch. The next one continues from the last event, so that the price of being slow is
a gap in time, never memory and never an event.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import orjson

from harness.clock import Clock
from harness.cluster.api import WATCH_SECONDS, KubeApi, Listing, Object, WatchEvent
from harness.cluster.resources import Resource
from harness.errors import ApiError
from harness.waiting import reconnect_pause

T = TypeVar("T")

SYNC, ADDED, MODIFIED, DELETED, BOOKMARK = "SYNC", "ADDED", "MODIFIED", "DELETED", "BOOKMARK"

# A watch that ends sooner than this without a word is refused service in disguise; asking again at once would spin.
SHORTEST_WATCH = 1.0


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happened to one object: SYNC (it was there at the first list), ADDED, MODIFIED or DELETED."""

    event: str
    object: Object


@dataclass(frozen=True, slots=True)
class Watched:
    """What is followed: one resource, in one namespace or in all of them, of one label selector."""

    resource: Resource
    namespace: str | None = None
    selector: str = ""


class Sink(Protocol):
    """Takes what a reflector sees. ``at`` is the monotonic time of arrival, before anything was digested."""

    def changed(self, change: Change, at: float) -> None:
        """An object changed."""

    def synced(self) -> None:
        """The first list is in: from here on nothing is missed."""

    def lost(self, reason: str, at: float) -> None:
        """Contact is lost: a gap begins."""

    def resumed(self, complete: bool, at: float) -> None:
        """The gap is over; ``complete`` tells whether every event in it has arrived after all."""


class Kept(NamedTuple):
    """What the mirror keeps of an object: as text it takes a tenth of the memory that it takes as an object."""

    key: str
    version: str
    text: bytes

    @classmethod
    def of(cls, item: Object) -> Kept:
        """Raises LookupError for what is no object of the API."""
        return cls(_key(item), _version(item), orjson.dumps(_slim(item)))

    def change(self, event: str) -> Change:
        return Change(event, orjson.loads(self.text))


class Mirror:
    """What the API server holds of one resource, as far as it has told us."""

    def __init__(self) -> None:
        self._known: dict[str, Kept] = {}
        self._listed = False
        # What a list said while contact was lost, and the keys of the objects that are not as it said.
        self._goal: dict[str, str] = {}
        self._behind: set[str] = set()
        self.resource_version = ""

    def listed(self, listing: Listing[Kept]) -> Iterator[Change]:
        """Take a list as the truth; the changes that lead from what was known to it, deletions first."""
        before, self._known = self._known, {kept.key: kept for kept in listing.items}
        first, self._listed = not self._listed, True
        self.resource_version = listing.resource_version
        return self._changes(before, SYNC if first else ADDED)

    def _changes(self, before: dict[str, Kept], added: str) -> Iterator[Change]:
        # One after the other: all of them at once as objects would be ten times what the mirror holds.
        for key, kept in before.items():
            if key not in self._known:
                yield kept.change(DELETED)
        for key, kept in self._known.items():
            if key not in before:
                yield kept.change(added)
            elif before[key].version != kept.version:
                yield kept.change(MODIFIED)

    def told(self, event: WatchEvent) -> Change | None:
        """Take one event of the watch; None when it holds nothing new (a bookmark, or an event told before)."""
        key, version = _key(event.object), _version(event.object)
        known = self._known.get(key)
        if event.type in {DELETED, BOOKMARK}:
            self._advance(version)
            if event.type == BOOKMARK or known is None:
                return None
            # A UID never comes back, so a deletion is new exactly when the object is known.
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
        """Compare from now on with what a list said: the resourceVersion of every object, by its key."""
        self._goal, self._behind = goal, set()
        for key in goal.keys() | self._known.keys():
            self._compare(key)

    @property
    def has_caught_up(self) -> bool:
        """Whether everything is as the list said that is pursued."""
        return not self._behind

    def _compare(self, key: str) -> None:
        known = self._known.get(key)
        if (known.version if known else None) == self._goal.get(key):
            self._behind.discard(key)
        else:
            self._behind.add(key)

    def _advance(self, version: str) -> None:
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
        self._heard = clock.monotonic()
        # The gap is over once the events have led to exactly what a list said while contact was lost.
        self._pursuing = False

    def run(self, stop: threading.Event) -> None:
        """Follow until ``stop`` is set. Raises ApiError when going on is pointless: forbidden, or no such resource."""
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
            # A watch says nothing until something happens, so a list tells what it has to catch up with.
            listed = self._list(lambda item: (_key(item), _version(item)), metadata_only=True)
            self._mirror.pursue(dict(listed.items))
            self._pursuing = True
            self._catch_up(self._clock.monotonic())

    def _list(self, keep: Callable[[Object], T], *, metadata_only: bool = False) -> Listing[T]:
        resource, namespace, selector = self._watched.resource, self._watched.namespace, self._watched.selector
        listing = self._api.digest(resource, namespace, selector, keep=keep, metadata_only=metadata_only)
        self._heard = self._clock.monotonic()
        return listing

    def _watch(self, stop: threading.Event) -> None:
        began, heard = self._clock.monotonic(), False
        for event in self._events():
            at = self._clock.monotonic()
            if stop.is_set():
                return
            heard, self._heard, self._failures = True, at, 0
            change = self._mirror.told(event)
            if change is not None:
                self._sink.changed(change, at)
            self._catch_up(at)
        if not heard and self._clock.monotonic() - began < SHORTEST_WATCH:
            raise ApiError(0, "WatchEnded", "the server ended the watch at once without an event")
        self._failures, self._heard = 0, self._clock.monotonic()

    def _events(self) -> Iterator[WatchEvent]:
        watched, version = self._watched, self._mirror.resource_version
        try:
            for event in self._api.watch(watched.resource, watched.namespace, version, watched.selector):
                _key(event.object), _version(event.object)
                yield event
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # Nothing was digested of it, so the next connection starts before it and asks for it again.
            raise ApiError(0, "Malformed", f"the watch sent what cannot be read: {error!r}") from error

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
            # A healthy watch ends by itself before: the peer had gone silent long before anybody noticed.
            self._sink.lost(reason, self._heard if now - self._heard > WATCH_SECONDS else now)


def _key(item: Object) -> str:
    meta = item["metadata"]
    return str(meta.get("uid") or f"{meta.get('namespace', '')}/{meta.get('name', '')}")


def _version(item: Object) -> str:
    return str(item["metadata"]["resourceVersion"])


def _reached(version: str, wanted: str) -> bool:
    """Whether one resourceVersion is at or after another. Since Kubernetes 1.35 they are numbers by contract
    (KEP-5504); should a server use anything else, only equal ones can be told."""
    if version.isdecimal() and wanted.isdecimal():
        return int(version) >= int(wanted)
    return version == wanted


def _slim(item: Object) -> Object:
    # A third of an object and more is who set which field, and nobody here asks.
    item["metadata"].pop("managedFields", None)
    return item
