"""Alerts that no run could decide are refused before a cluster is contacted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.experiment.alert_checks import alert_problems, title_problems
from harness.experiment.manifests import Workload
from harness.experiment.phases import Length, Phases
from harness.objectives.alert import Alert

PHASES = Phases(fault=Length.of(35.0), recovery=50.0, settle=5.0)


def workload() -> Workload:
    ports = [{"name": "web", "port": 9090}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "prometheus"}, "spec": {"ports": ports}}
    return Workload(Path(), (service,), ())


def problems(faults: int = 1, **fields: Any) -> list[tuple[str, str]]:
    given = {"name": "ShopDown", "firesWithin": "30s", "prometheus": "service/prometheus", "alertmanager": "none"}
    found = alert_problems([Alert(**{**given, **fields})], PHASES, faults, workload())
    return [(str(place[-1]), message) for place, message in found]


def test_sound_alert_has_no_problem() -> None:
    assert problems(resolvesWithin="50s") == []
    assert problems(firesWithin=None, mustNotFire=True) == []
    assert problems(prometheus="service/prometheus:9090", alertmanager="service/prometheus:web") == []


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"firesWithin": "35s"}, "firesWithin", "found 35 s, expected less than phases.fault (35 s)"),
        ({"resolvesWithin": "55s"}, "resolvesWithin", "phases.recovery and phases.settle together (55 s)"),
        ({"faults": 0}, "alert", "found an alert but no faults"),
        ({"prometheus": "service/other"}, "prometheus", "found service/other, but the workload has service/prometheus"),
        ({"alertmanager": "service/prometheus:grpc"}, "alertmanager", "found the port grpc"),
    ],
)
def test_undecidable_alert_is_refused(fields: dict[str, Any], field: str, text: str) -> None:
    ((place, message),) = problems(**fields)
    assert place == field
    assert text in message


def test_servers_are_not_checked_without_a_workload() -> None:
    alert = Alert(name="ShopDown", firesWithin="30s", prometheus="service/other")
    assert list(alert_problems([alert], PHASES, 1, None)) == []


def test_two_alerts_with_one_title_are_refused() -> None:
    alert = Alert(name="ShopDown", firesWithin="30s")
    ((place, message),) = title_problems([alert, alert, Alert(name="ShopDown", mustNotFire=True)])
    assert place == ("objectives", 1, "alert", "name")
    assert "'alert ShopDown' twice" in message
