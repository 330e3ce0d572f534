"""``--otlp``: metrics and spans of a run by OpenTelemetry's protocol over HTTP, with the SDK of the extra ``otel``.

Headers, certificates and compression are those of the standard variables, such as ``OTEL_EXPORTER_OTLP_HEADERS``.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit, urlunsplit

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as ExportedMetric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from harness import __version__
from harness.common.errors import HarnessError
from harness.results.record import RunRecord
from harness.telemetry.metrics import METRICS, PREFIX, Metric, samples
from harness.telemetry.moments import seconds
from harness.telemetry.spans import Span, spans

SCOPE = "resilience-harness"
# The exporters send again within this time if the endpoint is busy.
TIMEOUT = 10.0
# Below the 4 MiB that many receivers accept.
BATCH = 512
DELTA = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"


def send(url: str, run: RunRecord) -> None:
    """Send the spans and then the metrics of a run. Raises HarnessError with the exporter's reason."""
    parts = urlsplit(url)
    base = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else ""
    headers = {"authorization": f"Basic {base64.b64encode(user.encode()).decode()}"} if user else None
    traces = OTLPSpanExporter(f"{base}/v1/traces", headers=headers, timeout=TIMEOUT)
    metrics = OTLPMetricExporter(f"{base}/v1/metrics", headers=headers, timeout=TIMEOUT)
    recorded = recorded_spans(run)
    for start in range(0, len(recorded), BATCH):
        with _reason(f"{base}/v1/traces") as failed:
            failed(traces.export(recorded[start : start + BATCH]) is not SpanExportResult.SUCCESS)
    with _reason(f"{base}/v1/metrics") as failed:
        failed(metrics.export(metrics_of(run)) is not MetricExportResult.SUCCESS)


def metrics_of(run: RunRecord) -> MetricsData:
    """Return the metrics of a run, all at the time of its end. Counters count this run alone, since its start."""
    began, ended = _nanoseconds(seconds(run.started)), _nanoseconds(seconds(run.finished or run.started))
    values = samples(run)
    found = []
    for metric in METRICS:
        points = [
            NumberDataPoint({name: text for name, text in each.labels.items() if text}, began, ended, each.value)
            for each in values
            if each.metric is metric
        ]
        if points:
            name, unit = otel_name(metric)
            found.append(ExportedMetric(name, metric.help, unit, _data(metric, points)))
    scope = ScopeMetrics(InstrumentationScope(SCOPE, __version__), found, "")
    return MetricsData([ResourceMetrics(_resource(), [scope], "")])


def otel_name(metric: Metric) -> tuple[str, str]:
    """Return OpenTelemetry's name and unit of a metric; Prometheus translates them back to the metric's own name."""
    name, unit = f"{PREFIX[:-1]}.{metric.name.removeprefix(PREFIX)}", ""
    if name.endswith("_seconds"):
        unit = "s"
    elif name.endswith("_ratio"):
        unit = "1"
    return name.removesuffix("_seconds").removesuffix("_ratio").removesuffix("_total"), unit


def recorded_spans(run: RunRecord) -> list[ReadableSpan]:
    """Return the spans of a run as the SDK's, with their own ids and times."""
    ids, ended = _GivenIds(), _Ended()
    provider = TracerProvider(sampler=ALWAYS_ON, resource=_resource(), id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(ended)
    tracer = provider.get_tracer(SCOPE, __version__)
    for span in spans(run):
        ids.span = span
        parent = set_span_in_context(NonRecordingSpan(_context(span.trace, span.parent))) if span.parent else None
        made = tracer.start_span(
            span.name,
            context=parent,
            attributes=dict(span.attributes),
            links=[Link(_context(*link)) for link in span.links],
            start_time=_nanoseconds(span.start),
        )
        for event in span.events:
            made.add_event(event.name, dict(event.attributes), _nanoseconds(event.at))
        if span.error != "":
            made.set_status(Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK))
        made.end(_nanoseconds(span.end))
    return ended.spans


class _GivenIds(IdGenerator):
    """Gives the ids of ``span`` to the next span that is made."""

    span: Span

    def generate_span_id(self) -> int:
        return int(self.span.id, 16)

    def generate_trace_id(self) -> int:
        return int(self.span.trace, 16)


class _Ended(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def _context(trace: str, span: str) -> SpanContext:
    return SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _data(metric: Metric, points: Sequence[NumberDataPoint]) -> Gauge | Sum:
    if metric.kind == "gauge":
        return Gauge(points)
    delta = os.environ.get(DELTA, "").strip().lower() == "delta"
    return Sum(points, AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE, True)


def _resource() -> Resource:
    return Resource.create({"service.name": SCOPE, "service.version": __version__})


def _nanoseconds(at: float | None) -> int:
    return round((at or 0.0) * 1e9)


class _FirstMessage(logging.Handler):
    """Keeps the first message: it has the cause, the last one that the exporter gave up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()


@contextmanager
def _reason(where: str) -> Iterator[_Check]:
    """Yield a function that raises HarnessError for a failed export. The exporters log its reason and hide it else."""
    logger, first = logging.getLogger("opentelemetry"), _FirstMessage()
    spread, logger.propagate = logger.propagate, False
    logger.addHandler(first)
    try:
        yield _Check(where, first)
    finally:
        logger.removeHandler(first)
        logger.propagate = spread


class _Check:
    def __init__(self, where: str, first: _FirstMessage) -> None:
        self._where, self._first = where, first

    def __call__(self, failed: bool) -> None:
        if failed:
            raise HarnessError(f"{self._where}: {self._first.text[:300] or 'refused'}")
