"""A target that a query selects must have been scraped all through a phase, while it was there."""

from __future__ import annotations

import pytest

from harness.model.phase_names import FAULT
from harness.model.timeline import Observation, Phase
from harness.model.verdict import Verdict
from harness.objectives.prometheus import Prometheus
from harness.probes.prometheus.targets import scrapes_query
from tests.unit.probes.prometheus.prometheus_stand import Stand

COUNTED = "sum(increase(hits[$window]))"
RATIO = Prometheus(name="served", good=COUNTED, total=COUNTED, min="99%", phases=["fault"])
POD = {"job": "pods", "instance": "10.0.0.1:80", "namespace": "shop", "pod": "web-1"}
OK, FAILED = 0.4, -1.0
Scrapes = list[tuple[float, float]]


def scrapes(*failed: float, first: float = 0, last: float = 36) -> Scrapes:
    """Every second from first to last; these failed."""
    return [(at, FAILED if at in failed else OK) for at in range(int(first), int(last) + 1)]


def unanswered(first: int, last: int) -> Scrapes:
    """No scrape wrote anything for a while: the last one that did grows old."""
    return [(at, OK + max(0, at - first + 1) if at <= last else OK) for at in range(37)]


def judged(seen: Scrapes, *pod: tuple[float, dict[str, object]], labels: dict[str, str] | None = None) -> tuple:
    stand = Stand()
    stand.scrapes = [(POD if labels is None else labels, seen)]
    for at, value in pod:
        stand.timeline.add(Observation("pods", "web-1", at, {"owner": "deployment/web", **value}))
    stand.look(RATIO)
    finding = RATIO.judge(stand.timeline)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(
    "seen",
    [
        scrapes(),
        scrapes(25),
        scrapes(22, 26),
        scrapes(10, 11, 12, 13),
        scrapes(22, 23, 24, 25, last=25),
        scrapes(first=26),
        scrapes(36),
        [],
    ],
    ids=["all", "one late", "two apart", "before", "vanished", "new", "after", "no target"],
)
def test_targets_that_were_scraped_or_ended_are_no_gap(seen: Scrapes) -> None:
    verdict, reason = judged(seen)
    assert verdict is Verdict.HELD, reason


@pytest.mark.parametrize(
    "seen",
    [
        scrapes(24, 25, 26),
        scrapes(21, 22, 23, 24),
        scrapes(*range(27, 37)),
        scrapes(*range(18, 37)),
        unanswered(24, 27),
    ],
    ids=["in between", "from the start", "to the end", "all along", "no answer at all"],
)
def test_a_target_that_was_not_scraped_is_no_data(seen: Scrapes) -> None:
    verdict, reason = judged(seen)
    assert verdict is Verdict.INCONCLUSIVE
    assert "web-1 was not scraped for" in reason


def test_deleted_pod_removes_its_target() -> None:
    """Prometheus hears of it some seconds late, and its scrapes fail until then."""
    failing = scrapes(*range(27, 37))
    assert judged(failing, (26.5, {"event": "DELETED"}))[0] is Verdict.HELD
    assert judged(failing, (22.0, {"event": "MODIFIED", "deleting": True}))[0] is Verdict.HELD
    assert judged(failing, (35.0, {"event": "DELETED"}))[0] is Verdict.INCONCLUSIVE


def test_a_pod_of_the_same_name_and_address_may_follow() -> None:
    again = scrapes(24, 25, 26)
    gone, back = (23.6, {"event": "DELETED"}), (24.0, {"event": "ADDED"})
    assert judged(again, gone, back)[0] is Verdict.HELD
    assert judged(again, (12.0, {"event": "DELETED"}), (13.0, {"event": "ADDED"}))[0] is Verdict.INCONCLUSIVE


def test_series_without_a_scrape_target_are_accepted() -> None:
    assert judged(scrapes(24, 25, 26), labels={"namespace": "shop"})[0] is Verdict.HELD


@pytest.mark.parametrize(("every", "verdict"), [("2s", Verdict.HELD), ("5s", Verdict.INCONCLUSIVE)])
def test_a_target_is_judged_by_its_own_interval(every: str, verdict: Verdict) -> None:
    stand = Stand()
    node = {"job": "cadvisor", "instance": "node-1"}
    stand.script.answers["targets"]["data"]["activeTargets"].append({"labels": node, "scrapeInterval": every})
    stand.scrapes = [(node, scrapes(23, 24))]
    stand.look(RATIO)
    finding = RATIO.judge(stand.timeline)
    assert finding.verdict is verdict
    assert verdict is Verdict.HELD or "node-1 is scraped every 5 s, which is too seldom" in finding.reason


def test_selector_targets_are_queried_since_the_run_start() -> None:
    query = scrapes_query('hits{namespace="shop"}', Phase(FAULT, 20.0, 30.9))
    assert query.endswith(
        'and on(job, instance) count by(job, instance) (count_over_time(hits{namespace="shop"}[31s]))'
    )


WEB, READY = "deployment/web", {"owner": "deployment/web", "event": "MODIFIED", "ready": True}


def judged_beside(
    *pod: tuple[float, dict[str, object]],
    scraped: Scrapes | None = None,
    failing: dict[str, str] | None = None,
    query: str = COUNTED,
) -> tuple:
    """A query that finds series of web-1, scraped all along, beside another pod or target."""
    stand = Stand()
    stand.scrapes = [(POD, scrapes())]
    stand.scraped_pods = [(POD, scrapes()), (POD | {"pod": "web-2", "instance": "10.0.0.2:80"}, scraped or [])]
    stand.failing = [failing] if failing else []
    stand.timeline.add(Observation("pods", "web-1", 0.5, READY))
    for at, value in pod:
        stand.timeline.add(Observation("pods", "web-2", at, READY | value))
    ratio = RATIO.model_copy(update={"good": query, "total": query})
    stand.look(ratio)
    finding = ratio.judge(stand.timeline)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(
    ("pod", "scraped"),
    [
        ([(0.5, {})], []),
        ([(0.5, {})], scrapes(last=19)),
        ([(0.5, {})], scrapes(first=32)),
        ([(18.0, {})], []),
        ([(0.5, {}), (17.5, {"event": "DELETED"}), (18.0, {})], scrapes(last=17)),
    ],
    ids=["never", "no longer", "too late", "new before the phase", "anew under its name"],
)
def test_never_scraped_pod_of_the_workload_is_no_data(
    pod: list[tuple[float, dict[str, object]]], scraped: Scrapes
) -> None:
    verdict, reason = judged_beside(*pod, scraped=scraped)
    assert verdict is Verdict.INCONCLUSIVE
    assert "web-2 was not scraped in the" in reason


@pytest.mark.parametrize(
    ("pod", "scraped"),
    [
        ([(0.5, {})], scrapes()),
        ([(0.5, {})], scrapes(first=26)),
        ([(24.0, {})], []),
        # Prometheus takes ten seconds to find a pod when its discovery manager skips a turn.
        ([(20.5, {"ready": False}), (21.0, {})], []),
        ([(0.5, {}), (20.5, {"event": "DELETED"}), (21.0, {})], scrapes(last=20)),
        ([(0.5, {}), (22.0, {"deleting": True})], []),
        ([(0.5, {"ready": False})], []),
        ([(0.5, {"owner": "deployment/other"})], []),
        ([(0.5, {}), (10.0, {"event": "DELETED"})], []),
    ],
    ids=[
        "scraped",
        "late",
        "new",
        "found late",
        "found late under its name",
        "going",
        "never ready",
        "another workload",
        "gone before",
    ],
)
def test_a_pod_that_was_scraped_or_need_not_be_is_not_missed(
    pod: list[tuple[float, dict[str, object]]], scraped: Scrapes
) -> None:
    verdict, reason = judged_beside(*pod, scraped=scraped)
    assert verdict is Verdict.HELD, reason


def test_a_pod_that_the_query_does_not_mean_is_not_missed() -> None:
    for matchers, verdict in (
        ('pod="web-1"', Verdict.HELD),
        ('code="200", pod!~"web-[2-9]"', Verdict.HELD),
        ('pod=~"web-.*",namespace="shop",code!="500"', Verdict.INCONCLUSIVE),
    ):
        found, reason = judged_beside((0.5, {}), query=f"sum(increase(hits{{{matchers}}}[$window]))")
        assert found is verdict, reason


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        ({"namespace": "shop", "instance": "10.0.0.9:80"}, Verdict.INCONCLUSIVE),
        ({"namespace": "others", "instance": "10.0.0.9:80", "pod": "web-9"}, Verdict.HELD),
        ({"instance": "node-1"}, Verdict.HELD),
        ({"namespace": "shop", "instance": "10.0.0.9:80", "pod": "db-0"}, Verdict.HELD),
    ],
    ids=["of the job", "of another namespace", "of no namespace", "a pod that is known"],
)
def test_target_of_the_job_with_only_failed_scrapes_is_no_data(labels: dict[str, str], verdict: Verdict) -> None:
    found, reason = judged_beside(failing={"job": "pods"} | labels)
    assert found is verdict, reason
    assert found is Verdict.HELD or "pods at 10.0.0.9:80 was never scraped: every scrape failed" in reason


EDGE = {"job": "kubernetes-pods", "instance": "10.0.1.1:80", "namespace": "edge", "pod": "edge-1"}


@pytest.mark.parametrize(
    ("source", "labels", "verdict"),
    [
        ({"app": "edge"}, {"app": "edge"}, Verdict.INCONCLUSIVE),
        ({"app": "edge", "container": "controller"}, {"app": "edge", "service": "edge"}, Verdict.INCONCLUSIVE),
        ({"app": "edge"}, {"app": "default-backend"}, Verdict.HELD),
        ({"app": "edge", "component": "controller"}, {"app": "edge", "component": "webhook"}, Verdict.HELD),
        ({"app": "edge"}, {}, Verdict.HELD),
        ({}, {}, Verdict.HELD),
        ({"app": "edge"}, {"app": "edge", "job": "others"}, Verdict.HELD),
        ({"app": "edge"}, {"app": "edge", "namespace": "elsewhere"}, Verdict.HELD),
    ],
)
def test_foreign_namespace_misses_only_targets_of_the_same_kind(
    source: dict[str, str], labels: dict[str, str], verdict: Verdict
) -> None:
    """One job that takes in whatever runs must not have the dead among it speak for what the query asks about."""
    stand = Stand()
    stand.scrapes = [(EDGE | source, scrapes())]
    stand.failing = [EDGE | {"instance": "10.0.1.9:80", "pod": "other-1"} | labels]
    stand.look(RATIO)
    finding = RATIO.judge(stand.timeline)
    assert finding.verdict is verdict, finding.reason


def test_target_without_a_namespace_is_identified_by_its_job() -> None:
    stand = Stand()
    stand.scrapes = [({"job": "nodes", "instance": "node-1"}, scrapes())]
    stand.failing = [{"job": "nodes", "instance": "node-2"}]
    stand.look(RATIO)
    assert "nodes at node-2 was never scraped" in RATIO.judge(stand.timeline).reason
