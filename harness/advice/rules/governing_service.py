"""Pods of a StatefulSet without DNS records, since there is no Service of the name that serviceName gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.common.labels import matches_labels


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles("identity")
    services = {item["metadata"]["name"]: item.get("spec") or {} for item in case.objects("Service")}
    for subject in case.subjects if explains else ():
        name = subject.spec.get("serviceName")
        if subject.item["kind"] != "StatefulSet" or not name or name in services:
            continue
        headless = [
            known
            for known, spec in services.items()
            if spec.get("clusterIP") == "None"
            and matches_labels({"matchLabels": spec.get("selector")}, subject.source.labels)
        ]
        change = subject.of_spec({"serviceName": headless[0]}) if headless else {f"service/{name}": _new(subject, name)}
        yield Advice(
            f"there is no Service {name}, which serviceName of {subject.name} names: its pods have no DNS records",
            case.missed("identity")[0].reason,
            Strength.OBSERVED,
            explains,
            change,
        )


def _new(subject: Subject, name: str) -> dict[str, Any]:
    ports = [port for each in subject.containers for port in each.get("ports") or ()]
    spec = {
        "clusterIP": "None",
        "selector": dict(subject.source.labels),
        "ports": [{"name": port.get("name", "main"), "port": port["containerPort"]} for port in ports[:1]],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


RULE = Rule("governing-service", _find)
