"""Settings that keep a new pod from being ready for as long as the outage lasted."""

from __future__ import annotations

from collections.abc import Iterator

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.model.quantities import show_seconds

_EXPLAINS = ("recoveryTime", "availability", "errorRate", "invariant", "rolledBack", "rolloutHalts")
# Shorter delays explain no missed objective by themselves.
_LEAST = 3.0


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    if not explains:
        return
    lengths = [found.low for found in case.missed("recoveryTime") if found.low is not None]
    for subject in case.subjects:
        for container in subject.containers:
            for probe in ("readinessProbe", "startupProbe"):
                delay = float((container.get(probe) or {}).get("initialDelaySeconds") or 0)
                if delay < _LEAST:
                    continue
                observed = any(length >= delay for length in lengths)
                took = f"; the recovery took at least {show_seconds(max(lengths))}" if lengths else ""
                yield Advice(
                    f"{subject.name}: no pod can be ready before {probe}.initialDelaySeconds of container "
                    f"{container['name']} has passed",
                    f"initialDelaySeconds is {delay:g}{took}",
                    Strength.OBSERVED if observed else Strength.LIKELY,
                    explains,
                    subject.of_container(container, {probe: {"initialDelaySeconds": 0, "periodSeconds": 1}}),
                )
        least = float(subject.spec.get("minReadySeconds") or 0)
        if least >= _LEAST:
            yield Advice(
                f"{subject.name}: a new pod counts as available only after minReadySeconds",
                f"minReadySeconds is {least:g}",
                Strength.LIKELY,
                explains,
                subject.of_spec({"minReadySeconds": 0}),
            )


RULE = Rule("slow-to-ready", _find)
