"""Early stops: only when an objective is beyond saving for certain, at once, and never HELD after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from harness.experiment.abort import AbortCondition
from harness.experiment.declaration import Experiment
from harness.experiment.load import Load
from harness.experiment.manifests import Workload
from harness.experiment.phases import Length, Phases
from harness.judging.early_stop import EarlyStop
from harness.judging.judge import judge, sharing_confidence
from harness.model.request_store import Bools, Floats, RequestStore
from harness.model.requests import Requests
from harness.model.timeline import Stop
from harness.model.verdict import Verdict
from harness.objectives.availability import Availability
from harness.objectives.base import LiveObjective
from harness.objectives.error_rate import ErrorRate
from harness.objectives.invariant import Invariant
from harness.objectives.latency import Latency
from harness.objectives.replicas import Replicas
from harness.objectives.restarts import Restarts
from harness.traffic.load.profile import Profile
from tests.fake_plugin import Mark, Told
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
STEADY = Profile.model_validate({"metadata": {"name": "steady"}, "phases": {"baseline": [{"at": 0, "share": 1}]}})
PHASES = Phases(baseline=10, fault=Length.of(10), recovery=30, settle=5)


def experiment(*objectives: Any, abort: tuple[AbortCondition, ...] = (), faults: tuple[Any, ...] = ()) -> Experiment:
    load = Load(rate=20, target="service/podinfo")
    workload = Workload(Path(), (), ())
    return Experiment(
        "x", "it holds", workload, objectives, Path("x.yaml"), load=load, phases=PHASES, abort=abort, faults=faults
    )


def at_15(failing: tuple[float, float] = (0, 0)) -> Story:
    """Five seconds into the fault; requests at 20 a second."""
    return Story(recovery=0, settle=0).requests(0, 15, failing=failing)


def look(story: Story, *objectives: Any, now: float = 15.0, left: float = 5.0) -> Stop | None:
    return EarlyStop(experiment(*objectives), story.timeline, {"": STEADY}).look(now, left)


def test_budget_of_a_load_counts_only_its_requests() -> None:
    """200 requests of each load are due by the end of the fault, of which 20 may fail: 40 of the first one did."""
    rows = [(at / 20, at / 20, at / 20 + 0.01, at < 200, "ok", "GET /", "") for at in range(240)]
    store = RequestStore()
    store.append(rows, 0)
    store.append([(*row[:3], True, *row[4:]) for row in rows], 1)
    story = Story(recovery=0, settle=0)
    story.timeline.requests, story.timeline.loads = Requests.of(store, 0.0), {"one": None, "two": None}
    loads = {name: Load(rate=20, target="service/podinfo") for name in ("one", "two")}

    def look_at(**fields: Any) -> Stop | None:
        objective = Availability(min="90%", abortOnBreach=True, phases=("fault",), **fields)
        declared = replace(experiment(objective), load=None, loads=loads)
        return EarlyStop(declared, story.timeline, dict.fromkeys(loads, STEADY)).look(12.0, 8.0)

    stop = look_at(load="one")
    assert stop is not None
    assert "(load one): 40 of 40 requests so far" in stop.reason
    assert look_at(load="two") is None
    assert look_at() is None, "of 400 requests of both loads 40 may fail"


def test_a_spent_budget_ends_the_fault() -> None:
    """960 requests are due at most: 1 % of them is soon spent."""
    stop = look(at_15(failing=(11, 15)), Availability(min="99%", abortOnBreach=True))
    assert stop is not None
    assert stop.by == "objective"
    assert stop.reason.startswith("availability at least 99%: 80 of 100 requests so far count against it, and even if ")


@pytest.mark.parametrize(("minimum", "failing"), [("99%", (14.8, 15)), ("90%", (12, 15)), ("50%", (10, 15))])
def test_recoverable_objective_does_not_stop_the_run(minimum: str, failing: tuple[float, float]) -> None:
    """A bound on the requests so far would say BROKEN in each of these cases, and the whole run need not be."""
    assert look(at_15(failing), Availability(min=minimum, abortOnBreach=True)) is None


def test_an_objective_about_the_fault_alone_has_a_smaller_budget() -> None:
    story = at_15(failing=(12, 15))
    assert look(story, Availability(min="90%", abortOnBreach=True)) is None
    assert look(story, Availability(min="90%", phases=["fault"], abortOnBreach=True)) is not None
    assert look(story, Availability(min="90%", phases=["settle"], abortOnBreach=True)) is None


def test_only_objectives_with_abort_on_breach_are_checked() -> None:
    story = at_15(failing=(11, 15))
    assert look(story, Availability(min="99%")) is None
    assert not EarlyStop(experiment(Availability(min="99%")), story.timeline, {"": STEADY}).enabled


@pytest.mark.parametrize(
    ("objective", "story"),
    [
        (ErrorRate(max="1%", abortOnBreach=True), at_15(failing=(11, 15))),
        (
            Latency(share="99%", below="200ms", abortOnBreach=True),
            Story(recovery=0, settle=0).requests(10, 15, took=0.5),
        ),
        (
            Invariant(of=PODINFO, available=">= 2", abortOnBreach=True),
            at_15().add("workloads", PODINFO, 12.0, {"available": 1}),
        ),
        (
            Replicas(of=PODINFO, neverAbove=3, abortOnBreach=True),
            at_15().add("workloads", PODINFO, 12.0, {"ready": 3, "replicas": 4}),
        ),
        (
            Restarts(of=PODINFO, max=0, abortOnBreach=True),
            at_15().injected(10.0).pod(1.0, "a", "a").pod(12.0, "a", "a", restarts=1),
        ),
    ],
    ids=lambda each: getattr(each, "kind", ""),
)
def test_every_kind_that_can_be_broken_meanwhile_is(objective: LiveObjective, story: Story) -> None:
    stop = look(story, objective)
    assert stop is not None
    assert look(at_15().injected(10.0), objective) is None


def variant(story: Story, *objectives: Any, **fields: Any) -> Stop | None:
    """Look at 20 s, when the fault is over, with these fields of a twin or a mutant."""
    declared = replace(experiment(*objectives), **fields)
    return EarlyStop(declared, story.timeline, {"": STEADY}).decided(20.0)


AVAILABLE, READY = Availability(min="99%"), Invariant(of=PODINFO, available=">= 2")


@pytest.mark.parametrize(
    ("fields", "stops"),
    [
        ({}, False),
        ({"twin": "slow", "breaks": ("availability",)}, True),
        ({"twin": "slow", "breaks": (READY.title,)}, False),
        ({"twin": "slow", "breaks": ("availability", "invariant")}, False),
        ({"mutant": "replicas-1"}, True),
    ],
    ids=["experiment", "broken", "not broken", "one of two", "mutant"],
)
def test_variant_ends_once_all_that_it_breaks_is_broken(fields: dict[str, Any], stops: bool) -> None:
    story = at_15(failing=(11, 15)).injected(10.0)
    stop = variant(story, AVAILABLE, READY, **fields)
    assert (stop is not None) == stops
    if stop:
        assert (stop.by, stop.reason) == ("variant", f"BROKEN for certain: {AVAILABLE.title}")


def test_variant_does_not_end_before_its_fault_is_proven() -> None:
    fields: dict[str, Any] = {"twin": "slow", "breaks": ("availability",)}
    assert variant(at_15(failing=(11, 15)), AVAILABLE, **fields) is None
    assert variant(at_15(failing=(11, 15)).injected(10.0, proven=False), AVAILABLE, **fields) is None


def test_variant_is_looked_at_once_a_second() -> None:
    story = at_15(failing=(11, 15))
    declared = replace(experiment(AVAILABLE), twin="slow", breaks=("availability",))
    stop = EarlyStop(declared, story.timeline, {"": STEADY})
    assert stop.look(12.0, 8.0) is None
    story.injected(10.0)
    assert stop.look(12.9, 7.1) is None
    assert stop.look(13.0, 7.0) is not None


@settings(deadline=None, max_examples=40)
@given(
    minimum=some.sampled_from(["99.9%", "99%", "95%", "80%"]),
    down=some.floats(0.1, 5.0),
    rest=some.floats(1.0, 35.0),
    others=some.integers(0, 2),
)
def test_stopped_objective_is_broken_in_the_end(minimum: str, down: float, rest: float, others: int) -> None:
    """Whatever follows is good: the verdict of the whole run, at the shared confidence, must still be BROKEN."""
    objectives = [Availability(min=minimum, abortOnBreach=True), *(ErrorRate(max="50%") for _ in range(others))]
    story = Story().requests(0, 10 + down, failing=(10, 10 + down))
    if look(story, *objectives, now=10 + down, left=10 - down) is None:
        return
    story.requests(10 + down, min(55.0, 10 + down + rest)).load()
    assert sharing_confidence(objectives)[0].judge(story.timeline).verdict is BROKEN


def test_every_request_is_read_once() -> None:
    read: list[int] = []

    class Counting(Availability):
        def counts_against(self, requests: Requests, took: Floats) -> Bools:
            read.append(len(requests))
            return super().counts_against(requests, took)

    story = at_15(failing=(11, 15))
    stop = EarlyStop(experiment(Counting(min="99%", abortOnBreach=True)), story.timeline, {"": STEADY})
    for now in (15.0, 15.0, 16.0):
        stop.look(now, 20.0 - now)
        story.requests(now, now + 1)
    assert read == [100, 20, 20]


CONDITION = AbortCondition(name="errors", query="sum(errors)", above=5, **{"for": "2s"})


def asked(*seen: tuple[float, float | str | None]) -> Story:
    """Answers to the condition: a value, an error, or nothing selected."""
    story = at_15()
    for at, value in seen:
        if isinstance(value, str):
            story.error("abort", "errors", at, value)
        else:
            story.add("abort", "errors", at, {"values": [] if value is None else [value]})
    return story


@pytest.mark.parametrize(
    ("seen", "met"),
    [
        ([], "errors could not be read for 15 s: no answer"),
        ([(11.0, 9.0), (12.0, 9.0)], ""),
        ([(11.0, 9.0), (12.0, 9.0), (13.0, 9.0)], "errors was 9, above 5 for 2 s"),
        ([(11.0, 9.0), (12.0, 5.0), (13.0, 9.0)], ""),
        ([(11.0, 9.0), (12.0, None), (13.0, 9.0)], ""),
        ([(11.0, 9.0), (12.0, "away"), (13.0, 9.0)], "errors was 9, above 5 for 2 s"),
        ([(1.0, 1.0), (4.0, "away"), (14.0, "away")], "errors could not be read for 14 s: away"),
        ([(1.0, "away")], "errors could not be read for 14 s: away"),
    ],
)
def test_abort_condition_is_met_if_it_lasts_or_cannot_be_read(seen: list[Any], met: str) -> None:
    assert CONDITION.met(asked(*seen).timeline, 15.0) == met


def test_the_first_answer_may_take_its_time() -> None:
    assert CONDITION.met(asked().timeline, 9.0) == ""


def test_missing_data_may_be_set_to_continue() -> None:
    careless = CONDITION.model_copy(update={"no_data": "continue"})
    assert careless.met(asked((1.0, "away")).timeline, 15.0) == ""


def test_below_is_the_other_side() -> None:
    condition = AbortCondition(name="errors", query="x", below=1)
    assert condition.met(asked((11.0, 0.5)).timeline, 12.0) == "errors was 0.5, below 1"
    assert condition.met(asked((11.0, 1.0)).timeline, 12.0) == ""


def stopped(by: str, *says: Verdict) -> tuple[Verdict, str, bool]:
    story = Story().injected(10.0)
    story.timeline.stopped = Stop(12.0, by, "errors was 9")
    found = judge(experiment(*(Told(says=verdict) for verdict in says), faults=(Mark(),)), story.timeline)
    return found.verdict, found.reason, found.passed


@pytest.mark.parametrize("by", ["abort", "objective"])
def test_incomplete_fault_never_holds(by: str) -> None:
    how = "aborted" if by == "abort" else "stopped early"
    assert stopped(by, HELD) == (INCONCLUSIVE, f"{how} at 12 s: errors was 9", False)
    assert stopped(by, INCONCLUSIVE)[0] is INCONCLUSIVE
    verdict, reason, _ = stopped(by, HELD, BROKEN)
    assert verdict is BROKEN
    assert reason == f"told: told BROKEN ({how} at 12 s: errors was 9)"


def test_confidence_is_shared_among_objectives_with_claims() -> None:
    objectives = [Availability(min="99%"), Latency(share="95%", below="1s"), Told()]
    shared = sharing_confidence(objectives)
    assert [getattr(each, "confidence", None) for each in shared] == [pytest.approx(0.975), pytest.approx(0.975), None]
    assert sharing_confidence(objectives[:1]) == objectives[:1]


def test_report_explains_a_verdict_changed_by_sharing() -> None:
    """Just enough for one statement at 95 % is not enough for two that must be right together."""
    story = Story().requests(10, 55, rate=6.7).load().injected(10.0)
    alone, other = Availability(min="99%"), ErrorRate(max="50%")
    faults = (Mark(),)
    assert judge(experiment(alone, faults=faults), story.timeline).verdict is HELD
    found = judge(experiment(alone, other, faults=faults), story.timeline)
    assert found.verdict is INCONCLUSIVE
    assert "97.5% confidence" in found.reason
    assert "applies to all 2 statistical statements together" in found.findings[0][1].detail["confidence"]


def test_later_arrivals_are_bounded_by_the_highest_earlier_share() -> None:
    curve = [{"at": 0, "share": 0.1}, {"at": 5, "share": 1}]
    rising = Profile.model_validate(
        {"metadata": {"name": "ramp"}, "phases": {"baseline": [{"at": 0, "share": 0.1}], "fault": curve}}
    )
    assert rising.arrivals_at_most("baseline", 10, 50) == 50
    assert rising.arrivals_at_most("fault", 10, 50) == 500
    assert rising.arrivals_at_most("recovery", 10, 50) == 500


def test_condition_has_one_bound_and_an_explicit_range() -> None:
    with pytest.raises(ValueError, match="expected exactly one of them"):
        AbortCondition(name="x", query="x")
    with pytest.raises(ValueError, match=r"found \$window"):
        AbortCondition(name="x", query="rate(x[$window])", above=1)
    assert replace(experiment(), abort=(CONDITION,)).abort == (CONDITION,)
