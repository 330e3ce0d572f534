"""The undo journal: written before the effect, read after a crash, taken back in reverse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.clock import FakeClock
from harness.cluster.fake import FakeCluster
from harness.cluster.protocol import Cluster
from harness.cluster.resources import CONFIG_MAPS, NAMESPACES
from harness.errors import ApiError, HarnessError, UndoFailed
from harness.naming import RUN_LABEL, SYSTEM_NAMESPACE
from harness.undo import Journal, UndoEntry, read_journal


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


def _published(cluster: FakeCluster) -> list[dict[str, Any]]:
    maps = cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE)
    return [entry for item in maps for entry in json.loads(item["data"]["journal"])]


def test_an_entry_is_on_disk_and_in_the_cluster_when_write_returns(
    journal: Journal, file: Path, fake_cluster: FakeCluster
) -> None:
    entry = _write(journal, "a")[0]
    assert read_journal(file) == [entry]
    assert [item["parameters"] for item in _published(fake_cluster)] == [{"name": "a"}]
    assert (entry.state, entry.id) == ("pending", 1)


def test_the_last_write_is_dated_when_it_is_safe_so_that_effects_can_be_bracketed(
    journal: Journal, fake_cluster: FakeCluster, fake_clock: FakeClock
) -> None:
    assert journal.last_written is None
    fake_cluster.server.fail_next(503, path="/configmaps")
    before = fake_clock.monotonic()
    _write(journal, "a")
    # The retry has moved the clock.
    assert journal.last_written == fake_clock.monotonic() >= before


def test_the_cluster_s_copy_is_labelled_with_the_run_and_holds_all_entries(
    journal: Journal, fake_cluster: FakeCluster
) -> None:
    _write(journal, "a", "b")
    (item,) = fake_cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE)
    assert item["metadata"]["labels"][RUN_LABEL] == "run1"
    assert [entry["id"] for entry in _published(fake_cluster)] == [1, 2]


def test_the_system_namespace_is_made_once(journal: Journal, fake_cluster: FakeCluster) -> None:
    _write(journal, "a", "b")
    made = [call for call in fake_cluster.server.calls if call.writes and call.path.endswith("/namespaces")]
    assert len(made) == 1
    assert SYSTEM_NAMESPACE in fake_cluster.server.namespaces()


@pytest.mark.parametrize("status", [0, 403, 500, 503])
def test_an_entry_that_does_not_reach_the_cluster_raises_so_that_no_effect_follows(
    journal: Journal, file: Path, fake_cluster: FakeCluster, status: int
) -> None:
    fake_cluster.server.fail_next(status, count=99, path="/configmaps")
    with pytest.raises(ApiError):
        _write(journal, "a")
    assert [entry.state for entry in read_journal(file)] == ["pending"]


def test_an_api_server_that_stumbles_once_is_asked_again(journal: Journal, fake_cluster: FakeCluster) -> None:
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


def test_everything_is_taken_back_in_reverse(journal: Journal, file: Path) -> None:
    undoing = Undoing()
    _write(journal, "a", "b", "c")
    journal.undo_all({"test": undoing})
    assert undoing.done == ["c", "b", "a"]
    assert [entry.state for entry in journal.entries] == ["done"] * 3
    assert [entry.state for entry in read_journal(file)] == ["done"] * 3


def test_the_cluster_s_copy_goes_when_all_is_taken_back(journal: Journal, fake_cluster: FakeCluster) -> None:
    _write(journal, "a")
    journal.undo_all({"test": Undoing()})
    assert fake_cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE) == []


def test_undoing_twice_undoes_once(journal: Journal) -> None:
    undoing = Undoing()
    _write(journal, "a")
    journal.undo_all({"test": undoing})
    journal.undo_all({"test": undoing})
    assert undoing.done == ["a"]


def test_an_empty_journal_asks_the_cluster_nothing(journal: Journal, fake_cluster: FakeCluster) -> None:
    journal.undo_all({})
    assert fake_cluster.server.calls == []


def test_one_that_fails_does_not_stop_the_others(journal: Journal) -> None:
    undoing = Undoing("b")
    _write(journal, "a", "b", "c")
    with pytest.raises(UndoFailed, match="take back b: b resists"):
        journal.undo_all({"test": undoing})
    assert undoing.done == ["c", "a"]
    assert [entry.state for entry in journal.entries] == ["done", "failed", "done"]


def test_all_that_failed_are_named(journal: Journal) -> None:
    _write(journal, "a", "b", "c")
    with pytest.raises(UndoFailed) as caught:
        journal.undo_all({"test": Undoing("a", "c")})
    assert "a resists" in str(caught.value)
    assert "c resists" in str(caught.value)


def test_the_cluster_s_copy_stays_while_something_is_left(
    journal: Journal, file: Path, fake_cluster: FakeCluster
) -> None:
    _write(journal, "a")
    with pytest.raises(UndoFailed):
        journal.undo_all({"test": Undoing("a")})
    assert len(_published(fake_cluster)) == 1
    assert read_journal(file)[0].error == "a resists"


def test_what_failed_is_tried_again_the_next_time(journal: Journal, fake_cluster: FakeCluster) -> None:
    undoing = Undoing("a")
    _write(journal, "a", "b")
    with pytest.raises(UndoFailed):
        journal.undo_all({"test": undoing})
    undoing.broken.clear()
    journal.undo_all({"test": undoing})
    assert undoing.done == ["b", "a"]
    assert _published(fake_cluster) == []


def test_a_kind_that_nobody_knows_is_a_failed_undo_and_stops_no_other(journal: Journal) -> None:
    undoing = Undoing()
    _write(journal, "a")
    journal.write("fromAnotherPackage", "take back x", {"name": "x"})
    with pytest.raises(UndoFailed, match="fromAnotherPackage"):
        journal.undo_all({"test": undoing})
    assert undoing.done == ["a"]


def test_not_even_a_bug_in_one_undo_stops_the_others(journal: Journal) -> None:
    undoing = Undoing()

    def buggy(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        raise ZeroDivisionError

    _write(journal, "a")
    journal.write("buggy", "take back x", {"name": "x"})
    with pytest.raises(ZeroDivisionError):
        journal.undo_all({"test": undoing, "buggy": buggy})
    assert undoing.done == ["a"]
    assert [entry.state for entry in journal.entries] == ["done", "pending"]


def test_a_copy_that_is_gone_already_is_no_error(journal: Journal, fake_cluster: FakeCluster) -> None:
    _write(journal, "a")
    fake_cluster.api.delete(NAMESPACES, SYSTEM_NAMESPACE)
    journal.undo_all({"test": Undoing()})


def test_a_last_line_cut_by_a_crash_is_left_out(journal: Journal, file: Path) -> None:
    entries = _write(journal, "a", "b")
    text = file.read_text()
    file.write_text(text[: len(text) - 20])
    assert read_journal(file) == entries[:1]


def test_a_journal_with_a_cut_line_is_still_written_to(
    journal: Journal, file: Path, fake_cluster: FakeCluster, fake_clock: FakeClock
) -> None:
    """What comes after a torn line must not be swallowed by it."""
    _write(journal, "a")
    with file.open("a") as stream:
        stream.write('{"id": 2, "kind": "te')
    _write(journal, "b")
    assert [entry.parameters["name"] for entry in read_journal(file)] == ["a", "b"]


def test_of_each_entry_the_last_state_counts(journal: Journal, file: Path) -> None:
    _write(journal, "a", "b")
    with pytest.raises(UndoFailed):
        journal.undo_all({"test": Undoing("b")})
    assert [(entry.id, entry.state) for entry in read_journal(file)] == [(1, "done"), (2, "failed")]


def test_no_journal_is_an_empty_one(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "nothing.jsonl") == []


def test_the_name_of_the_copy_is_valid_whatever_the_experiment_s(
    fake_cluster: FakeCluster, file: Path, fake_clock: FakeClock
) -> None:
    _write(Journal(fake_cluster, file, "run1", "x" * 57 + "-" * 10, fake_clock), "a")
    (item,) = fake_cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE)
    assert len(item["metadata"]["name"]) <= 63
    assert item["metadata"]["name"][-1].isalnum()
