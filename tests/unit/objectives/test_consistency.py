"""Consistency: what clients saw of a database through a fault, and when that shows nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from harness.model.finding import Finding
from harness.model.history import History
from harness.model.operation import NOTHING, Operation
from harness.model.timeline import LoadSummary
from harness.model.verdict import Verdict
from harness.objectives.consistency import Consistency
from tests.unit.timelines import Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def written(until: int = 55, down: tuple[float, float] = (10.5, 12.5)) -> list[Operation]:
    """A write and a read of it each second, none of which is answered while the database is down."""
    made = []
    for number in range(until):
        up = not down[0] <= number + 0.1 < down[1]
        outcome = "ok" if up else "unknown"
        made += [
            Operation(1, number + 0.1, number + 0.2, "write", "x", number, outcome=outcome),
            Operation(2, number + 0.3, number + 0.4, "read", "x", number if up else NOTHING, outcome=outcome),
        ]
    return made


def story(operations: list[Operation], load: LoadSummary | None = None, ended: bool = True) -> Story:
    """A fault at 10 s, and what the clients of a database did."""
    made = Story().injected(10.0)
    made.timeline.histories = {"": History(operations)}
    made.timeline.load = (load or LoadSummary()) if ended else None
    return made


def judged(operations: list[Operation], load: LoadSummary | None = None, **fields: object) -> Finding:
    return Consistency(**fields).judge(story(operations, load).timeline)


def test_linearizable_history_is_held() -> None:
    finding = judged(written(), withoutWrites="4s", withoutReads="4s")
    assert finding.verdict is HELD
    assert (finding.observed, finding.limit, finding.samples) == (0.0, 0.0, 110)
    assert finding.detail["acknowledged writes"] == "53"
    assert finding.detail["longest time without a write"] == "3 s"


def test_broken_finding_names_the_operations() -> None:
    finding = judged([*written(), Operation(3, 54.5, 54.6, "read", "x", 50)])
    assert (finding.verdict, finding.observed) == (BROKEN, 6.0)
    assert finding.reason.startswith("lost write: 4, stale read: 1, not linearizable: 1; lost write: client 1 wrote")
    assert finding.detail["stale read 1"].endswith("client 3 read 50 from x from 54.500 to 54.600 s")
    assert len(finding.detail["not linearizable 1"].split("; ")) == 3


@pytest.mark.parametrize(
    ("allows", "verdict"),
    [((), BROKEN), (("staleReads",), BROKEN), (("staleReads", "lostWrites"), HELD), (("lostMessages",), BROKEN)],
)
def test_what_is_not_promised_may_be_allowed(allows: tuple[str, ...], verdict: Verdict) -> None:
    finding = judged([*written(), Operation(3, 54.5, 54.6, "read", "x", 50)], allows=allows)
    assert finding.verdict is verdict
    if verdict is HELD:
        assert finding.detail["stale read, allowed"] == "1"


@pytest.mark.parametrize(("limit", "verdict"), [("3s", HELD), ("2.9s", BROKEN)])
def test_time_without_writes_has_a_limit(limit: str, verdict: Verdict) -> None:
    finding = judged(written(down=(10.5, 12.5)), withoutWrites=limit)
    assert finding.verdict is verdict
    if verdict is BROKEN:
        assert finding.reason == "no write succeeded for 3 s from 10.2 s, at most 2.9 s was allowed"


def test_writes_that_never_return_count_to_the_end() -> None:
    finding = judged([*written(30), Operation(2, 54.0, 54.1, "read", "x", 29)], withoutWrites="20s")
    assert (finding.verdict, finding.observed) == (BROKEN, pytest.approx(25.8))


WRITES = [one for one in written() if one.kind == "write"]


@pytest.mark.parametrize(
    ("operations", "load", "reason"),
    [
        ([], None, "no operations were recorded"),
        (written(), LoadSummary(error="load: 3 damaged lines"), "the history is incomplete: load: 3 damaged lines"),
        (WRITES, None, "no read was answered"),
        ([replace(one, outcome="unknown") if one.kind == "write" else one for one in written()], None, "no write was"),
        ([one for one in written() if one.invoked > 10], None, "no write was acknowledged before the fault"),
        (
            [one for one in written() if one.kind == "write" or one.invoked < 10],
            None,
            "no read was answered after the fault",
        ),
    ],
)
def test_incomplete_history_is_inconclusive(operations: list[Operation], load: LoadSummary | None, reason: str) -> None:
    finding = judged(operations, load)
    assert finding.verdict is INCONCLUSIVE
    assert finding.reason.startswith(reason)


def test_too_many_overlapping_operations_are_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.histories.linearizability.MOST", 0)
    finding = judged(written())
    assert finding.verdict is INCONCLUSIVE
    assert "too many operations overlap on 1 key: x" in finding.reason


def test_each_of_several_loads_is_judged() -> None:
    timeline = Story().injected(10.0).timeline
    bad = [*written(), Operation(3, 54.5, 54.6, "read", "x", 50)]
    timeline.histories = {"good": History(written()), "bad": History(bad)}
    timeline.loads = {"good": LoadSummary(), "bad": LoadSummary()}
    timeline.load = LoadSummary()
    verdicts = [Consistency(load=load).judge(timeline).verdict for load in ("good", "bad", "")]
    assert verdicts == [HELD, BROKEN, BROKEN]


def test_unknown_anomaly_is_refused() -> None:
    with pytest.raises(ValidationError, match="staleReads"):
        Consistency(allows=("everything",))
