"""The parts of a game day are checked together with its experiments, and all problems are reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.experiment.phases import Length
from harness.experiment.sources import Sources
from harness.gameday.part_problems import part_problems
from tests.unit.gameday.fake_day import FakeDay

LOAD = "load: {namespace: shop, target: service/shop, rate: 5/s, behaviour: htpp}\n"


def test_all_problems_of_the_parts_are_reported(tmp_path: Path) -> None:
    fake = FakeDay(tmp_path, "windows: {allow: ['Mon 09:00-10:00']}\n" + LOAD)
    experiment = fake.day.turns[0].experiment
    sources, now = Sources.for_root(tmp_path), fake.clock.wall()
    found = part_problems(fake.day.game_day, [experiment], sources, now)
    assert [(problem.field, problem.line) for problem in found] == [("load.behaviour", 7)]
    short = FakeDay(tmp_path, "windows: {allow: ['Mon 09:00-09:01']}\n" + LOAD)
    long = experiment.phases.model_copy(update={"fault": Length.of(60.0)})
    found = part_problems(short.day.game_day, [replace(experiment, phases=long)], sources, now)
    assert [problem.field for problem in found] == ["windows", "load.behaviour"]
    assert "is never open for 67 s" in found[0].message
