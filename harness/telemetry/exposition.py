"""Metrics as Prometheus text, and how those of a run are merged with those of earlier runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from harness.common.errors import HarnessError
from harness.telemetry.metrics import BY_NAME, METRICS, PREFIX, Sample


class _Samples(Collector):
    """What prometheus-client collects: given values, and none of its own such as ``_created``."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = list(samples)

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            family = Family(metric.name.removesuffix("_total"), metric.help, metric.kind)
            for sample in self._samples:
                if sample.metric is metric:
                    # An empty label is the same as none to Prometheus; the Pushgateway drops it.
                    labels = {name: value for name, value in sample.labels.items() if value}
                    family.add_sample(metric.name, labels, sample.value)
            if family.samples:
                yield family


def registry_of(samples: Iterable[Sample]) -> CollectorRegistry:
    """Return a registry of prometheus-client with these values alone."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Samples(samples))
    return registry


def exposed(samples: Iterable[Sample]) -> str:
    """Return the values in the text format of Prometheus, ordered by metric and labels."""
    return generate_latest(registry_of(sorted(samples, key=lambda sample: sample.key))).decode()


def parsed(text: str) -> tuple[list[Sample], list[str]]:
    """Return our values in a text of Prometheus, and the names of metrics that are not ours.

    A metric of another version of the harness is left out. Raises HarnessError if it is not such a text."""
    found, others = list[Sample](), set[str]()
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if metric := BY_NAME.get(sample.name):
                    labels = {name: sample.labels.get(name, "") for name in (*metric.scope, *metric.labels)}
                    found.append(Sample(metric, labels, sample.value))
                elif not sample.name.startswith(PREFIX):
                    others.add(sample.name)
    except (ValueError, KeyError, IndexError) as error:
        raise HarnessError(f"not metrics in Prometheus' text format: {error}") from error
    return found, sorted(others)


def merged(before: Iterable[Sample], now: Iterable[Sample]) -> list[Sample]:
    """Return the values of a run with those of earlier runs that it does not replace.

    What the run has values of is replaced as a whole, so that a removed objective does not stay; all other experiments
    and clusters stay. Counters add up, and the time of the last success stays until the next one.
    """
    values = {sample.key: sample for sample in now}
    replaced = {(sample.metric.scope, sample.scope) for sample in values.values()}
    for old in before:
        new = values.get(old.key)
        if new is not None and old.metric.kind == "counter":
            values[old.key] = Sample(old.metric, old.labels, old.value + new.value)
        elif new is None and (old.metric.kept or (old.metric.scope, old.scope) not in replaced):
            values[old.key] = old
    return list(values.values())
