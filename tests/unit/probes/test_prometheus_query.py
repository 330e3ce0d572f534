"""Queries are asked phase by phase, pinned to the phase's end, once its last scrapes are in; the rest is an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import requests

from harness.objectives.prometheus import Prometheus as PrometheusObjective
from harness.observation import BASELINE, FAULT, RECOVERY, Injection, Interval, Phase
from harness.probes.prometheus_query import up_query
from harness.recovery import recoveries
from harness.verdict import Verdict
from tests.unit.probes.prometheus_stand import Stand
from tests.unit.probes.scripted_prometheus import Asked, matrix, refused, vector

GOOD = 'sum(increase(hits{namespace="$namespace",code!~"5.."}[$window]))'
TOTAL = 'sum(increase(hits{namespace="$namespace"}[$window]))'
RATIO = PrometheusObjective(name="served", good=GOOD, total=TOTAL, min="99%")
VALUE = PrometheusObjective(name="queue", value="max(queue[$window])", max=5)


SILENT: dict[str, Any] = {"warnings": [], "notes": []}


@dataclass(frozen=True)
class Other:
    kind: str = "availability"
    title: str = "availability"


def test_a_window_is_the_whole_phase_and_ends_where_the_phase_ends() -> None:
    stand = Stand()
    stand.look(VALUE)
    origin = stand.timeline.wall_origin
    assert [(asked.query["query"], float(asked.query["time"])) for asked in stand.asked()] == [
        ("max(queue[20s])", origin + 20.0),
        ("max(queue[10s])", pytest.approx(origin + 30.9)),
        ("max(queue[6s])", pytest.approx(origin + 36.9)),
    ]


def test_prometheus_is_asked_by_its_own_clock() -> None:
    stand = Stand(ahead=7.5)
    stand.look(VALUE)
    assert float(stand.asked()[0].query["time"]) == pytest.approx(stand.timeline.wall_origin + 27.5)


def test_the_namespace_is_filled_in_and_the_numbers_come_with_what_they_rest_on() -> None:
    stand = Stand()
    seen = stand.look(RATIO, Other())
    assert stand.asked()[0].query["query"] == 'sum(increase(hits{namespace="shop",code!~"5.."}[20s]))'
    assert [(one.series, one.subject, one.at, one.error) for one in seen] == [
        ("prometheus", "served", 20.0, None),
        ("prometheus", "served", 30.9, None),
        ("prometheus", "served", 36.9, None),
    ]
    assert seen[1].value == {"phase": FAULT, "window": 10, "good": 4000.0, "total": 4000.0, "samples": 60} | SILENT
    assert seen[1].wall == pytest.approx(stand.timeline.wall_origin + 30.9)


@pytest.mark.parametrize(("interval", "seconds"), [("1s", 2.0), ("500ms", 1.0), ("5s", 10.0)])
def test_the_last_two_scrapes_are_waited_for(interval: str, seconds: float) -> None:
    stand = Stand(interval=interval)
    before = stand.clock.monotonic()
    stand.look(VALUE)
    assert stand.clock.monotonic() - before == pytest.approx(seconds)


def test_scrapes_that_are_long_in_are_not_waited_for() -> None:
    stand = Stand()
    stand.clock.advance(60.0)
    before = stand.clock.monotonic()
    stand.look(VALUE)
    assert stand.clock.monotonic() == before


def test_a_phase_that_is_too_short_for_four_scrapes_is_not_asked_about() -> None:
    stand = Stand(interval="2s")
    seen = stand.look(VALUE)
    assert [one.error is None for one in seen] == [True, True, False]
    assert seen[2].value == {"phase": RECOVERY, "window": 6}
    assert "too short: it must hold 4 scrapes, one every 2 s" in (seen[2].error or "")
    assert len(stand.asked()) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (vector(), "no series at all"),
        (vector("NaN"), "nan: "),
        (vector(1, 2), "2 series where one was meant"),
        (refused(400, "parse error"), "parse error"),
    ],
)
def test_no_number_is_an_error_of_its_phase_and_makes_the_objective_inconclusive(answer: Any, error: str) -> None:
    stand = Stand(answer=answer)
    seen = stand.look(RATIO)
    assert seen[0].value == {"phase": BASELINE, "window": 20}
    assert (seen[0].error or "").startswith(error)
    assert RATIO.judge(stand.timeline).verdict is Verdict.INCONCLUSIVE


def test_an_objective_finds_its_numbers_phase_by_phase() -> None:
    def answer(asked: Asked) -> Any:
        bad = 3 if "[10s]" in asked.query["query"] and "5.." in asked.query["query"] else 0
        return vector(1000 - 10 * bad, samples=30)

    stand = Stand(answer=answer)
    stand.look(RATIO)
    assert RATIO.judge(stand.timeline, [BASELINE]).verdict is Verdict.HELD
    finding = RATIO.judge(stand.timeline)
    assert finding.verdict is Verdict.BROKEN
    assert finding.reason.startswith("fault: 97")


def test_a_phase_is_asked_about_once_however_often_the_probe_looks() -> None:
    stand = Stand()
    first = stand.look(VALUE, phases=[BASELINE])
    second = stand.look(VALUE)
    assert [one.value["phase"] for one in first] == [BASELINE]
    assert [one.value["phase"] for one in second] == [FAULT, RECOVERY]


def test_a_prometheus_that_is_gone_is_an_error_of_every_objective() -> None:
    stand = Stand()
    stand.script.answers = {"targets": requests.ConnectionError("refused")}
    seen = stand.look(RATIO, VALUE)
    assert [one.subject for one in seen] == ["served", "queue"]
    assert all("does not answer: refused" in (one.error or "") for one in seen)


def test_before_the_first_phase_is_over_there_is_nothing_to_ask() -> None:
    stand = Stand()
    stand.timeline.phases[:] = [Phase(BASELINE, 0.0, float("inf"))]
    assert stand.look(VALUE) == []
    assert stand.script.asked == []


def test_targets_up_are_told_on_the_runs_own_time() -> None:
    stand = Stand(ahead=100.0)
    stand.see("deployment/web", "web-1", "web-2")
    wall = stand.timeline.wall_origin + 100.0
    stand.script.answers["query_range"] = matrix((wall + 0.0, 2), (wall + 1.0, 1))
    seen = stand.look()
    assert [(one.series, one.subject, round(one.at, 3), one.value) for one in seen] == [
        ("prometheus", "up:deployment/web", 0.0, 2.0),
        ("prometheus", "up:deployment/web", 1.0, 1.0),
    ]
    asked = stand.script.queries("query_range")[0].query
    assert float(asked["start"]) == pytest.approx(wall)
    assert asked["step"] == "1"
    assert 'pod=~"web-1|web-2"' in asked["query"]


def test_targets_up_go_on_where_the_last_look_ended() -> None:
    stand = Stand()
    stand.see("deployment/web", "web-1")
    origin = stand.timeline.wall_origin
    stand.script.answers["query_range"] = matrix((origin + 19.0, 1), (origin + 20.0, 1))
    stand.look(phases=[BASELINE])
    stand.script.answers["query_range"] = matrix((origin + 21.0, 0))
    assert [one.value for one in stand.look()] == [0.0]
    assert float(stand.script.queries("query_range")[1].query["start"]) == pytest.approx(origin + 21.0)


def test_a_workload_that_nobody_scrapes_has_no_targets_rather_than_an_outage() -> None:
    stand = Stand()
    stand.see("deployment/web", "web-1")
    stand.script.answers["query_range"] = matrix((stand.timeline.wall_origin, 0), (stand.timeline.wall_origin + 1, 0))
    assert stand.look() == []


def test_the_clock_of_prometheus_reads_what_the_probe_writes() -> None:
    stand = Stand()
    stand.see("deployment/web", "web-1", "web-2")
    origin = stand.timeline.wall_origin
    ups = [(origin + at, 1 if 23 <= at < 27 else 2) for at in range(38)]
    stand.script.answers["query_range"] = matrix(*ups)
    stand.look()
    stand.timeline.injections.append(Injection("podKill", (), Interval(22.0, 22.1), proven=True))
    clock = recoveries(stand.timeline, "deployment/web", clocks=["prometheus"])[0]
    assert clock.state == "recovered"
    assert clock.length is not None
    assert clock.length.low <= 5.0 <= clock.length.high


def test_names_in_the_query_for_targets_are_literal() -> None:
    query = up_query("shop", ["b.c", "a-1"], 2.0)
    assert 'up{namespace="shop",pod=~"a-1|b[.]c"}' in query
    assert "< 4" in query
