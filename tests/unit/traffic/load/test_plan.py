"""The plan: everything wrong with it at once, and a pool that an outage cannot exhaust."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.traffic.load import plan as module
from harness.traffic.load.catalogue import Catalogue, load_behaviour
from harness.traffic.load.plan import MAX_POOL, MIN_POOL, LoadPlan, Settings
from harness.traffic.load.replay.declaration import Replay
from harness.traffic.load.replay.recording import read_recording

PLAN = LoadPlan(
    profile=Catalogue().profile("steady"),
    rate=50.0,
    behaviour="http",
    options={"path": "/shop", "connectTimeout": "1s", "readTimeout": "3s"},
    host="198.18.0.1",
    port=30080,
    run="r1",
    experiment="pod-kill",
    namespace="rh-pod-kill-r1",
    max_seconds=60.0,
)


def test_all_mistakes_are_listed_at_once() -> None:
    bad = replace(PLAN, rate=0.0, host="", port=70_000, max_seconds=float("inf"), workers=0, options={"paths": "/"})
    bad = replace(bad, pool=0)
    with pytest.raises(InputError) as caught:
        bad.settings()
    assert [problem.field for problem in caught.value.problems] == [
        *("load.rate", "load.host", "load.port", "load.max_seconds", "load.pool", "load.workers"),
        "options.paths",
    ]


def test_settings_survive_the_round_trip_to_the_process() -> None:
    settings = PLAN.settings()
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    assert settings.options["path"] == "/shop"


def test_pool_suffices_if_every_request_times_out_at_peak_rate() -> None:
    assert PLAN.settings().pool == 50 * (1 + 3) + MIN_POOL
    assert replace(PLAN, rate=100_000.0).settings().pool == MAX_POOL
    assert replace(PLAN, workers=4).settings().pool == 50 + MIN_POOL
    assert replace(PLAN, pool=2).settings().pool == 2


def test_the_users_behaviour_stands_before_the_shipped_one(tmp_path: Path) -> None:
    file = tmp_path / "http.py"
    file.write_text(
        "from harness.traffic.load.behaviour import Behaviour\n"
        "class Mine(Behaviour):\n    def arrive(self, client, number): client.request('GET', '/')\n"
    )
    assert replace(PLAN, folders=[tmp_path], options={}).settings().behaviour_file == file


LINE = '10.0.0.7 - - [10/Oct/2025:13:55:01 +0200] "GET / HTTP/1.1" 200 5\n'


def replayed(folder: Path, text: str) -> Settings:
    (folder / "access.log").write_text(text)
    return replace(PLAN, options={}, replay=Replay(file=str(folder / "access.log"), speed=3)).settings()


def test_a_replay_has_the_pool_of_its_busiest_second(tmp_path: Path) -> None:
    assert replayed(tmp_path, LINE * 40).pool == 40 * 3 * (2 + 2) + MIN_POOL


def test_settings_of_another_machine_find_the_files_there(tmp_path: Path) -> None:
    settings = replayed(tmp_path, LINE * 2)
    there = tmp_path / "there"
    there.mkdir()
    for name, text in settings.files().items():
        (there / name).write_text(text)
    moved = settings.moved(there)
    (tmp_path / "access.log").unlink()
    assert moved.behaviour_file.parent == there
    behaviour = load_behaviour(moved.behaviour_file).model_validate(moved.options)
    assert behaviour.model_dump(mode="json")["recording"]["file"] == str(there / "recording")
    assert len(read_recording(moved.replay).requests) == 2
    assert PLAN.settings().moved(there).options == PLAN.settings().options


def test_a_recording_too_large_to_send_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replayed(tmp_path, LINE)
    monkeypatch.setattr(module, "MAX_SENT", 10)
    with pytest.raises(InputError, match="replay from pods"):
        settings.files()
