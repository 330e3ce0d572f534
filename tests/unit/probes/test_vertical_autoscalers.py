"""The probe of vertical autoscalers reads what they recommend into numbers."""

from __future__ import annotations

from typing import Any

import pytest

from harness.probes.standard import standard_probes
from harness.probes.vertical_autoscalers import VerticalAutoscalerProbe


def seen(spec: Any, status: Any) -> Any:
    item = {"metadata": {"name": "web"}, "spec": spec, "status": status}
    (sighting,) = VerticalAutoscalerProbe().see("MODIFIED", item)
    assert sighting.subject == "vpa/web"
    return sighting.value


def test_recommendations_are_numbers_by_container() -> None:
    known = {
        "containerName": "app",
        "target": {"cpu": "125m", "memory": "64Mi"},
        "lowerBound": {"cpu": "25m"},
        "upperBound": {"cpu": "1"},
        "uncappedTarget": {"cpu": "2"},
    }
    spec = {"updatePolicy": {"updateMode": "Off"}}
    value = seen(spec, {"recommendation": {"containerRecommendations": [known]}})
    assert value["mode"] == "Off"
    assert value["containers"] == {
        "app": {
            "target": {"cpu": 0.125, "memory": 64 * 2**20},
            "lower": {"cpu": 0.025},
            "upper": {"cpu": 1.0},
            "uncapped": {"cpu": 2.0},
        }
    }


@pytest.mark.parametrize("status", [None, {}, {"conditions": [{"type": "NoPodsMatched", "status": "True"}]}])
def test_without_a_recommendation_there_is_no_container(status: Any) -> None:
    assert seen({}, status)["containers"] == {}


@pytest.mark.parametrize(("kind", "watched"), [("VerticalPodAutoscaler", True), ("Deployment", False)])
def test_autoscalers_are_watched_only_if_there_are_any(kind: str, watched: bool) -> None:
    probes = standard_probes([{"kind": kind}])
    assert any(isinstance(probe, VerticalAutoscalerProbe) for probe in probes) is watched
