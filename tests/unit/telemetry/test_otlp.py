"""Spans and metrics as an OpenTelemetry receiver decodes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from harness.common.errors import HarnessError
from harness.model.verdict import Verdict
from harness.telemetry import otlp
from harness.telemetry.metrics import METRICS
from harness.telemetry.otlp import DELTA, metrics_of, otel_name, recorded_spans, send
from harness.telemetry.spans import spans
from tests.unit.telemetry.http_server import Server, serving
from tests.unit.telemetry.runs import experiment, run


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        made.answer = lambda _request: b""
        yield made


def test_receiver_gets_spans_and_metrics(server: Server) -> None:
    whole = run(experiment(verdict=Verdict.BROKEN, passed=False, reason="too slow"))
    send(server.url, whole)
    assert server.paths() == ["POST /v1/traces", "POST /v1/metrics"]
    traces = ExportTraceServiceRequest.FromString(server.requests[0].body)
    (scope,) = traces.resource_spans[0].scope_spans
    found = {span.name: span for span in scope.spans}
    assert {span.span_id.hex() for span in scope.spans} == {span.id for span in spans(whole)}
    assert found["phase fault"].parent_span_id == found["experiment one"].span_id
    assert found["experiment one"].status.message == "BROKEN: too slow"
    metrics = ExportMetricsServiceRequest.FromString(server.requests[1].body)
    names = {metric.name for metric in metrics.resource_metrics[0].scope_metrics[0].metrics}
    # There was no success, and no game day.
    success = {otel_name(metric)[0] for metric in METRICS if "success" in metric.name or "gameday" in metric.name}
    assert names == {otel_name(metric)[0] for metric in METRICS} - success


def test_credentials_in_the_url_are_a_header(server: Server) -> None:
    send(server.url.replace("//", "//me:secret@"), run())
    assert {each.headers["authorization"] for each in server.requests} == {"Basic bWU6c2VjcmV0"}


def test_refusal_is_an_error_with_its_reason(server: Server) -> None:
    server.codes = [401]
    with pytest.raises(HarnessError, match=r"/v1/traces: .*401"):
        send(server.url, run())


def test_many_spans_are_sent_in_parts(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "BATCH", 2)
    send(server.url, run())
    sent = [ExportTraceServiceRequest.FromString(each.body) for each in server.requests if "traces" in each.path]
    assert sum(len(part.resource_spans[0].scope_spans[0].spans) for part in sent) == len(recorded_spans(run()))
    assert len(sent) == 3


@pytest.mark.parametrize(("preference", "temporality"), [("", 2), ("delta", 1)])
def test_counter_has_the_preferred_temporality(
    monkeypatch: pytest.MonkeyPatch, preference: str, temporality: int
) -> None:
    monkeypatch.setenv(DELTA, preference)
    (scope,) = metrics_of(run()).resource_metrics[0].scope_metrics
    (counter,) = [metric for metric in scope.metrics if metric.name == "resilience.runs"]
    assert int(counter.data.aggregation_temporality) == temporality


def test_environment_sampler_drops_no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert len(recorded_spans(run())) == 6
