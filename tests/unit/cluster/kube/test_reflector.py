"""The reflector loses no event and shows none twice, however its connections end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cluster.kube.client import WATCH_SECONDS, Listing, WatchEvent
from harness.cluster.kube.reflector import Change, Kept, Mirror, Reflector, Watched
from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import Request
from harness.common.clock import FakeClock
from harness.common.errors import ApiError
from harness.common.waiting import LONGEST_PAUSE
from tests.unit.watch_script import DROP, LeaseSnapshot, ScriptedTransport, bookmark, error_line, event, pod


def follow(script: ScriptedTransport, clock: FakeClock | None = None) -> LeaseSnapshot:
    """Run a reflector over a script until the script is at its end."""
    clock, seen = clock or FakeClock(), LeaseSnapshot()
    script.at_end = seen.stop.set
    Reflector(script.api(clock), Watched(PODS, "ns"), clock, seen).run(seen.stop)
    return seen


def watch_versions(script: ScriptedTransport) -> list[str]:
    return [request.query["resourceVersion"] for request in script.asked if "watch" in request.query]


def test_the_watch_starts_from_the_version_of_the_list() -> None:
    script = ScriptedTransport([([pod("a", 3)], 7)], [[event("MODIFIED", pod("a", 8))]])
    seen = follow(script)
    assert seen.log == [("SYNC", "uid-a", 3), ("synced",), ("MODIFIED", "uid-a", 8)]
    assert watch_versions(script)[0] == "7"


def test_watch_ended_by_the_server_resumes_without_a_gap() -> None:
    script = ScriptedTransport([([], 1)], [[event("ADDED", pod("a", 2))], [event("MODIFIED", pod("a", 3))]])
    seen = follow(script)
    assert seen.log == [("synced",), ("ADDED", "uid-a", 2), ("MODIFIED", "uid-a", 3)]
    assert watch_versions(script)[:2] == ["1", "2"]


def test_a_bookmark_moves_the_watch_on_and_is_no_change() -> None:
    script = ScriptedTransport([([pod("a", 1)], 1)], [[bookmark(40)], [event("MODIFIED", pod("a", 41))]])
    seen = follow(script)
    assert seen.changes == [("SYNC", "uid-a", 1), ("MODIFIED", "uid-a", 41)]
    assert watch_versions(script)[:2] == ["1", "40"]


def test_forced_deletion_shows_as_deleted_without_notice() -> None:
    script = ScriptedTransport([([pod("a", 1)], 1)], [[event("DELETED", pod("a", 2))]])
    assert follow(script).changes[-1] == ("DELETED", "uid-a", 2)


def test_deletion_with_an_old_version_does_not_rewind_the_watch() -> None:
    lines = [event("MODIFIED", pod("b", 8)), event("DELETED", pod("a", 1))]
    script = ScriptedTransport([([pod("a", 1), pod("b", 2)], 2)], [lines])
    follow(script)
    assert watch_versions(script)[1] == "8"


def test_repeated_events_show_once() -> None:
    lines = [event("ADDED", pod("a", 2)), event("MODIFIED", pod("a", 3)), event("DELETED", pod("a", 4))]
    seen = follow(ScriptedTransport([([], 1)], [[*lines[:2], *lines, *lines]]))
    assert seen.changes == [("ADDED", "uid-a", 2), ("MODIFIED", "uid-a", 3), ("DELETED", "uid-a", 4)]


def test_missed_events_arrive_before_the_gap_ends() -> None:
    script = ScriptedTransport(
        [([pod("a", 1)], 1), ([pod("b", 6)], 6)],
        [
            [event("MODIFIED", pod("a", 3)), DROP],
            [event("DELETED", pod("a", 5)), event("ADDED", pod("b", 6))],
        ],
    )
    seen = follow(script)
    assert seen.log == [
        ("SYNC", "uid-a", 1),
        ("synced",),
        ("MODIFIED", "uid-a", 3),
        ("lost", "ConnectionLost: the peer hung up"),
        ("DELETED", "uid-a", 5),
        ("ADDED", "uid-b", 6),
        ("resumed", True),
    ]
    assert watch_versions(script)[:2] == ["1", "3"]


def test_gap_without_changes_ends_with_the_next_contact() -> None:
    clock = FakeClock()
    script = ScriptedTransport([([pod("a", 1)], 1), ([pod("a", 1)], 9)], [[DROP], [lambda: clock.advance(50.0)]])
    assert follow(script, clock).log[2:] == [("lost", "ConnectionLost: the peer hung up"), ("resumed", True)]


def test_a_connection_lost_between_list_and_watch_loses_nothing() -> None:
    script = ScriptedTransport([([], 1), ([pod("a", 2)], 2)], [[DROP], [DROP], [event("ADDED", pod("a", 2))]])
    seen = follow(script)
    assert seen.changes == [("ADDED", "uid-a", 2)]
    assert seen.log[-1] == ("resumed", True)


@pytest.mark.parametrize("gone", [[error_line(410, "Expired")], [ApiError(410, "Gone", "too old")]])
def test_list_after_a_410_is_reconciled_with_the_known_state(gone: list[Any]) -> None:
    before = [pod("same", 1), pod("changed", 2), pod("vanished", 3), pod("reborn", 4, uid="old")]
    after = [pod("same", 1), pod("changed", 20), pod("new", 21), pod("reborn", 22, uid="young")]
    seen = follow(ScriptedTransport([(before, 5), (after, 30)], [gone, [event("MODIFIED", pod("new", 31))]]))
    assert seen.log[5][0] == "lost"
    assert seen.log[6:] == [
        ("DELETED", "uid-vanished", 3),
        ("DELETED", "old", 4),
        ("MODIFIED", "uid-changed", 20),
        ("ADDED", "uid-new", 21),
        ("ADDED", "young", 22),
        ("resumed", False),
        ("MODIFIED", "uid-new", 31),
    ]


def test_unreadable_line_is_requested_again() -> None:
    second = event("ADDED", pod("b", 3))
    for broken in (second[:20], b"[]", b'{"type": "ADDED", "object": {}}'):
        script = ScriptedTransport(
            [([], 1), ([pod("a", 2), pod("b", 3)], 3)], [[event("ADDED", pod("a", 2)), broken], [second]]
        )
        seen = follow(script)
        assert seen.changes == [("ADDED", "uid-a", 2), ("ADDED", "uid-b", 3)], broken
        assert watch_versions(script)[1] == "2"
        assert ("resumed", True) in seen.log


def test_refused_list_ends_the_reflector_with_the_server_message() -> None:
    with pytest.raises(ApiError, match="pods is forbidden"):
        follow(ScriptedTransport([ApiError(403, "Forbidden", "pods is forbidden")]))


def test_unreachable_server_is_retried_with_bounded_backoff() -> None:
    clock = FakeClock()
    script = ScriptedTransport([([], 1)], [[DROP]] * 12)
    pauses: list[float] = []
    clock_wait = clock.wait
    clock.wait = lambda event, seconds: (pauses.append(seconds), clock_wait(event, seconds))[1]  # type: ignore[method-assign]
    follow(script, clock)
    assert pauses[:12] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    assert max(pauses) == LONGEST_PAUSE


def test_watch_ending_at_once_without_data_is_lost_contact() -> None:
    clock = FakeClock()
    before = clock.monotonic()
    script = ScriptedTransport(
        [([], 1), ([], 1), ([], 1), ([pod("a", 2)], 2)], [[DROP], [DROP], [event("ADDED", pod("a", 2)), DROP], []]
    )
    follow(script, clock)
    assert clock.monotonic() - before == pytest.approx(0.1 + 0.2 + 0.1 + 0.2)


def test_gap_starts_at_the_last_data_from_a_silent_peer() -> None:
    clock = FakeClock()
    seen = follow(ScriptedTransport([([], 1)], [[lambda: clock.advance(50.0)], []]), clock)
    assert [entry[0] for entry in seen.log] == ["synced", "lost", "resumed"]


def test_backoff_restarts_after_any_data() -> None:
    clock = FakeClock(monotonic=100.0)
    lines = [lambda: clock.advance(2.0), event("ADDED", pod("a", 2)), lambda: clock.advance(WATCH_SECONDS + 5.0), DROP]
    seen = follow(ScriptedTransport([([], 1), ([pod("a", 2)], 2)], [lines]), clock)
    assert seen.lost_at == [102.0]


def test_a_gap_begins_now_when_the_connection_breaks_with_a_bang() -> None:
    clock = FakeClock(monotonic=100.0)
    lines = [event("ADDED", pod("a", 2)), lambda: clock.advance(WATCH_SECONDS - 1.0), DROP]
    seen = follow(ScriptedTransport([([], 1), ([pod("a", 2)], 2)], [lines]), clock)
    assert seen.lost_at == [100.0 + WATCH_SECONDS - 1.0]


def test_arrival_is_stamped_before_anything_is_digested() -> None:
    clock = FakeClock(monotonic=100.0)
    lines = [
        lambda: clock.advance(2.0),
        event("ADDED", pod("a", 2)),
        lambda: clock.advance(3.0),
        event("DELETED", pod("a", 3)),
    ]
    assert follow(ScriptedTransport([([], 1)], [lines]), clock).times == [102.0, 105.0]


def test_managed_fields_are_dropped_from_the_mirror() -> None:
    item = pod("a", 1)
    item["metadata"]["managedFields"] = [{"manager": "kubelet"}]
    (change,) = Mirror().listed(Listing([Kept.of(item)], "1"))
    assert "managedFields" not in change.object["metadata"]


def test_non_numeric_versions_are_compared_for_equality() -> None:
    def item(version: str) -> dict[str, Any]:
        return {"metadata": {"uid": "u", "name": "a", "resourceVersion": version}}

    mirror = Mirror()
    mirror.listed(Listing([Kept.of(item("x"))], "x"))
    assert mirror.apply(WatchEvent("MODIFIED", item("x"))) is None
    assert mirror.apply(WatchEvent("MODIFIED", item("a"))) == Change("MODIFIED", item("a"))
    assert mirror.resource_version == "a"


def test_list_pages_share_one_resource_version() -> None:
    pages = _Pages([[pod("a", 1), pod("b", 2)], [pod("c", 3)]])
    assert follow(pages).log == [("SYNC", "uid-a", 1), ("SYNC", "uid-b", 2), ("SYNC", "uid-c", 3), ("synced",)]
    assert [request.query.get("continue") for request in pages.asked[:2]] == [None, "1"]
    assert watch_versions(pages) == ["3"]


def test_expired_page_restarts_the_list_without_duplicates() -> None:
    pages = _Pages(
        [[pod("a", 1)], ApiError(410, "Expired", "the continue token is too old")], [pod("a", 1), pod("b", 9)]
    )
    assert follow(pages).log == [("SYNC", "uid-a", 1), ("SYNC", "uid-b", 9), ("synced",)]
    assert "limit" not in pages.asked[2].query
    assert watch_versions(pages) == ["9"]


class _Pages(ScriptedTransport):
    """Answers a list page by page, and one without a limit with ``whole``."""

    def __init__(self, pages: list[Any], whole: Sequence[Any] = ()) -> None:
        super().__init__()
        self.pages, self.whole = pages, [*whole]

    def send(self, request: Request) -> bytes:
        self.asked.append(request)
        number = int(request.query.get("continue", 0))
        items = self.pages[number] if "limit" in request.query else self.whole
        if isinstance(items, ApiError):
            raise items
        metadata = {"resourceVersion": str(items[-1]["metadata"]["resourceVersion"])}
        if "limit" in request.query:
            metadata = {"resourceVersion": "3"} | (
                {"continue": f"{number + 1}"} if number + 1 < len(self.pages) else {}
            )
        return json.dumps({"items": items, "metadata": metadata}).encode()


def test_objects_of_one_name_in_two_namespaces_are_two_objects() -> None:
    here, there = pod("a", 1, uid="here"), pod("a", 2, uid="there")
    there["metadata"]["namespace"] = "elsewhere"
    script = ScriptedTransport([([here, there], 2)], [[event("DELETED", here)]])
    seen, clock = LeaseSnapshot(), FakeClock()
    script.at_end = seen.stop.set
    Reflector(script.api(clock), Watched(PODS), clock, seen).run(seen.stop)
    assert seen.changes == [("SYNC", "here", 1), ("SYNC", "there", 2), ("DELETED", "here", 1)]
    assert script.asked[0].path == "/api/v1/pods"


def test_bookmarks_keep_an_idle_watch_ahead_of_compaction() -> None:
    script = ScriptedTransport([([pod("a", 1)], 1)], [[bookmark(40)], [bookmark(80), DROP], [bookmark(120)]])
    seen = follow(script)
    assert watch_versions(script) == ["1", "40", "80", "120"]
    assert seen.changes == [("SYNC", "uid-a", 1)]


def test_reconnected_watch_lag_is_measured_without_objects() -> None:
    script = ScriptedTransport([([pod("a", 1)], 1)], [[DROP]])
    follow(script)
    first, second = [request for request in script.asked if "watch" not in request.query]
    assert "PartialObjectMetadataList" not in first.accept
    assert "PartialObjectMetadataList" in second.accept


def test_gap_lasts_until_the_state_matches_the_list() -> None:
    """Half of what happened has arrived, and something that the list did not know of yet comes on top of it."""
    script = ScriptedTransport(
        [([pod("a", 1), pod("b", 2)], 2), ([pod("a", 5), pod("b", 6)], 6)],
        [[DROP], [event("MODIFIED", pod("a", 5)), event("MODIFIED", pod("b", 6)), event("MODIFIED", pod("a", 7))]],
    )
    log = follow(script).log
    assert log[4:] == [("MODIFIED", "uid-a", 5), ("MODIFIED", "uid-b", 6), ("resumed", True), ("MODIFIED", "uid-a", 7)]


# Random histories over random connections.


@dataclass
class Server:
    """A server with a history; each connection follows one step of the plan, after the plan connections are whole."""

    history: list[tuple[str, dict[str, Any]]]
    plan: list[tuple[int, int, str]]
    seen: LeaseSnapshot
    expiries: Iterator[bool]
    meanwhile: Iterator[int]
    server: str = "random"
    now: int = 0
    connection_end: str = ""
    relisted: bool = False
    watched_from: int | None = None
    steps: Iterator[tuple[int, int, str]] = field(init=False)

    def __post_init__(self) -> None:
        self.steps = iter(self.plan)

    def state(self, at: int) -> dict[str, dict[str, Any]]:
        state: dict[str, dict[str, Any]] = {}
        for kind, item in self.history[:at]:
            if kind == "DELETED":
                del state[item["metadata"]["uid"]]
            else:
                state[item["metadata"]["uid"]] = item
        return state

    def send(self, request: Request) -> bytes:
        """A list of two objects a page, at the instant of its first page; its past may be gone before its end."""
        at, first = request.query.get("continue", f"{self.now},0").split(",")
        items = [*self.state(int(at)).values()]
        limit = 2 if "limit" in request.query else len(items)
        following = int(first) + limit
        if "continue" in request.query and next(self.expiries, False):
            raise ApiError(410, "Expired", "the continue token is too old")
        metadata = {"resourceVersion": str(int(at) + 1)}
        if following < len(items):
            metadata["continue"] = f"{at},{following}"
        # What happens while a list is read belongs to the watch.
        self.now = min(len(self.history), self.now + next(self.meanwhile, 0))
        return json.dumps({"items": items[int(first) : following], "metadata": metadata}).encode()

    def stream(self, request: Request) -> Iterator[bytes]:
        happens, tells, end = next(self.steps, (len(self.history), len(self.history), "stop"))
        first = int(request.query["resourceVersion"]) - 1
        self.watched_from = first if self.watched_from is None else self.watched_from
        self.now = min(len(self.history), self.now + happens)
        if end == "gone":
            self.relisted = True
            yield error_line(410, "Expired")
        told = self.history[first : min(self.now, first + tells)]
        for kind, item in told:
            yield event(kind, item)
            if end == "stutter":
                yield event(kind, item)
        if end == "bookmark" and first + len(told) == self.now:
            yield bookmark(self.now + 1)
        if end == "malformed":
            yield b'{"type":'
        if end == "stop":
            self.seen.stop.set()
            return
        if end != "end":
            raise DROP


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Creations, changes and deletions of three names in a legal order; the n-th event has resourceVersion n + 1."""
    alive: dict[str, str] = {}
    history: list[tuple[str, dict[str, Any]]] = []
    for number, (name, delete) in enumerate(
        draw(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=25))
    ):
        kind = "ADDED" if name not in alive else "DELETED" if delete else "MODIFIED"
        uid = alive.setdefault(name, f"{name}{number}")
        if kind == "DELETED":
            del alive[name]
        history.append((kind, pod(name, number + 2, uid=uid)))
    return history


ENDS = st.sampled_from(["drop", "end", "gone", "malformed", "stutter", "bookmark"])
PLANS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), ENDS), max_size=12)


@given(
    history=histories(),
    plan=PLANS,
    before=st.integers(0, 8),
    expiries=st.lists(st.booleans(), max_size=4),
    meanwhile=st.lists(st.integers(0, 2), max_size=6),
)
@settings(max_examples=300, deadline=None)
def test_any_history_converges_without_duplicates(
    history: list[tuple[str, dict[str, Any]]],
    plan: list[tuple[int, int, str]],
    before: int,
    expiries: list[bool],
    meanwhile: list[int],
) -> None:
    seen, clock = LeaseSnapshot(), FakeClock()
    server = Server(history, plan, seen, iter(expiries), iter(meanwhile), now=min(before, len(history)))
    script = ScriptedTransport()
    script.send, script.stream = server.send, server.stream  # type: ignore[method-assign]
    Reflector(script.api(clock), Watched(PODS, "ns"), clock, seen).run(seen.stop)

    state: dict[str, int] = {}
    for kind, uid, version in seen.changes:
        if kind == "DELETED":
            assert uid in state
            del state[uid]
        else:
            assert (kind == "MODIFIED") == (uid in state)
            assert version > state.get(uid, 0)
            state[uid] = version
    assert state == {uid: int(item["metadata"]["resourceVersion"]) for uid, item in server.state(len(history)).items()}
    assert len(seen.changes) == len(set(seen.changes))
    marks = [entry[0] for entry in seen.log if entry[0] in {"lost", "resumed"}]
    assert marks == ["lost", "resumed"] * (len(marks) // 2)
    if not server.relisted:
        told = [entry[2] for entry in seen.changes if entry[0] != "SYNC"]
        assert told == [int(item["metadata"]["resourceVersion"]) for _, item in history[server.watched_from :]]
        assert all(entry != ("resumed", False) for entry in seen.log)
