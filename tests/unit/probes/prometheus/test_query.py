"""Queries are asked phase by phase, pinned to the phase's end, once its last scrapes are in; the rest is an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import requests

from harness.model.phase_names import BASELINE, FAULT, RECOVERY
from harness.model.timeline import Injection, Interval, Phase
from harness.model.verdict import Verdict
from harness.objectives.prometheus import Prometheus as PrometheusObjective
from harness.objectives.recovery import recoveries
from harness.probes.prometheus.query import up_query
from tests.unit.probes.prometheus.prometheus_stand import Stand
from tests.unit.prometheus.scripted_prometheus import Asked, matrix, refused, vector

GOOD = 'sum(increase(hits{namespace="$namespace",code!~"5.."}[$window]))'
TOTAL = 'sum(increase(hits{namespace="$namespace"}[$window]))'
RATIO = PrometheusObjective(name="served", good=GOOD, total=TOTAL, min="99%")
VALUE = PrometheusObjective(name="queue", value="max(max_over_time(queue[$window]))", max=5)


SILENT: dict[str, Any] = {"warnings": [], "notes": []}


@dataclass(frozen=True)
class Other:
    kind: str = "availability"
    title: str = "availability"


def test_window_is_the_whole_phase_and_ends_with_it() -> None:
    stand = Stand()
    stand.look(VALUE)
    origin = stand.timeline.wall_origin
    assert [(asked.query["query"], float(asked.query["time"])) for asked in stand.asked()] == [
        ("max(max_over_time(queue[20s]))", origin + 20.0),
        ("max(max_over_time(queue[10s]))", pytest.approx(origin + 30.9)),
        ("max(max_over_time(queue[6s]))", pytest.approx(origin + 36.9)),
    ]


def test_queries_use_the_prometheus_clock() -> None:
    stand = Stand(ahead=7.5)
    stand.look(VALUE)
    assert float(stand.asked()[0].query["time"]) == pytest.approx(stand.timeline.wall_origin + 27.5)


def test_namespace_is_filled_in_and_results_have_sample_counts() -> None:
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


def test_phase_shorter_than_four_scrapes_is_not_queried() -> None:
    stand = Stand(interval="2s")
    seen = stand.look(VALUE)
    assert [one.error is None for one in seen] == [True, True, False]
    assert seen[2].value == {"phase": RECOVERY, "window": 6}
    assert "too short: it must include at least 4 scrapes with an interval of 2 s" in (seen[2].error or "")
    assert len(stand.asked()) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (vector(), "no series found"),
        (vector("NaN"), "nan: "),
        (vector(1, 2), "found 2 series, expected one"),
        (refused(400, "parse error"), "parse error"),
    ],
)
def test_missing_number_makes_its_objective_inconclusive(answer: Any, error: str) -> None:
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


def test_phase_is_queried_once_however_often_the_probe_runs() -> None:
    stand = Stand()
    first = stand.look(VALUE, phases=[BASELINE])
    second = stand.look(VALUE)
    assert [one.value["phase"] for one in first] == [BASELINE]
    assert [one.value["phase"] for one in second] == [FAULT, RECOVERY]


def test_missing_prometheus_is_an_error_of_every_objective() -> None:
    stand = Stand()
    stand.script.answers = {"targets": requests.ConnectionError("refused")}
    seen = stand.look(RATIO, VALUE)
    assert [one.subject for one in seen] == ["served", "queue"]
    assert all("does not answer: refused" in (one.error or "") for one in seen)


def test_no_query_runs_before_the_first_phase_ends() -> None:
    stand = Stand()
    stand.timeline.phases[:] = [Phase(BASELINE, 0.0, float("inf"))]
    assert stand.look(VALUE) == []
    assert stand.script.asked == []


def test_targets_up_are_recorded_on_the_run_clock() -> None:
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


def test_targets_up_continue_after_the_last_reading() -> None:
    stand = Stand()
    stand.see("deployment/web", "web-1")
    origin = stand.timeline.wall_origin
    stand.script.answers["query_range"] = matrix((origin + 19.0, 1), (origin + 20.0, 1))
    stand.look(phases=[BASELINE])
    stand.script.answers["query_range"] = matrix((origin + 21.0, 0))
    assert [one.value for one in stand.look()] == [0.0]
    assert float(stand.script.queries("query_range")[1].query["start"]) == pytest.approx(origin + 21.0)


def test_unscraped_workload_has_no_targets_and_no_outage() -> None:
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
