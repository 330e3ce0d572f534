"""``--load-scale``: every rate is multiplied, and whoever reads the load sees by how much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.common.errors import InputError
from harness.engine.plan.plan import plan
from harness.engine.plan.text import render
from harness.engine.recording import load_record
from harness.engine.steps.run import environment, header
from harness.experiment.load import Load
from harness.judging.sample_sizes import sample_sizes
from harness.model.timeline import Timeline
from harness.traffic.load.catalogue import Catalogue
from tests.fake_run import EXPERIMENT, Stage

LOADED = EXPERIMENT.replace(
    "objectives:\n",
    "load: {rate: 50/s, target: service/shop}\nobjectives:\n  - availability: {min: 90%, phases: [fault]}\n",
)


def load(**fields: Any) -> Load:
    return Load.model_validate({"target": "service/shop", **fields})


@pytest.mark.parametrize(
    ("fields", "described"),
    [
        ({"rate": "50/s"}, "steady at 25/s (scaled by 0.5)"),
        ({"replay": {"file": "a.log", "speed": 4}}, "replay of a.log at 2× speed, 100% (scaled by 0.5)"),
        ({"locustfile": "shop.py", "users": 9}, "shop.py: 4 users (scaled by 0.5)"),
        ({"locustfile": "shop.py", "users": 1}, "shop.py: 1 users (scaled by 0.5)"),
        ({"locustfile": "shop.py", "rate": 8}, "shop.py: steady at 4/s (scaled by 0.5)"),
    ],
)
def test_load_is_scaled_and_its_description_shows_it(fields: dict[str, Any], described: str) -> None:
    scaled = load(**fields).scaled(0.5)
    assert scaled.described == described
    assert scaled.scale == 0.5
    assert scaled.located(Path("/project")).scale == 0.5


def test_users_start_as_much_faster_as_there_are_more() -> None:
    scaled = load(locustfile="shop.py", users=30, spawnRate=5).scaled(2)
    assert (scaled.users, scaled.spawn_rate) == (60, 10)
    assert scaled.ramp_up == load(locustfile="shop.py", users=30, spawnRate=5).ramp_up


def test_factor_of_one_changes_nothing() -> None:
    one = load(rate=50)
    assert one.scaled(1.0) is one
    assert one.described == "steady at 50/s"


@pytest.mark.parametrize(
    ("fields", "factor", "message"),
    [
        ({"locustfile": "shop.py", "shape": "Wave"}, 0.5, "load.shape: found --load-scale=0.5 with a shape"),
        ({"locustfile": "shop.py", "users": 50}, 100, "load.users: found 5000 users with --load-scale=100"),
    ],
)
def test_load_that_cannot_be_scaled_is_refused(
    fields: dict[str, Any], factor: float, message: str, tmp_path: Path
) -> None:
    experiment = replace(Stage(tmp_path).experiment(), load=load(**fields))
    with pytest.raises(InputError) as caught:
        experiment.scaled(factor)
    assert message in str(caught.value)
    assert "one-killed.yaml" in str(caught.value)


def test_forecast_counts_the_scaled_requests(tmp_path: Path) -> None:
    experiment = Stage(tmp_path).experiment(LOADED)
    (whole,), (half,) = (list(sample_sizes(experiment.scaled(factor), Catalogue())) for factor in (1.0, 0.5))
    assert (whole.given, half.given) == (100, 50)


def test_plan_and_header_show_the_factor(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    run = replace(stage.run(), load_scale=0.5)
    shown = render(plan(run, stage.experiment(LOADED).scaled(0.5)))
    assert "at most 25/s for" in shown
    assert "(scaled by 0.5)" in shown
    assert header(run, environment(stage.cluster, None)).endswith("seed 1; the rate of every load × 0.5")


def test_record_has_the_factor() -> None:
    record = load_record(load(rate=50).scaled(0.5), Timeline(0, 0))
    assert (record.profile, record.scale) == ("steady at 25/s (scaled by 0.5)", 0.5)
