"""An alert that did not fire or arrive: its rule selects nothing, waits too long, or nothing delivers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.shapes import listed, mapping


def _files(case: Case) -> Iterator[tuple[Object, str, Mapping[str, Any]]]:
    """Yield the YAML files in ConfigMaps that hold a mapping: the object, the file's key and its content."""
    for item in case.objects("ConfigMap"):
        for key, text in (item.get("data") or {}).items():
            try:
                found = yaml.safe_load(text)
            except yaml.YAMLError:
                continue
            if isinstance(found, dict):
                yield item, key, found


def _rules(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    # Any ConfigMap may have a key of this name.
    for group in listed(content.get("groups")):
        yield from (rule for rule in listed(mapping(group).get("rules")) if mapping(rule).get("alert"))


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles("alert")
    if not explains:
        return
    reasons = "; ".join(finding.reason for finding in case.missed("alert"))
    for item, key, content in _files(case):
        place = f"{key} of {reference(item)}"
        patch = {reference(item): {"data": {key: "…"}}}
        for rule in _rules(content):
            yield Advice(
                f"the rule of alert {rule['alert']} in {place} selects no series that goes wrong in this fault, or "
                f"waits too long (for: {rule.get('for', '0s')})",
                f"{reasons}; its expression is {rule.get('expr')}",
                Strength.LIKELY,
                explains,
                patch,
            )
        if "scrape_configs" in content and not mapping(content.get("alerting")).get("alertmanagers"):
            yield Advice(
                f"Prometheus has no Alertmanager to send alerts to ({place})",
                f"{reasons}; alerting.alertmanagers is not set",
                Strength.OBSERVED,
                explains,
                patch,
            )


RULE = Rule("alert-rule", _find)
