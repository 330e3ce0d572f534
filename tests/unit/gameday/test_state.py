"""An interrupted game day continues; two of one name do not run at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.gameday.state import CONTINUES, DayState, DayStore, to_continue
from harness.results.game_day_record import ChoiceRecord
from tests.unit.gameday.days import game_day

NOW = 1_700_000_000.0


def state(folder: Path, **values: object) -> DayState:
    found = game_day(folder)
    return DayState(
        **{"name": "friday", "digest": found.digest, "seed": 1, "started": NOW, "choice": ChoiceRecord()} | values
    )  # type: ignore[arg-type]


def test_unfinished_day_of_the_same_content_continues(tmp_path: Path) -> None:
    stored = state(tmp_path)
    assert to_continue(stored, game_day(tmp_path), NOW + 60) is stored


@pytest.mark.parametrize("values", [{"finished": True}, {"digest": "sha256:other"}, {"started": NOW + 3600}])
def test_other_states_do_not_continue(tmp_path: Path, values: dict[str, object]) -> None:
    assert to_continue(state(tmp_path, **values), game_day(tmp_path), NOW + 60) is None


def test_day_continues_within_a_day_or_its_window(tmp_path: Path) -> None:
    stored, found = state(tmp_path), game_day(tmp_path)
    assert to_continue(stored, found, NOW + CONTINUES) is stored
    assert to_continue(stored, found, NOW + CONTINUES + 1) is None
    assert to_continue(stored, found, NOW + 3601, until=NOW + 3600) is None


def test_stored_state_is_read_again(tmp_path: Path) -> None:
    store = DayStore(tmp_path, "friday")
    assert store.load() is None
    stored = state(tmp_path, runs=["run1"])
    store.save(stored)
    assert store.load() == stored


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "friday"}'])
def test_unreadable_state_starts_from_the_beginning(tmp_path: Path, text: str) -> None:
    store = DayStore(tmp_path, "friday")
    store.file.parent.mkdir()
    store.file.write_text(text)
    notes: list[str] = []
    assert store.load(notes.append) is None
    (note,) = notes
    assert note.startswith(f"{store.file}: not the state of a game day")


@pytest.mark.parametrize(
    ("values", "later", "why"),
    [
        ({"digest": "sha256:other"}, 60, "its file was changed"),
        ({"started": NOW + 3600}, 60, "it started at 2023-11-14T23:13:20.000Z, which is later than now"),
        ({"context": "staging"}, 60, "it ran on the cluster staging"),
        ({}, CONTINUES + 60, "it started at 2023-11-14T22:13:20.000Z, more than 24 h ago"),
    ],
)
def test_why_a_day_does_not_continue_is_noted(
    tmp_path: Path, values: dict[str, object], later: float, why: str
) -> None:
    notes: list[str] = []
    stored = state(tmp_path, runs=["r1"], **values)
    assert to_continue(stored, game_day(tmp_path), NOW + later, context="production", note=notes.append) is None
    assert notes == [f"the interrupted game day of run r1 does not continue: {why}"]


@pytest.mark.parametrize("context", [None, "staging"])
def test_day_continues_on_its_cluster(tmp_path: Path, context: str | None) -> None:
    stored = state(tmp_path, context="staging")
    assert to_continue(stored, game_day(tmp_path), NOW + 60, context=context) is stored


def test_finished_day_needs_no_note(tmp_path: Path) -> None:
    notes: list[str] = []
    assert to_continue(state(tmp_path, finished=True), game_day(tmp_path), NOW, note=notes.append) is None
    assert notes == []


@pytest.mark.parametrize("what", ["gamedays", "gamedays/friday.lock/x"], ids=["folder", "lock"])
def test_folder_that_cannot_be_written_is_one_problem(tmp_path: Path, what: str) -> None:
    blocked = tmp_path / what
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.touch()
    with (
        pytest.raises(InputError, match=r"the state of the game day cannot be stored: .*expected a folder"),
        DayStore(tmp_path, "friday").alone(),
    ):
        pass


def test_second_day_of_the_same_name_is_refused(tmp_path: Path) -> None:
    store = DayStore(tmp_path, "friday")
    store.save(state(tmp_path, runs=["run1"]))
    with store.alone():
        with (
            pytest.raises(InputError, match=r"friday is running already \(run run1\)"),
            DayStore(tmp_path, "friday").alone(),
        ):
            pass
        with DayStore(tmp_path, "monday").alone():
            pass
    with store.alone():
        pass
