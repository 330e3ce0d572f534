"""The plan: everything wrong with it at once, and a pool that an outage cannot exhaust."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.load.catalogue import Catalogue
from harness.load.plan import MAX_WORKERS, MIN_WORKERS, LoadPlan, Settings

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


def test_everything_wrong_is_told_at_once() -> None:
    bad = replace(PLAN, rate=0.0, host="", port=70_000, max_seconds=float("inf"), workers=0, options={"paths": "/"})
    with pytest.raises(InputError) as caught:
        bad.settings()
    assert [problem.field for problem in caught.value.problems] == [
        *("load.rate", "load.host", "load.port", "load.max_seconds", "load.workers"),
        "options.paths",
    ]


def test_settings_survive_their_way_into_the_process() -> None:
    settings = PLAN.settings()
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    assert settings.options["path"] == "/shop"


def test_there_are_workers_enough_for_every_request_to_time_out_at_the_peak_rate() -> None:
    assert PLAN.settings().workers == 50 * (1 + 3) + MIN_WORKERS
    assert replace(PLAN, rate=100_000.0).settings().workers == MAX_WORKERS
    assert replace(PLAN, workers=2).settings().workers == 2


def test_the_users_behaviour_stands_before_the_shipped_one(tmp_path: Path) -> None:
    file = tmp_path / "http.py"
    file.write_text(
        "from harness.load.behaviour import Behaviour\n"
        "class Mine(Behaviour):\n    def arrive(self, client, number): client.request('GET', '/')\n"
    )
    assert replace(PLAN, folders=[tmp_path], options={}).settings().behaviour_file == file
