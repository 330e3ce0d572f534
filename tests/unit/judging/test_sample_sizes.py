"""The requests that an objective needs, compared with those that the load gives, before a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.experiment.declaration import Experiment
from harness.experiment.load import Load
from harness.experiment.manifests import Workload
from harness.experiment.phases import Length, Phases
from harness.judging.sample_sizes import SampleSize, sample_sizes
from harness.model.verdict import Verdict
from harness.objectives._share import ShareObjective
from harness.objectives.availability import Availability
from harness.objectives.error_rate import ErrorRate
from harness.objectives.latency import Latency
from harness.objectives.restarts import Restarts
from harness.traffic.load.catalogue import Catalogue
from tests.unit.timelines import Story

PHASES = Phases(baseline=10, fault=Length.of(20), recovery=30, settle=5)


def sizes(*objectives: Any, load: Mapping[str, Any] | None = None, phases: Phases = PHASES) -> list[SampleSize]:
    given = Load.model_validate({"rate": 50, "target": "service/shop", **(load or {})})
    made = Experiment("x", "it holds", Workload(Path(), (), ()), objectives, Path("x.yaml"), load=given, phases=phases)
    return list(sample_sizes(made, Catalogue()))


def test_too_few_requests_are_found_before_the_run() -> None:
    (size,) = sizes(Availability(min="99.9%", phases=("fault",)))
    assert size.short
    text = "needs 2,995 requests without a failure for 95% confidence; the load gives 1,000 in fault"
    assert str(size) == text


def test_recovery_may_end_early_and_does_not_count() -> None:
    (size,) = sizes(Availability(min="99.9%"))
    assert size.short, "20 s and 5 s are certain, 30 s of recovery are not"
    assert str(size).endswith("gives 1,250 in fault and settle and at most 1,500 in recovery, which may end early")


def test_range_counts_with_its_shortest_length() -> None:
    phases = Phases(baseline=10, fault=Length(at_least=8, at_most=20), recovery=30, settle=5)
    (size,) = sizes(Availability(min="99.9%", phases=("fault",)), phases=phases)
    assert size.given == 400


def test_profile_that_falls_again_counts_with_the_longest_length() -> None:
    """A spike lasts 15 s: the settle phase after a long fault phase has less of it."""
    phases = Phases(baseline=10, fault=Length(at_least=2, at_most=30), recovery=0, settle=5)
    (size,) = sizes(Availability(min="99%", phases=("settle",)), load={"profile": "spike"}, phases=phases)
    assert size.given == 50


@pytest.mark.parametrize(("limit", "short"), [("99.7%", False), ("99.9%", True)])
def test_recovery_alone_counts_with_its_whole_length(limit: str, short: bool) -> None:
    (size,) = sizes(Availability(min=limit, phases=("recovery",)))
    assert (size.short, size.given, size.in_recovery) == (short, 0, 1500)


def test_requests_of_several_loads_are_counted_by_objective() -> None:
    objectives = (Availability(min="99.9%", phases=("fault",)), Availability(min="99.9%", phases=("fault",), load="b"))
    loads = {
        "a": Load.model_validate({"rate": 50, "target": "service/shop"}),
        "b": Load.model_validate({"rate": 10, "profile": "step", "target": "service/shop"}),
        "c": Load.model_validate({"locustfile": "l.py", "users": 3, "target": "service/shop"}),
    }

    def given(*names: str) -> list[int]:
        chosen = {name: loads[name] for name in names}
        made = Experiment("x", "y", Workload(Path(), (), ()), objectives, Path("x"), loads=chosen, phases=PHASES)
        return [size.given for size in sample_sizes(made, Catalogue())]

    assert given("a", "b") == [1200, 200]
    assert given("a", "b", "c") == [200], "how many requests a locustfile sends is not known"


def test_confidence_is_shared_as_the_judge_does_it() -> None:
    found = sizes(Restarts(of="deployment/shop", max=0), Availability(min="99%"), Latency(share="99%", below="1s"))
    assert [(size.number, size.confidence, size.needed) for size in found] == [(1, 0.975, 368), (2, 0.975, 368)]


def test_least_number_of_samples_counts_too() -> None:
    (size,) = sizes(ErrorRate(max="10%", minSamples=5000))
    assert size.needed == 5000


@pytest.mark.parametrize(
    ("phase", "given"),
    [
        ("baseline", 50),
        # 10 % to 100 % within 20 s: 55 % on average.
        ("fault", 550),
        # The recovery falls back within 5 s. If it ends at once, settle still has the fall, else a tenth of the rate.
        ("settle", 25),
    ],
)
def test_arrivals_follow_the_profile(phase: str, given: int) -> None:
    (size,) = sizes(Availability(min="99%", phases=(phase,)), load={"profile": "ramp"})
    assert size.given == given


@pytest.mark.parametrize("load", [{"locustfile": "l.py"}, {"rate": None, "replay": {"file": "log"}}])
def test_unknown_number_of_requests_gives_no_size(load: dict[str, Any]) -> None:
    assert sizes(Availability(min="99.9%"), load=load) == []


@pytest.mark.parametrize("objective", [Availability(min="99%"), ErrorRate(max="1%"), Latency(share="99%", below="1s")])
def test_the_judge_needs_exactly_that_many(objective: ShareObjective) -> None:
    (size,) = sizes(objective)

    def verdict(requests: int) -> Verdict:
        story = Story(fault=100, recovery=0, settle=0).requests(10, 10 + requests / 20).load()
        return objective.judge(story.timeline).verdict

    assert verdict(size.needed) is Verdict.HELD
    assert verdict(size.needed - 1) is Verdict.INCONCLUSIVE
