"""Lines of pods' logs, counted by their time."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.log_lines import LogLines
from tests.unit.timelines import PODINFO, WALL, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def log(pod: str, *at: float, read: int = 100, complete: bool = True) -> dict[str, Any]:
    return {"pod": pod, "read": read, "at": [WALL + one for one in at], "complete": complete}


def story(*at: float, read_at: float = 56.0, **log_of_a: Any) -> Story:
    """Pod a wrote matching lines at these times; the fault is injected at 10 s and undone at 20 s."""
    made = Story().pod(1.0, "podinfo-a", "a").pod(1.0, "podinfo-b", "b").injected(10.0, undone=20.0)
    pods = {"a": log("podinfo-a", *at, **log_of_a), "b": log("podinfo-b")}
    return made.add("logs", "unready", read_at, {"pods": pods})


def judge(made: Story, **fields: Any) -> tuple[Verdict, str]:
    finding = LogLines(**({"of": PODINFO, "name": "unready", "max": 0} | fields)).judge(made.timeline)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(("at", "verdict"), [(9.0, HELD), (11.0, BROKEN), (25.0, BROKEN), (60.0, HELD)])
def test_lines_count_by_their_time(at: float, verdict: Verdict) -> None:
    assert judge(story(at))[0] is verdict


def test_phases_and_a_delay_limit_what_counts() -> None:
    fields = {"after": 3.0, "phases": ("fault",)}
    assert judge(story(11.0, 13.0, 20.5), **fields) == (
        HELD,
        "0 lines, from 3 s after the injection, at most 0 required",
    )
    found, reason = judge(story(13.5, 19.9), **fields)
    assert found is BROKEN
    assert reason == "2 lines, from 3 s after the injection, at most 0 required (podinfo-a: 2)"


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"min": 2, "max": 2}, HELD),
        ({"min": 3, "max": 4}, BROKEN),
        ({"max": 1}, BROKEN),
        ({"min": 1, "max": None}, HELD),
    ],
)
def test_both_bounds_are_judged(fields: dict[str, Any], verdict: Verdict) -> None:
    assert judge(story(11.0, 12.0), **fields)[0] is verdict


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (Story().pod(1.0, "podinfo-a", "a"), "no fault was injected"),
        (Story().injected(10.0), "list a probe podLogs with name: unready"),
        (story(read_at=30.0), "no logs were read after"),
        (story(complete=False), "only a part of the logs of podinfo-a"),
        (story().pod(12.0, "podinfo-c", "c"), "the logs of podinfo-c were not read"),
        (story().pod(12.0, "podinfo-c", "c").gone(30.0, "podinfo-c", "c"), "the logs of podinfo-c were not read"),
        (story().gap("pods", 30.0), "the watch on pods was interrupted"),
        (Story().injected(10.0).error("logs", "unready", 56.0, "denied"), "the logs could not be read: denied"),
    ],
)
def test_missing_logs_are_inconclusive(made: Story, why: str) -> None:
    found, reason = judge(made)
    assert found is INCONCLUSIVE
    assert why in reason


def test_empty_logs_are_inconclusive() -> None:
    made = Story().pod(1.0, "podinfo-a", "a").injected(10.0)
    made.add("logs", "unready", 56.0, {"pods": {"a": log("podinfo-a", read=0)}})
    assert judge(made)[1].endswith("the logs are empty")


def test_too_many_lines_are_certain_without_the_rest() -> None:
    assert judge(story(11.0).pod(12.0, "podinfo-c", "c"))[0] is BROKEN


def test_pods_that_were_gone_before_do_not_matter() -> None:
    made = Story().pod(1.0, "podinfo-z", "z").gone(5.0, "podinfo-z", "z").pod(1.0, "podinfo-a", "a").injected(10.0)
    made.add("logs", "unready", 56.0, {"pods": {"a": log("podinfo-a")}})
    assert judge(made)[0] is HELD


@pytest.mark.parametrize("fields", [{"max": None}, {"min": 2, "max": 1}])
def test_bounds_are_checked(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        judge(story(), **fields)
