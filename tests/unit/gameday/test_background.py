"""The background load of a game day: guarded, started once, summarised at the end, and its failure is a finding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.cluster.kube.resources import NAMESPACES
from harness.common.documents import Document
from harness.common.errors import Inconclusive
from harness.gameday import background_rule
from harness.gameday.background import Background, background_problems
from harness.gameday.rules import Action, DayRule, rules_for
from harness.model.requests import Requests, RequestSample
from harness.model.timeline import LoadSummary
from harness.model.verdict import Verdict
from harness.results.game_day_record import GameDayRecord
from harness.traffic.load.catalogue import Catalogue
from tests.unit.gameday.fake_day import FakeDay

LOAD = "load: {namespace: shop, target: 'service/shop:http', rate: 5/s}\n"


class FakeLoad:
    """Records what it was started with; ``dies`` is why it fails, ``unreachable`` why it does not become ready."""

    started: list[FakeLoad]
    unreachable = ""

    def __init__(self, run: Any, title: str, namespace: str, load: Any, **rest: Any) -> None:
        del run
        self.what = (title, namespace, str(load.target), load.rate, load.from_)
        self.rest, self.dies, self.stopped, self.phases = rest, "", 0, list[str]()
        FakeLoad.started.append(self)

    def wait_ready(self, seconds: float, *, scraped: bool) -> None:
        assert not scraped, "it would create a Service in an existing namespace"
        if FakeLoad.unreachable:
            raise Inconclusive(FakeLoad.unreachable)

    def phase(self, name: str, at: float) -> None:
        self.phases.append(name)

    def failure(self) -> str | None:
        return self.dies or None

    def requests(self, origin: float) -> Requests:
        return Requests(RequestSample(n, n, n + 0.2, n > 0, "ok" if n else "503", "GET /") for n in range(4))

    def stop(self) -> LoadSummary:
        self.stopped += 1
        return LoadSummary(offered=4, achieved=4, failed=1)


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> list[FakeLoad]:
    FakeLoad.started, FakeLoad.unreachable = [], ""
    monkeypatch.setattr(background_rule, "TargetLoad", FakeLoad)
    return FakeLoad.started


def _day(root: Path, *, opted_in: bool = True) -> tuple[FakeDay, DayRule]:
    fake = FakeDay(root, LOAD)
    labels = {"resilience.harness/opt-in": "true"} if opted_in else {}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}}
    fake.run.cluster.api.create(NAMESPACES, namespace)
    return fake, rules_for(fake.day.game_day)[-1]


def test_load_runs_from_the_first_experiment_to_the_end(tmp_path: Path, loads: list[FakeLoad]) -> None:
    fake, rule = _day(tmp_path)
    for turn in fake.day.turns:
        assert rule.before_experiment(fake.day, turn).action is Action.GO
        fake.clock.advance(60)
    [load] = loads
    assert load.what == ("game day friday", "shop", "service/shop:http", 5.0, "machine")
    assert load.phases == ["baseline"]
    record = GameDayRecord(name="friday", verdict=Verdict.HELD)
    rule.after_day(fake.day, record)
    assert load.stopped == 1
    [found] = record.background
    assert (found.run, found.namespace, found.failure) == ("run1", "shop", "")
    assert (found.load.offered, found.load.failed, found.load.outcomes) == (4, 1, {"ok": 3, "503": 1})
    assert found.load.latency["baseline"]["max"] == pytest.approx(0.2)
    assert record.verdict is Verdict.HELD


def test_load_scale_applies_to_the_background_load(tmp_path: Path, loads: list[FakeLoad]) -> None:
    fake, rule = _day(tmp_path)
    fake.run = replace(fake.run, load_scale=0.5)
    assert rule.before_experiment(fake.day, fake.day.turns[0]).action is Action.GO
    assert loads[0].what[3] == 2.5
    rule.after_day(fake.day, record := GameDayRecord(name="friday"))
    assert (record.background[0].load.profile, record.background[0].load.scale) == (
        "steady at 2.5/s (scaled by 0.5)",
        0.5,
    )


def test_background_load_that_is_scaled_too_far_is_refused(tmp_path: Path, loads: list[FakeLoad]) -> None:
    fake, rule = _day(tmp_path)
    fake.run = replace(fake.run, load_scale=21)
    answer = rule.before_experiment(fake.day, fake.day.turns[0])
    assert answer.action is Action.ABORT
    assert "found 105/s with --load-scale=21, expected at most 100/s" in answer.reason
    assert loads == []


def test_failed_load_is_a_finding_and_the_day_goes_on(tmp_path: Path, loads: list[FakeLoad]) -> None:
    fake, rule = _day(tmp_path)
    rule.before_experiment(fake.day, fake.day.turns[0])
    loads[0].dies = "load: the process ended with exit code 9"
    assert rule.before_experiment(fake.day, fake.day.turns[1]).action is Action.GO
    assert fake.said == ["background load failed: load: the process ended with exit code 9"]
    record = GameDayRecord(name="friday", verdict=Verdict.HELD)
    rule.after_day(fake.day, record)
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "exit code 9" in record.reason
    assert "exit code 9" in record.background[0].failure
    broken = GameDayRecord(name="friday", verdict=Verdict.BROKEN)
    rule.after_day(fake.day, broken)
    assert broken.verdict is Verdict.BROKEN


def test_namespace_that_has_not_opted_in_is_refused(tmp_path: Path, loads: list[FakeLoad]) -> None:
    fake, rule = _day(tmp_path, opted_in=False)
    answer = rule.before_experiment(fake.day, fake.day.turns[0])
    assert answer.action is Action.ABORT
    assert "namespace shop has not opted in" in answer.reason
    assert loads == []


def test_unreachable_target_aborts_and_stops_the_load(tmp_path: Path, loads: list[FakeLoad]) -> None:
    fake, rule = _day(tmp_path)
    FakeLoad.unreachable = "no response from shop"
    answer = rule.before_experiment(fake.day, fake.day.turns[0])
    assert answer.action is Action.ABORT
    assert "cannot be started: no response from shop" in answer.reason
    assert loads[0].stopped == 1
    record = GameDayRecord(name="friday")
    rule.after_day(fake.day, record)
    assert record.background == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"target": "service/shop", "rate": 5}, "namespace is missing"),
        ({"target": "http://shop.test", "namespace": "shop", "rate": 5}, "found namespace with a URL"),
        ({"target": "service/shop", "namespace": "shop", "rate": 101}, "less than or equal to 100"),
        ({"target": "service/shop", "namespace": "shop"}, "Field required"),
    ],
)
def test_invalid_background_load_is_refused(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        Background.model_validate(fields)


def test_unknown_behaviour_is_a_problem_of_its_field() -> None:
    document = Document(Path("friday.yaml"), {}, {("load",): 6})
    fields = {"target": "service/shop", "namespace": "shop", "rate": 5}
    assert background_problems(Background.model_validate(fields), Catalogue(), document) == []
    wrong = Background.model_validate({**fields, "behaviour": "htpp"})
    [problem] = background_problems(wrong, Catalogue(), document)
    assert (problem.field, problem.line) == ("load.behaviour", 6)
    assert "htpp" in problem.message
