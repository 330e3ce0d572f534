"""Several loads at once: each has its own requests, objectives and record."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.engine.plan.plan import plan
from harness.engine.plan.text import render
from harness.engine.preflight.requirements import permissions
from harness.engine.runner import Runner
from harness.engine.steps import arm as arms
from harness.engine.steps import load as load_step
from harness.engine.steps.credentials import check_secrets
from harness.model.history import History
from harness.model.request_store import RequestStore
from harness.model.timeline import LoadSummary
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, RunRecord
from harness.results.reporting import html
from tests.fake_plugin import kinds
from tests.fake_run import EXPERIMENT, Stage

TWO = """\
loads:
  browse: {rate: 20/s, target: service/shop, options: {path: /a}}
  buy: {rate: 5/s, profile: step, target: service/shop, options: {path: /b}}
objectives:
  - availability: {min: 50%, load: browse}
  - availability: {min: 50%, load: buy}
  - errorRate: {max: 60%}
"""
KILL = "podKill: {selector: app=shop, count: 1}"
LOADED = EXPERIMENT[: EXPERIMENT.index("objectives:")].replace(KILL, "mark: {}") + TWO


class FakeLoad:
    """Sends a request every 50 ms of the fake clock; those of the loads in ``failing`` fail."""

    started: ClassVar[list[FakeLoad]]
    failing: ClassVar[set[str]]
    dies: ClassVar[dict[str, str]]

    def __init__(self, run: Any, title: str, namespace: str, load: Any, **rest: Any) -> None:
        self.clock, self.name, self.rest, self.phases = run.clock, rest["name"], rest, list[str]()
        self.read_until = run.clock.monotonic()
        FakeLoad.started.append(self)

    def __enter__(self) -> FakeLoad:
        return self

    def __exit__(self, *_: object) -> None: ...

    def wait_ready(self, seconds: float, *, scraped: bool = True) -> None: ...

    def phase(self, name: str, at: float) -> None:
        self.phases.append(name)

    def failure(self) -> str | None:
        return self.dies.get(self.name)

    def read_into(self, store: RequestStore, source: int) -> None:
        good, rows = self.name not in self.failing, []
        while self.read_until + 0.05 < self.clock.monotonic():
            at = self.read_until = self.read_until + 0.05
            rows.append((at, at, at + 0.01, good, "ok" if good else "503", "GET /", ""))
        store.append(rows, source)

    def history(self, origin: float, error: float) -> History:
        return History()

    def stop(self) -> LoadSummary:
        return LoadSummary(offered=100, achieved=100, notes=[f"of {self.name}"])


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    FakeLoad.started, FakeLoad.failing, FakeLoad.dies = [], set(), {}
    monkeypatch.setattr(arms, "TargetLoad", FakeLoad)
    monkeypatch.setattr("harness.experiment.registry.faults", kinds()["faults"])
    return Stage(tmp_path)


def play(stage: Stage) -> ExperimentRecord:
    return Runner(stage.run(), stage.experiment(LOADED), "one").run()


def test_each_load_is_judged_by_its_own_objectives(stage: Stage) -> None:
    FakeLoad.failing = {"buy"}
    record = play(stage)
    assert record.verdict is Verdict.INCONCLUSIVE, "the baseline of the load that fails does not hold"
    assert "availability at least 50% (load buy): 0 of" in record.reason
    found = {each.title: each.verdict for each in record.baseline}
    assert found["availability at least 50% (load browse)"] is Verdict.HELD
    assert found["error rate at most 60%"] is Verdict.HELD, "half of all requests fail"


def test_loads_that_serve_all_hold(stage: Stage) -> None:
    record = play(stage)
    assert record.verdict is Verdict.HELD
    assert [load.rest["name"] for load in FakeLoad.started] == ["browse", "buy"]
    assert all(load.phases == ["baseline", "fault", "recovery", "settle"] for load in FakeLoad.started)
    assert [load.rest["folder"].name for load in FakeLoad.started] == ["load-browse", "load-buy"]
    samples = {each.title: each.samples or 0 for each in record.objectives}
    parts = [count for title, count in samples.items() if "load" in title]
    assert samples["error rate at most 60%"] == sum(parts)
    assert parts[0] == parts[1] > 50


def test_record_and_report_have_every_load(stage: Stage) -> None:
    record = play(stage)
    assert record.load is None
    assert [(load.name, load.profile, load.achieved) for load in record.loads] == [
        ("browse", "steady at 20/s", 100),
        ("buy", "step at 5/s", 100),
    ]
    assert [load.outcomes.keys() for load in record.loads] == [{"ok"}, {"ok"}]
    assert stage.stored().loads == record.loads
    page = html.render(RunRecord(run="r", started="2026-01-01T00:00:00Z", seed=1, harness="0", experiments=[record]))
    assert "Load <bdi>browse</bdi>" in page
    assert "step at 5/s" in page


def test_load_that_dies_is_named(stage: Stage) -> None:
    FakeLoad.dies = {"buy": "load: the process ended with exit code 9"}
    record = play(stage)
    assert record.reason.startswith("buy: load: the process ended with exit code 9")


def test_plan_shows_every_load_and_its_forecast(stage: Stage) -> None:
    shown = render(plan(stage.run(), stage.experiment(LOADED)))
    assert "load browse: http to service/shop" in shown
    assert "load buy: http to service/shop" in shown
    assert "profile step: at most 5/s" in shown


def test_scale_applies_to_every_load(stage: Stage) -> None:
    scaled = stage.experiment(LOADED).scaled(2)
    assert [load.rate for load in scaled.every_load.values()] == [40, 10]


def test_missing_variable_is_reported_with_its_load(stage: Stage) -> None:
    text = LOADED.replace("{path: /b}", '{path: /b, headers: {X: "${env:NOT_SET}"}}')
    with pytest.raises(Exception, match=r"loads\.buy\.options: .*NOT_SET"):
        check_secrets(stage.experiment(text), {})


def test_permissions_are_those_of_all_loads(stage: Stage) -> None:
    text = LOADED.replace("buy: {rate", "buy: {from: cluster, rate")
    assert permissions(stage.experiment(text)) >= load_step.CLUSTER_PERMISSIONS
    assert not permissions(stage.experiment(LOADED)) >= load_step.CLUSTER_PERMISSIONS
