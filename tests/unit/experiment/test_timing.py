"""The timing of faults in experiment files: what it means in words, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.common.errors import InputError
from harness.experiment.timing import Condition, Timing, pods_down
from harness.model.requests import Requests, RequestSample
from harness.model.timeline import Observation, Timeline
from tests.fake_run import EXPERIMENT
from tests.unit.experiment.test_loading import load, problems
from tests.unit.timelines import PODINFO, Story

FAULT = "  - podKill: {selector: app=shop, count: 1}\n"


def with_faults(*faults: str, phase: str = "30s") -> str:
    listed = "".join(f"  - podKill: {{selector: app=shop}}\n    {fault}\n" for fault in faults)
    return EXPERIMENT.replace(FAULT, listed).replace("fault: 2s", f"fault: {phase}")


def test_timing_is_read_from_a_file(tmp_path: Path) -> None:
    text = with_faults("name: first", "at: 3s\n    for: 5s\n    after: first")
    found = load(tmp_path, text)
    assert [fault.kind for fault in found.faults] == ["podKill", "podKill"]
    assert found.timing(1) == Timing.model_validate({"at": "3s", "for": "5s", "after": "first"})
    assert (found.timing(0).immediate, found.timing(1).immediate, found.injections) == (True, False, 2)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, ""),
        ({"at": "3s"}, "at 3 s"),
        ({"at": "3s", "for": "5s"}, "at 3 s, for 5 s"),
        ({"every": "10s", "times": 3}, "every 10 s, 3 times"),
        ({"at": "2s", "after": "first"}, "2 s after first"),
        (
            {"every": "6s", "times": 4, "jitter": "2s", "downBelow": 1},
            "every 6 s, 4 times, up to 2 s later, with fewer than 1 pods down",
        ),
        (
            {"when": {"rollout": "deployment/shop", "is": "progressing"}},
            "when the rollout of deployment/shop is progressing",
        ),
        (
            {"after": "first", "when": {"rollout": "deployment/shop", "is": "complete", "within": "20s"}},
            "after first and when the rollout of deployment/shop is complete, within 20 s",
        ),
    ],
)
def test_text_of_a_timing(given: dict[str, Any], shown: str) -> None:
    assert str(Timing.model_validate(given)) == shown


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("at: 3", "found 3, expected a duration with its unit, such as 3s"),
        ("at:", "found nothing, expected a duration such as 200ms, 20s or 1m30s"),
        ("at: [3s]", "found ['3s'], expected a duration such as 200ms, 20s or 1m30s"),
        ("times: 3", "found 3 times without every, expected both"),
        ("every: 3s", "found every without times, expected times: 2 or more"),
        ("times: 101", "found 101, expected at most 100"),
        ("{every: 3s, times: 2, for: 3s}", "found 3 s, expected less than every (3 s)"),
        ("{every: 3s, times: 2, jitter: 4s}", "found 4 s, expected at most every (3 s)"),
        ("{every: 9s, times: 2, jitter: 4s, for: 5s}", "expected less than every without jitter (5 s)"),
        ("{every: 14s, times: 3, jitter: 3s}", "injected at 31 s for the last time"),
        ("downBelow: 0", "found 0, expected at least 1"),
        ("after: nobody", "found the unknown name 'nobody'"),
        ("{name: me, after: me}", "found 'me', which itself comes after this fault: a circle"),
        ("at: 31s", "injected at 31 s for the last time, expected before phases.fault (30 s)"),
        ("{every: 10s, times: 4}", "injected at 30 s for the last time"),
        ("{at: 20s, for: 11s}", "undone 31 s after the phase began"),
        ("when: {rollout: deployment/other, is: complete}", "found deployment/other, but the workload has only"),
        (
            "when: {rollout: deployment/shop, is: deadlineExceeded, within: 20s}",
            "when.within: found 20 s for deadlineExceeded, expected more than 600 s: progressDeadlineSeconds of",
        ),
        ("when: {rollout: deployment/shop, is: stuck}", "expected 'progressing', 'complete' or 'deadlineExceeded'"),
        (
            "when: {rollout: deployment/shop, is: complete, over: 5s}",
            "found over with rollout, expected it with errorRate",
        ),
        (
            "when: {rollout: deployment/shop, is: complete, within: 31s}",
            "found 31 s, expected at most phases.fault (30 s)",
        ),
        ("att: 3s", "found 2 keys (podKill, att), expected one: the kind, beside those of its timing"),
    ],
)
def test_mistakes_have_their_place(tmp_path: Path, fault: str, message: str) -> None:
    lines = fault.strip("{}").split(", ") if fault.startswith("{") else [fault]
    found = problems(tmp_path, with_faults("\n    ".join(lines)))
    assert any(message in problem and "faults[0]" in problem for problem in found), found


def test_two_faults_with_one_name_are_a_mistake(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, with_faults("name: same", "name: same"))
    assert "found 'same' twice" in problem


def test_chain_of_faults_must_fit_into_the_phase(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, with_faults("name: first\n    for: 25s", "after: first\n    at: 6s"))
    assert "faults[1]" in problem
    assert "injected at 31 s" in problem


def test_guard_checks_faults_of_other_times_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[int] = set()

    def refusals(_api: Any, _own: Any, strikes: Any, *_rest: Any, **_more: Any) -> list[str]:
        asked.add(len(strikes))
        return []

    monkeypatch.setattr("harness.experiment.forecast.forecast.refusals", refusals)
    load(tmp_path, with_faults("at: 0s", "at: 0s", "at: 0s"))
    assert 3 in asked
    asked.clear()
    load(tmp_path, with_faults("at: 0s", "at: 10s", "at: 20s"))
    assert asked == {1}


def seen(**counts: Any) -> Timeline:
    timeline = Timeline(0.0, 0.0)
    value = {"generation": 2, "observed_generation": 2, **counts}
    timeline.add(Observation("workloads", "deployment/shop", 1.0, value))
    return timeline


@pytest.mark.parametrize(
    ("timeline", "state"),
    [
        (Timeline(0.0, 0.0), ""),
        (seen(desired=3, updated=3, replicas=3, available=3), "complete"),
        (seen(desired=3, updated=1, replicas=4, available=3), "progressing"),
        (seen(desired=3, updated=3, replicas=3, available=2), "progressing"),
        (seen(desired=3, updated=3, replicas=3, available=3, generation=3), "progressing"),
        (seen(desired=3, updated=3, replicas=3, available=3, event="DELETED"), ""),
    ],
)
def test_rollout_is_seen_as_progressing_or_complete(timeline: Timeline, state: str) -> None:
    for name in ("progressing", "complete"):
        condition = Condition.model_validate({"rollout": "deployment/shop", "is": name})
        assert condition.met(timeline, 1.0) is (name == state)


def test_pods_that_are_missing_or_not_ready_are_down() -> None:
    story = Story().add("workloads", PODINFO, 0.0, {"desired": 3, "generation": 1, "observed_generation": 1})
    for name in ("a", "b", "c"):
        story.pod(1.0, name, name)
    assert pods_down(story.timeline) == 0
    assert pods_down(story.pod(2.0, "a", "a", deleting=True).timeline) == 1
    assert pods_down(story.pod(3.0, "b", "b", ready=False).timeline) == 2
    assert pods_down(story.gone(4.0, "c", "c").timeline) == 3
    assert pods_down(story.pod(5.0, "d", "d").timeline) == 2
    story.add("workloads", PODINFO, 6.0, {"event": "DELETED"})
    assert pods_down(story.timeline) == 0


def test_pod_that_was_just_hit_is_down() -> None:
    """The watch shows its state only a moment later."""
    story = Story().add("workloads", PODINFO, 0.0, {"desired": 2, "generation": 1, "observed_generation": 1})
    story.pod(1.0, "a", "a").pod(1.0, "b", "b").injected(10.0, ("a", "a"), took=0.5)
    assert pods_down(story.timeline) == 1
    assert pods_down(story.pod(10.2, "a", "a").timeline) == 1
    assert pods_down(story.pod(12.0, "a", "a").timeline) == 0
    story.injected(20.0, ("b", "b"), undone=25.0)
    assert pods_down(story.timeline) == 0


def progressing(reason: str, **counts: Any) -> Timeline:
    return seen(conditions={"Progressing": {"status": str(reason == "ok"), "reason": reason}}, **counts)


@pytest.mark.parametrize(
    ("timeline", "met"),
    [
        (Timeline(0.0, 0.0), False),
        (seen(), False),
        (progressing("ok"), False),
        (progressing("ProgressDeadlineExceeded"), True),
        (progressing("ProgressDeadlineExceeded", generation=3), False),
        (progressing("ProgressDeadlineExceeded", event="DELETED"), False),
    ],
)
def test_deadline_counts_only_for_the_current_generation(timeline: Timeline, met: bool) -> None:
    condition = Condition.model_validate({"rollout": "deployment/shop", "is": "deadlineExceeded"})
    assert condition.met(timeline, 1.0) is met


def request(at: float, *, ok: bool) -> RequestSample:
    return RequestSample(at, at, at, ok, "ok" if ok else "500", "GET /")


@pytest.mark.parametrize(
    ("failed", "good", "at", "met"),
    [(2, 38, 9.0, True), (1, 39, 9.0, False), (2, 17, 9.0, False), (20, 0, 6.9, False), (20, 0, 10.1, False)],
)
def test_errors_count_within_the_window(failed: int, good: int, at: float, met: bool) -> None:
    timeline = Timeline(0.0, 0.0)
    timeline.requests = Requests([*[request(at, ok=False)] * failed, *[request(9.0, ok=True)] * good])
    condition = Condition.model_validate({"errorRate": "5%", "over": "3s"})
    assert str(condition) == "5% of the requests failed within 3 s"
    assert condition.met(timeline, 10.0) is met


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("{}", "found neither of rollout and errorRate"),
        ("{rollout: deployment/shop, is: complete, errorRate: 5%}", "found both of rollout and errorRate"),
        ("{rollout: deployment/shop}", "found only one of rollout and is, expected both"),
        ("{errorRate: 5%, is: complete}", "found only one of rollout and is, expected both"),
        ("{rollout: statefulset/shop, is: deadlineExceeded}", "only a Deployment has a progress deadline"),
        ("{errorRate: 100%}", "found 100%, expected more than 0% and less than 100%"),
    ],
)
def test_wrong_condition_is_refused(tmp_path: Path, when: str, message: str) -> None:
    assert message in problems(tmp_path, with_faults(f"when: {when}"))[0]


def test_condition_on_requests_needs_a_load(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, with_faults("when: {errorRate: 5%}"))
    assert "faults[0].when.errorRate: found a condition on requests, but there is no load" in found


@pytest.mark.parametrize(("phase", "impossible"), [("600s", True), ("601s", False)])
def test_deadline_must_pass_within_the_fault_phase(tmp_path: Path, phase: str, impossible: bool) -> None:
    text = with_faults("when: {rollout: deployment/shop, is: deadlineExceeded}", phase=phase)
    if not impossible:
        assert load(tmp_path, text).timings
        return
    (problem,) = problems(tmp_path, text)
    assert "phases.fault: found 10 min for deadlineExceeded, expected more than 600 s" in problem


LOAD = "load: {profile: steady, rate: %s, target: 'service/shop:http'}\nfaults:"


@pytest.mark.parametrize(
    ("load", "over", "message"),
    [
        ("", "3s", "when.errorRate: found a condition on requests, but there is no load"),
        ("5/s", "3s", "when.over: found 3 s, in which the load has about 15 requests, expected at least 20"),
        ("5/s", "4s", ""),
        ("7/s", "3s", ""),
    ],
)
def test_condition_on_requests_needs_enough_of_them(tmp_path: Path, load: str, over: str, message: str) -> None:
    text = with_faults(f"when: {{errorRate: 5%, over: {over}}}")
    text = text.replace("faults:", LOAD % load) if load else text
    found = timing_only(tmp_path, text)
    assert [problem.partition("faults[0].")[2] for problem in found] == ([message] if message else [])


def timing_only(folder: Path, text: str) -> list[str]:
    """What is wrong with the conditions of an experiment."""
    try:
        load(folder, text)
    except InputError as error:
        return [str(problem) for problem in error.problems if ".when" in problem.field]
    return []
