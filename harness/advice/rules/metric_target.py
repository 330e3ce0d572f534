"""The target of an autoscaler's metric: one that no load reaches, or one that more replicas never bring nearer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.advice.case import Case, too_many
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.cluster.kube.quantities import amount_of
from harness.cluster.kube.resources import AUTOSCALERS

_FEW = ("scaleOut", "replicas", "latency", "availability", "errorRate")


def _values(case: Case, autoscaler: str, name: str) -> list[float]:
    """Return what the autoscaler read of a metric from the fault on."""
    seen = (state.value.get("metrics") or {} for state in case.states("autoscalers", autoscaler))
    return [metrics[name] for metrics in seen if name in metrics]


def _metrics(item: Object) -> Iterator[tuple[int, str, str, Mapping[str, Any]]]:
    """Yield place, kind, name and target of each metric that is not one of the pods' CPU or memory."""
    for number, metric in enumerate((item.get("spec") or {}).get("metrics") or ()):
        for kind in ("pods", "object", "external"):
            if found := metric.get(kind):
                yield number, kind, str(found["metric"]["name"]), found.get("target") or {}


def _out_of_reach(case: Case, item: Object) -> Iterator[Advice]:
    explains, autoscaler = case.titles(*_FEW), reference(item)
    for _, _, name, target in _metrics(item):
        wanted = amount_of(target.get("averageValue") or target.get("value") or "0")
        if explains and (seen := _values(case, autoscaler, name)) and max(seen) < wanted / 2:
            yield Advice(
                f"{autoscaler} wants {wanted:g} of {name}, which is out of reach",
                f"the most that it read is {max(seen):g}",
                Strength.OBSERVED,
                explains,
            )


def _of_the_whole(case: Case, item: Object) -> Iterator[Advice]:
    explains = tuple(each.title for each, finding in case.broken("replicas") if too_many(finding))
    autoscaler = reference(item)
    for number, kind, name, target in _metrics(item):
        wanted = target.get("value")
        if explains and kind != "pods" and wanted is not None:
            metrics = [dict(metric) for metric in item["spec"]["metrics"]]
            changed = {"type": "AverageValue", "averageValue": wanted}
            metrics[number] = {**metrics[number], kind: {**metrics[number][kind], "target": changed}}
            yield Advice(
                f"{autoscaler} compares {name} of all replicas with its target, so no number of replicas is enough",
                f"the target has the type Value: {wanted}",
                Strength.LIKELY,
                explains,
                {autoscaler: {"spec": {"metrics": metrics}}},
            )


def _find(case: Case) -> Iterator[Advice]:
    for item in case.objects(AUTOSCALERS.kind):
        yield from _out_of_reach(case, item)
        yield from _of_the_whole(case, item)


RULE = Rule("metric-target", _find)
