"""The adapter pins times, keeps warnings, and gives a number only where there is one."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from harness.common.clock import FakeClock
from harness.prometheus.access import PrometheusAccess
from harness.prometheus.client import (
    Ambiguous,
    NoData,
    NotANumber,
    Prometheus,
    PrometheusAway,
    PrometheusError,
    PrometheusUnreachable,
    QueryRefused,
    Sample,
    escape,
)
from tests.unit.prometheus.scripted_prometheus import URL, Scripted, config, matrix, refused, scalar, targets, vector


def asking(**answers: Any) -> tuple[Prometheus, Scripted]:
    script = Scripted({page.replace("__", "/"): answer for page, answer in answers.items()})
    return script.prometheus(), script


def test_the_time_of_a_query_is_pinned() -> None:
    prometheus, script = asking(query=vector(3))
    assert prometheus.number("up", at=1700000000.25).value == 3.0
    assert script.asked[0].query["time"] == "1700000000.25"


def test_number_carries_its_sample_count_and_warnings() -> None:
    answer = vector(3, samples=18, warnings=["a bucket is missing"], infos=["metric might not be a counter"])
    number = asking(query=answer)[0].number("up")
    assert (number.samples, number.warnings) == (18, ("a bucket is missing",))
    assert number.notes == ("metric might not be a counter",)


def test_missing_sample_count_is_left_out() -> None:
    assert asking(query=vector(3))[0].number("up").samples is None


def test_warnings_belong_to_the_last_response_only() -> None:
    answers = iter([vector(1, warnings=["old"]), vector(2)])
    prometheus, _ = asking(query=lambda _: next(answers))
    prometheus.number("up")
    assert prometheus.number("up").warnings == ()


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (vector(), NoData, "no series found: the query"),
        (vector("NaN"), NotANumber, "nan: the query"),
        (vector("+Inf"), NotANumber, "inf: the query"),
        (vector(1, 2, labels={"pod": "a"}), Ambiguous, "found 2 series, expected one; the first is {'pod': 'a'"),
        (refused(400, "1:5: parse error"), QueryRefused, "1:5: parse error: the query"),
        (refused(422, "duplicate series"), QueryRefused, "duplicate series"),
        ((403, b"<html>no</html>"), QueryRefused, "403"),
        (requests.ConnectionError("refused"), PrometheusUnreachable, "does not answer: refused"),
        (requests.Timeout("too slow"), PrometheusUnreachable, "does not answer: too slow"),
        (b"<html>hello</html>", PrometheusUnreachable, "does not answer"),
        ({"hello": "world"}, PrometheusUnreachable, "did not answer like Prometheus"),
        ([1, 2], PrometheusUnreachable, "did not answer like Prometheus"),
    ],
)
def test_missing_number_has_an_error_with_the_reason(answer: Any, error: type[PrometheusError], words: str) -> None:
    with pytest.raises(error) as raised:
        asking(query=answer)[0].number("the query")
    assert words in str(raised.value)


HISTOGRAM = {"metric": {"pod": "a"}, "histogram": [1.0, {"count": "3", "sum": "1"}]}
HISTOGRAMS = {"metric": {"pod": "a"}, "values": [[1.0, "2"]], "histograms": [[2.0, {"count": "3", "sum": "1"}]]}


def result(kind: str, found: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": found}}


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (result("vector", [HISTOGRAM]), NotANumber, "found a native histogram, expected a number: {'pod': 'a'}"),
        (result("string", [1.0, "hello"]), NotANumber, "found the text 'hello', expected a number"),
        (result("matrix", [{"metric": {}, "values": [[1.0, "2"]]}]), NotANumber, "found no single value"),
        (result("vector", [{"metric": {}, "value": [1.0]}]), PrometheusUnreachable, "did not answer like Prometheus"),
        (result("vector", [{"value": [1.0, "2"]}]), PrometheusUnreachable, "did not answer like Prometheus"),
        (result("vector", [3]), PrometheusError, ""),
        (result("vector", 3), PrometheusUnreachable, "did not answer like Prometheus"),
    ],
    ids=["histogram", "string", "range", "half a value", "no labels", "no series", "no list"],
)
def test_non_number_is_a_prometheus_error(answer: Any, error: type[PrometheusError], words: str) -> None:
    with pytest.raises(error) as raised:
        asking(query=answer)[0].instant("the query")
    assert words in str(raised.value)


def test_native_histograms_of_a_range_are_no_numbers() -> None:
    with pytest.raises(NotANumber, match="found a native histogram"):
        asking(query_range=result("matrix", [HISTOGRAMS]))[0].range("the query", 1.0, 5.0, 1.0)


@pytest.mark.parametrize("page", ["targets", "status/config", "status/runtimeinfo", "status/buildinfo"])
@pytest.mark.parametrize("body", [{"status": "success", "data": ["no", "names"]}, {"status": "success", "data": {}}])
def test_malformed_pages_are_prometheus_errors_or_ignored(page: str, body: Any) -> None:
    answers = {"query": vector(20), "targets": targets(), "status/config": config("1s")} | {page: body}
    prometheus = Scripted(answers).prometheus()
    for ask in (lambda: prometheus.scrape_interval("shop"), prometheus.started, prometheus.version):
        with contextlib.suppress(PrometheusError):
            ask()


def test_start_time_falls_back_to_the_process_metric() -> None:
    prometheus, script = asking(query=vector(1700000000))
    assert prometheus.started() == 1700000000.0
    assert "prometheus_build_info" in script.queries()[0].query["query"]
    assert asking(query=vector())[0].started() is None
    own = {"status": "success", "data": {"startTime": "2023-11-14T22:00:00Z"}}
    assert asking(status__runtimeinfo=own, query=vector(1))[0].started() == 1699999200.0


@pytest.mark.parametrize("path", ["ready", "status", "query"])
def test_named_certificates_win_over_the_environment(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    believed: list[object] = []

    class Verified(Scripted):
        def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
            believed.append(more["verify"])
            return super().send(request, *args, **more)

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other.pem"))
    script = Verified({"/-/ready": (200, b"Ready"), "query": vector(7)})
    prometheus = Prometheus(URL, PrometheusAccess(ca=tmp_path / "ca.pem"), via=script, clock=FakeClock())
    {"ready": prometheus.ready, "status": prometheus.version, "query": lambda: prometheus.number("up")}[path]()
    assert believed == [str(tmp_path / "ca.pem")]


def test_a_scalar_is_a_number_too() -> None:
    assert asking(query=scalar(12.5))[0].number("time()").value == 12.5


def test_range_is_queried_in_milliseconds_and_sorted_by_time() -> None:
    two = matrix((3.0, 1), (4.0, 2))
    two["data"]["result"].append({"metric": {"pod": "b"}, "values": [[3.5, "7"]]})
    prometheus, script = asking(query_range=two)
    samples = prometheus.range("up", 1700000000.123, 1700000009.877, 0.5)
    assert samples == [Sample({}, 3.0, 1.0), Sample({"pod": "b"}, 3.5, 7.0), Sample({}, 4.0, 2.0)]
    query = script.asked[0].query
    assert (query["start"], query["end"], query["step"]) == ("1700000000.123", "1700000009.877", "0.5")


def test_scrape_interval_is_the_longest_of_the_namespace() -> None:
    answer = targets(shop="1s", other="5s")
    answer["data"]["activeTargets"].append({"labels": {"namespace": "shop"}, "scrapeInterval": "2s500ms"})
    assert asking(targets=answer)[0].scrape_interval("shop") == 2.5


@pytest.mark.parametrize("place", [None, "shop"])
def test_without_targets_the_global_interval_counts(place: str | None) -> None:
    prometheus, _ = asking(targets=targets(other="5s"), status__config=config("15s"))
    assert prometheus.scrape_interval(place) == 15.0


@pytest.mark.parametrize("page", [(403, b"no"), {"status": "success", "data": {"yaml": "global: {}"}}])
def test_hidden_configuration_makes_the_interval_measured(page: Any) -> None:
    assert asking(status__config=page, query=vector(20))[0].scrape_interval() == 15.0


def test_ready_gives_the_reason_if_not_ready() -> None:
    script = Scripted({"/-/ready": (200, b"Ready")})
    assert script.prometheus().ready() is None
    script.answers["/-/ready"] = (503, b"Service Unavailable")
    assert script.prometheus().ready() == "http://prometheus.invalid is not ready: 503 Service Unavailable"
    script.answers["/-/ready"] = requests.ConnectionError("refused")
    assert script.prometheus().ready() == "http://prometheus.invalid does not answer: refused"


def test_description_has_the_version_and_no_password() -> None:
    script = Scripted({"status/buildinfo": {"status": "success", "data": {"version": "3.13.0"}}})
    prometheus = Prometheus("http://prometheus.invalid/", via=script)
    assert prometheus.describe() == "Prometheus 3.13.0 at http://prometheus.invalid"
    assert Prometheus("https://me:secret@prometheus.invalid/x").place == "https://prometheus.invalid/x"


@pytest.mark.parametrize(
    ("value", "escaped"), [("shop", "shop"), ('a"b', 'a\\"b'), ("a\\d", "a\\\\d"), ("a\nb", "a\\nb")]
)
def test_label_values_are_escaped(value: str, escaped: str) -> None:
    assert escape(value) == escaped


@pytest.fixture
def flaky() -> Iterator[tuple[str, list[int]]]:
    """A server on loopback that answers with these statuses, one after the other."""
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = statuses.pop(0)
            body = json.dumps(vector(7) if status == 200 else {"status": "error", "error": f"state {status}"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", statuses
    server.shutdown()
    thread.join()
    server.server_close()


def test_server_errors_are_retried_and_mistakes_are_not(flaky: tuple[str, list[int]]) -> None:
    url, statuses = flaky
    statuses += [503, 200]
    assert Prometheus(url, clock=FakeClock()).number("up").value == 7.0
    statuses += [400, 200]
    with pytest.raises(QueryRefused, match="state 400"):
        Prometheus(url, clock=FakeClock()).number("up")
    assert statuses == [200]
    # Who is told to ask less often must not ask at once again.
    statuses[:] = [429, 200]
    with pytest.raises(QueryRefused, match="state 429"):
        Prometheus(url, clock=FakeClock()).number("up")
    assert statuses == [200]


def test_lasting_server_error_is_reported_with_its_message(flaky: tuple[str, list[int]]) -> None:
    url, statuses = flaky
    statuses += [503, 503, 503, 200]
    with pytest.raises(PrometheusAway, match="answers 503: state 503"):
        Prometheus(url, clock=FakeClock()).number("up")
    assert statuses == [200]
