"""A day that continues has the responses and the background load of its earlier runs."""

from __future__ import annotations

from pathlib import Path

from harness.gameday.earlier import carried
from harness.gameday.response import Response
from harness.gameday.response_rule import ResponseTimes
from harness.results.game_day_record import GameDayRecord
from harness.results.game_day_response import ResponseRecord
from harness.results.record import RunRecord
from harness.results.reporting.store import RunStore
from tests.unit.gameday.fake_day import FakeDay


def _stored(root: Path, run: str, day: GameDayRecord | None) -> None:
    record = RunRecord(run=run, started="", finished="x", seed=1, harness="0", game_day=day)
    (root / "reports" / run).mkdir(parents=True)
    RunStore(root / "reports" / run).write(record)


def test_responses_of_an_earlier_run_are_kept(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path)
    response = ResponseRecord(experiment="one", injected="2026-01-05T10:00:00.000Z")
    _stored(tmp_path, "run0", GameDayRecord(name="friday", responses=[response]))
    record = GameDayRecord(name="friday", runs=["run-killed", "run0", "run1"])
    assert fake.day.folder.name == "run1"
    ResponseTimes(Response()).after_day(fake.day, record)
    assert record.responses == [response]


def test_first_run_of_a_day_carries_nothing(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path)
    _stored(tmp_path, "other", None)
    assert carried(fake.day, ["run1"]) is None
    assert carried(fake.day, ["other", "run1"]) is None
