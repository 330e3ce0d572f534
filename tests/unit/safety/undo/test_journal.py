"""The undo journal: written before the effect, read after a crash, taken back in reverse."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.resources import CONFIG_MAPS, NAMESPACES
from harness.cluster.protocol import Cluster
from harness.common.clock import FakeClock
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet, UndoFailed
from harness.common.naming import EXPIRES_ANNOTATION, RUN_LABEL, SYSTEM_NAMESPACE
from harness.safety.undo.cluster_copy import LARGEST, find_copies
from harness.safety.undo.entry import FORMAT, Origin, State, UndoEntry, _checksum, decode, encode
from harness.safety.undo.journal import Journal, read_journal


class Undoing:
    """Undo actions that remember what they took back; those named in ``broken`` fail."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.done: list[str] = []

    def __call__(self, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        name = str(parameters["name"])
        if name in self.broken:
            raise HarnessError(f"{name} resists")
        self.done.append(name)
        return f"{name} taken back"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run" / "undo.jsonl"


@pytest.fixture
def journal(fake_cluster: FakeCluster, file: Path, fake_clock: FakeClock) -> Journal:
    return Journal(fake_cluster, file, "run1", "rh-kill-run1", fake_clock)


def _write(journal: Journal, *names: str) -> list[UndoEntry]:
    return [journal.write("test", f"take back {name}", {"name": name}) for name in names]


def _published(cluster: FakeCluster) -> list[UndoEntry]:
    return [entry for copy in find_copies(cluster.api) for entry in copy.page.entries]


def test_write_returns_after_the_entry_is_on_disk_and_in_cluster(
    journal: Journal, file: Path, fake_cluster: FakeCluster
) -> None:
    entry = _write(journal, "a")[0]
    assert read_journal(file) == [entry]
    assert _published(fake_cluster) == [entry]
    assert (entry.state, entry.id) == ("pending", 1)


def test_last_write_is_dated_when_it_is_durable(
    journal: Journal, fake_cluster: FakeCluster, fake_clock: FakeClock
) -> None:
    assert journal.last_written is None
    fake_cluster.server.fail_next(503, path="/configmaps")
    before = fake_clock.monotonic()
    _write(journal, "a")
    # The retry has moved the clock.
    assert journal.last_written == fake_clock.monotonic() >= before


def test_cluster_copy_has_the_run_label_and_all_entries(journal: Journal, fake_cluster: FakeCluster) -> None:
    _write(journal, "a", "b")
    (item,) = fake_cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE)
    assert item["metadata"]["labels"][RUN_LABEL] == "run1"
    assert [entry.id for entry in _published(fake_cluster)] == [1, 2]


def test_the_system_namespace_is_made_once(journal: Journal, fake_cluster: FakeCluster) -> None:
    _write(journal, "a", "b")
    made = [call for call in fake_cluster.server.calls if call.writes and call.path.endswith("/namespaces")]
    assert len(made) == 1
    assert SYSTEM_NAMESPACE in fake_cluster.server.namespaces()


@pytest.mark.parametrize("status", [0, 403, 500, 503])
def test_unpublished_entry_raises_before_any_effect(
    journal: Journal, file: Path, fake_cluster: FakeCluster, status: int
) -> None:
    fake_cluster.server.fail_next(status, count=99, path="/configmaps")
    with pytest.raises(ApiError):
        _write(journal, "a")
    assert [entry.state for entry in read_journal(file)] == ["pending"]


def test_failed_api_call_is_retried(journal: Journal, fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(503, path="/configmaps")
    _write(journal, "a")
    assert len(_published(fake_cluster)) == 1


def test_an_entry_that_cannot_be_written_to_disk_raises(
    journal: Journal, file: Path, fake_cluster: FakeCluster
) -> None:
    file.parent.mkdir(parents=True)
    file.mkdir()
    with pytest.raises(OSError, match="directory"):
        _write(journal, "a")
    assert _published(fake_cluster) == []


def test_entries_are_undone_in_reverse(journal: Journal, file: Path) -> None:
    undoing = Undoing()
    _write(journal, "a", "b", "c")
    journal.undo_all({"test": undoing})
    assert undoing.done == ["c", "b", "a"]
    assert [entry.state for entry in journal.entries] == ["done"] * 3
    assert [entry.state for entry in read_journal(file)] == ["done"] * 3


def test_cluster_copy_is_deleted_after_the_last_undo(journal: Journal, fake_cluster: FakeCluster) -> None:
    _write(journal, "a")
    journal.undo_all({"test": Undoing()})
    assert fake_cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE) == []


def test_undoing_twice_undoes_once(journal: Journal) -> None:
    undoing = Undoing()
    _write(journal, "a")
    journal.undo_all({"test": undoing})
    journal.undo_all({"test": undoing})
    assert undoing.done == ["a"]


def test_empty_journal_sends_no_request(journal: Journal, fake_cluster: FakeCluster) -> None:
    journal.undo_all({})
    assert fake_cluster.server.calls == []


def test_failed_undo_does_not_stop_the_others(journal: Journal) -> None:
    undoing = Undoing("b")
    _write(journal, "a", "b", "c")
    with pytest.raises(UndoFailed, match="take back b: b resists"):
        journal.undo_all({"test": undoing})
    assert undoing.done == ["c", "a"]
    assert [entry.state for entry in journal.entries] == ["done", "failed", "done"]


def test_a_disk_that_is_full_hides_no_undo_that_failed(
    journal: Journal, fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(journal, "a", "b", "c")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.safety.undo.journal.append_line", full)
    undoing = Undoing("b")
    with pytest.raises(UndoFailed, match="take back b: b resists"):
        journal.undo_all({"test": undoing})
    assert undoing.done == ["c", "a"]
    assert [entry.state for entry in _published(fake_cluster)] == ["done", "failed", "done"]


def test_all_that_failed_are_named(journal: Journal) -> None:
    _write(journal, "a", "b", "c")
    with pytest.raises(UndoFailed) as caught:
        journal.undo_all({"test": Undoing("a", "c")})
    assert "a resists" in str(caught.value)
    assert "c resists" in str(caught.value)


def test_cluster_copy_stays_while_entries_are_pending(journal: Journal, file: Path, fake_cluster: FakeCluster) -> None:
    _write(journal, "a")
    with pytest.raises(UndoFailed):
        journal.undo_all({"test": Undoing("a")})
    assert len(_published(fake_cluster)) == 1
    assert read_journal(file)[0].error == "a resists"


def test_failed_entry_is_retried_next_time(journal: Journal, fake_cluster: FakeCluster) -> None:
    undoing = Undoing("a")
    _write(journal, "a", "b")
    with pytest.raises(UndoFailed):
        journal.undo_all({"test": undoing})
    undoing.broken.clear()
    journal.undo_all({"test": undoing})
    assert undoing.done == ["b", "a"]
    assert _published(fake_cluster) == []


def test_unknown_kind_is_a_failed_undo_and_stops_no_other(journal: Journal) -> None:
    undoing = Undoing()
    _write(journal, "a")
    journal.write("fromAnotherPackage", "take back x", {"name": "x"})
    with pytest.raises(UndoFailed, match="fromAnotherPackage"):
        journal.undo_all({"test": undoing})
    assert undoing.done == ["a"]


def test_bug_in_one_undo_does_not_stop_the_others(journal: Journal) -> None:
    undoing = Undoing()

    def buggy(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        raise ZeroDivisionError

    _write(journal, "a")
    journal.write("buggy", "take back x", {"name": "x"})
    with pytest.raises(ZeroDivisionError):
        journal.undo_all({"test": undoing, "buggy": buggy})
    assert undoing.done == ["a"]
    assert [entry.state for entry in journal.entries] == ["done", "pending"]


def test_missing_copy_is_no_error(journal: Journal, fake_cluster: FakeCluster) -> None:
    _write(journal, "a")
    fake_cluster.api.delete(NAMESPACES, SYSTEM_NAMESPACE)
    journal.undo_all({"test": Undoing()})


@given(
    names=st.lists(st.text(min_size=1), min_size=1, max_size=4),
    marks=st.lists(st.sampled_from(["done", "failed"]), max_size=4),
)
@settings(max_examples=30, deadline=None)
def test_truncated_journal_yields_only_whole_entries(names: list[str], marks: list[State]) -> None:
    origin = Origin("run1", "undo-shop")
    entries = [UndoEntry(number, "test", name, {"name": name}) for number, name in enumerate(names, start=1)]
    lines = [*entries, *(replace(entry, state=mark) for entry, mark in zip(entries, marks, strict=False))]
    text = b"".join(encode(origin, entry) for entry in lines)
    lengths = [0, *accumulate(len(encode(origin, entry)) for entry in lines)]
    for cut in range(len(text) + 1):
        # The end of a line may be missing: what it says is whole.
        complete = sum(1 for end in lengths[1:] if end - 1 <= cut)
        last = {entry.id: entry for entry in lines[:complete]}
        assert decode(text[:cut]).entries == tuple(last.values())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_line_is_no_line(data: st.DataObject) -> None:
    origin = Origin("run1", "undo-shop")
    entries = [UndoEntry(number, "test", "take it back", {"name": "a"}) for number in (1, 2, 3)]
    text = bytearray(b"".join(encode(origin, entry) for entry in entries))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[place]))
    assert set(map(str, decode(bytes(text)).entries)) <= set(map(str, entries))


def test_journal_of_a_newer_format_is_refused(file: Path) -> None:
    line = json.loads(encode(Origin("run1", "undo-shop"), UndoEntry(1, "test", "x")))
    body = {**{key: value for key, value in line.items() if key != "sum"}, "format": FORMAT + 1}
    file.parent.mkdir()
    file.write_text(json.dumps({**body, "sum": _checksum(body)}))
    with pytest.raises(HarnessError, match=f"format {FORMAT + 1} needs a newer harness"):
        read_journal(file)


def test_long_journal_spans_several_objects_and_is_read_as_one(journal: Journal, fake_cluster: FakeCluster) -> None:
    for number in range(5):
        journal.write("test", f"take back {number}", {"name": str(number), "padding": "x" * (LARGEST // 3)})
    items = fake_cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE)
    assert len(items) == 3
    assert all(len(item["data"]["undo.jsonl"]) <= LARGEST for item in items)
    assert [entry.id for entry in _published(fake_cluster)] == [1, 2, 3, 4, 5]
    journal.undo_all({"test": Undoing()})
    assert fake_cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE) == []


def test_oversized_entry_is_refused_before_any_effect(journal: Journal) -> None:
    refused = "a ConfigMap holds 1000000: it cannot be journalled, so the fault was not injected"
    with pytest.raises(HarnessError, match=refused):
        journal.write("test", "take back all", {"padding": "x" * LARGEST})


def test_entry_states_when_its_effect_expires(fake_cluster: FakeCluster, file: Path) -> None:
    clock = FakeClock(wall=0.0)
    entry = _write(Journal(fake_cluster, file, "run1", "shop", clock, ttl=90.0), "a")[0]
    assert entry.expires == "1970-01-01T00:01:30.000Z"
    (item,) = fake_cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE)
    assert item["metadata"]["annotations"][EXPIRES_ANNOTATION] == entry.expires


def test_no_entry_is_written_after_the_run_lost_its_lease(
    fake_cluster: FakeCluster, file: Path, fake_clock: FakeClock
) -> None:
    journal = Journal(fake_cluster, file, "run1", "shop", fake_clock, refused=lambda: "the Lease is lost")
    with pytest.raises(Inconclusive, match="the Lease is lost"):
        _write(journal, "a")
    assert fake_cluster.server.calls == []
    assert not file.exists()


def test_cluster_copy_has_entry_states_while_entries_are_left(journal: Journal, fake_cluster: FakeCluster) -> None:
    _write(journal, "a", "b")
    with pytest.raises(UndoFailed):
        journal.undo_all({"test": Undoing("a")})
    assert [(entry.id, entry.state) for entry in _published(fake_cluster)] == [(1, "failed"), (2, "done")]


def test_a_mark_that_does_not_reach_the_cluster_costs_no_undo(journal: Journal, fake_cluster: FakeCluster) -> None:
    undoing = Undoing()
    _write(journal, "a", "b")
    fake_cluster.server.fail_next(403, count=1, method="PATCH", path="/configmaps")
    journal.undo_all({"test": undoing})
    assert undoing.done == ["b", "a"]
    assert _published(fake_cluster) == []


def test_undo_can_be_limited_to_later_entries(journal: Journal, fake_cluster: FakeCluster) -> None:
    undoing = Undoing()
    _write(journal, "namespace", "fault")
    journal.undo_all({"test": undoing}, after=1)
    assert undoing.done == ["fault"]
    assert [entry.state for entry in _published(fake_cluster)] == ["pending", "done"]
    journal.undo_all({"test": undoing})
    assert undoing.done == ["fault", "namespace"]


def test_undo_that_needs_time_is_retried(journal: Journal, fake_clock: FakeClock) -> None:
    asked: list[float] = []

    def slow(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        asked.append(fake_clock.monotonic())
        if len(asked) < 3:
            raise NotYet("it is still going")
        return "gone"

    _write(journal, "a")
    journal.undo_all({"test": slow})
    assert len(asked) == 3
    assert [entry.state for entry in journal.entries] == ["done"]


def test_kept_copy_is_marked_in_the_cluster_with_its_undo(journal: Journal, fake_cluster: FakeCluster) -> None:
    _write(journal, "a")
    journal.keep()
    (copy,) = find_copies(fake_cluster.api)
    assert copy.kept
    assert [entry.state for entry in copy.page.entries] == ["pending"]


def test_journal_names_its_run_and_cluster(fake_cluster: FakeCluster, file: Path, fake_clock: FakeClock) -> None:
    _write(Journal(fake_cluster, file, "run1", "shop", fake_clock, cluster_uid="uid-9"), "a")
    assert decode(file.read_bytes()).origin == Origin("run1", "undo-shop", "uid-9")


def test_a_journal_with_a_cut_line_is_still_written_to(
    journal: Journal, file: Path, fake_cluster: FakeCluster, fake_clock: FakeClock
) -> None:
    """What comes after a torn line must not be swallowed by it."""
    _write(journal, "a")
    with file.open("a") as stream:
        stream.write('{"id": 2, "kind": "te')
    _write(journal, "b")
    assert [entry.parameters["name"] for entry in read_journal(file)] == ["a", "b"]


def test_last_state_of_each_entry_counts(journal: Journal, file: Path) -> None:
    _write(journal, "a", "b")
    with pytest.raises(UndoFailed):
        journal.undo_all({"test": Undoing("b")})
    assert [(entry.id, entry.state) for entry in read_journal(file)] == [(1, "done"), (2, "failed")]


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "nothing.jsonl") == []


def test_copy_name_is_valid_for_any_experiment_name(
    fake_cluster: FakeCluster, file: Path, fake_clock: FakeClock
) -> None:
    _write(Journal(fake_cluster, file, "run1", "x" * 57 + "-" * 10, fake_clock), "a")
    (item,) = fake_cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE)
    assert len(item["metadata"]["name"]) <= 253
    assert item["metadata"]["name"][-1].isalnum()


def _altered(entry: UndoEntry, **changes: Any) -> bytes:
    """A line as another harness would write it, its checksum included."""
    line = json.loads(encode(Origin("run1", "undo-shop"), entry))
    body = {key: value for key, value in line.items() if key != "sum"}
    body["entry"] = {key: value for key, value in {**body["entry"], **changes}.items() if value is not ...}
    return json.dumps({**body, "sum": _checksum(body)}).encode() + b"\n"


@pytest.mark.parametrize(
    "changes",
    [{"unknown": 1}, {"kind": ...}, {"parameters": []}, {"written": 7}, {"state": "gone"}, {"id": "1"}, {"kind": None}],
    ids=str,
)
def test_unknown_entry_is_a_handled_error(changes: dict[str, Any]) -> None:
    with pytest.raises(HarnessError, match="has an entry that this version cannot read"):
        decode(_altered(UndoEntry(1, "test", "x"), **changes))


def test_a_line_that_is_nested_without_end_is_no_line() -> None:
    assert decode(b"[" * 100_000).entries == ()


@pytest.mark.parametrize("error", [KeyError("node"), TypeError("not a number"), ValueError("no such mode")])
def test_invalid_parameters_are_a_failed_undo_and_stop_no_other(
    journal: Journal, error: Exception, fake_clock: FakeClock
) -> None:
    undoing = Undoing()

    def wrong(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        raise error

    _write(journal, "a")
    journal.write("wrong", "take back x", {"name": "x"})
    before = fake_clock.monotonic()
    reason = f"take back x: the undo action cannot use the entry's parameters: {type(error).__name__}: "
    with pytest.raises(UndoFailed, match=reason):
        journal.undo_all({"test": undoing, "wrong": wrong})
    assert undoing.done == ["a"]
    assert [entry.state for entry in journal.entries] == ["done", "failed"]
    assert fake_clock.monotonic() == before, "asking again changes nothing"


def test_run_taken_for_dead_while_publishing_injects_nothing(
    fake_cluster: FakeCluster, file: Path, fake_clock: FakeClock
) -> None:
    asked: list[str | None] = [None, "the Lease is lost"]
    journal = Journal(fake_cluster, file, "run1", "shop", fake_clock, refused=lambda: asked.pop(0))
    with pytest.raises(Inconclusive, match="the Lease is lost"):
        _write(journal, "a")
    assert asked == [], "asked before and after"
    assert journal.pending() == []
    assert journal.last_written is None
    (entry,) = read_journal(file)
    assert (entry.state, entry.error) == ("done", "not needed, the fault was not injected: the Lease is lost")
    journal.undo_all({})
    assert _published(fake_cluster) == []


def test_journal_folder_is_durable_before_its_first_line(
    journal: Journal, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could take the whole file away, with the effect still there."""
    synced: list[str] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        what = os.fstat(handle)
        folder = os.path.samestat(what, file.parent.stat())
        synced.append("folder" if folder else "above" if stat.S_ISDIR(what.st_mode) else f"{what.st_size > 0} file")
        fsync(handle)

    monkeypatch.setattr("harness.safety.undo.journal.os.fsync", watched)
    _write(journal, "a")
    assert synced[0] == "folder"
    assert set(synced[1:-1]) == {"above"}
    assert synced[-1] == "True file"
    synced.clear()
    _write(journal, "b")
    assert synced == ["True file"]


def test_non_durable_folder_raises_before_any_effect(
    journal: Journal, fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.safety.undo.journal.os.fsync", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            _write(journal, "a")
    assert _published(fake_cluster) == []
