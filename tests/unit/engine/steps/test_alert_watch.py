"""Alerts are looked at beside the experiment, in the servers that the objective names."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.common.errors import Inconclusive
from harness.engine.python_experiment import PythonExperiment
from harness.engine.steps.alert_watch import AlertWatch, lacking, needed_for
from harness.model.timeline import Timeline
from harness.objectives.alert import Alert
from harness.objectives.restarts import Restarts
from tests.fake_run import Stage
from tests.unit.probes.prometheus.test_alerts import received, rule, rules
from tests.unit.prometheus.scripted_prometheus import Scripted, config
from tests.unit.prometheus.test_discovery import service

OWN = Alert(name="ShopDown", firesWithin="30s", prometheus="service/prom", alertmanager="service/am")
SHARED = Alert(name="ShopDown", firesWithin="30s", labels={"namespace": "$namespace"})
PLAIN = Alert(name="ShopDown", firesWithin="30s", alertmanager="none")
PROXY = "/api/v1/namespaces/shop/services/{}/proxy{}"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def serve(stage: Stage) -> None:
    ports = ({"name": "web", "port": 9090}, {"name": "web", "port": 9093})
    stage.cluster.server.seed(service("prom", "shop", ports[0]), service("am", "shop", ports[1]))
    pages: Mapping[str, Any] = {
        PROXY.format("prom:9090", "/api/v1/rules"): rules(rule()),
        PROXY.format("prom:9090", "/api/v1/targets"): {"status": "success", "data": {"activeTargets": []}},
        PROXY.format("prom:9090", "/api/v1/status/config"): config("2s"),
        PROXY.format("am:9093", "/api/v2/alerts"): [received()],
    }
    for path, body in pages.items():
        stage.cluster.server.pages[path] = lambda _query, body=body: json.dumps(body).encode()


def test_own_servers_are_looked_at(stage: Stage) -> None:
    serve(stage)
    timeline = Timeline(0.0, 0.0)
    looked = threading.Event()
    watch = AlertWatch(stage.run(), "shop", timeline, [OWN, Restarts(of="deployment/shop", max=1)])
    watch._run.clock.wait = lambda event, seconds: looked.set() or event.wait(30)  # type: ignore[method-assign]
    with watch:
        assert looked.wait(30)
    assert [(seen.series, seen.subject, seen.error) for seen in timeline] == [
        ("alerts", "alert ShopDown", None),
        ("alertmanager", "alert ShopDown", None),
    ]


def test_nothing_is_added_after_the_stop(stage: Stage) -> None:
    serve(stage)
    timeline = Timeline(0.0, 0.0)
    watch = AlertWatch(stage.run(), "shop", timeline, [OWN])
    watch._probes = [watch._probe(OWN)]
    watch.stop()
    watch.look()
    assert list(timeline) == []


def test_missing_service_is_inconclusive(stage: Stage) -> None:
    with pytest.raises(Inconclusive, match='alert ShopDown: 404 NotFound: services "prom" not found'):
        AlertWatch(stage.run(), "shop", Timeline(0.0, 0.0), [OWN]).__enter__()


def test_no_alert_needs_no_server(stage: Stage) -> None:
    with AlertWatch(stage.run(), "shop", Timeline(0.0, 0.0), []) as watch:
        assert not watch._thread.is_alive()
    assert list(lacking(stage.run(), [])) == []


def test_labels_may_name_the_namespace(stage: Stage) -> None:
    run = replace(stage.run(), prometheus=Scripted().prometheus(), alertmanager_url="http://alerts.invalid")
    probe = AlertWatch(run, "rh-shop-1", Timeline(0.0, 0.0), [SHARED])._probe(SHARED)
    assert probe._wanted.labels == {"namespace": "rh-shop-1"}


def test_missing_servers_are_named_before_the_run(stage: Stage) -> None:
    run = stage.run()
    missing = list(lacking(run, [SHARED, PLAIN, OWN]))
    assert [text.partition(",")[0] for text in missing] == [
        "no Prometheus found",
        "no Prometheus found",
        "no Alertmanager found",
    ]
    assert list(lacking(replace(run, alertmanager_url="http://alerts.invalid"), [OWN])) == []


def test_silent_alertmanager_is_named_before_the_run(stage: Stage) -> None:
    run = replace(stage.run(), alertmanager_url="http://127.0.0.1:1/am", prometheus=Scripted().prometheus())
    (why,) = lacking(run, [SHARED])
    assert why.startswith("--alertmanager-url: Alertmanager at http://127.0.0.1:1/am does not answer")


def test_own_servers_need_the_service_proxy() -> None:
    assert {str(each) for each in needed_for([OWN])} == {
        "get services in the experiment's namespace",
        "get services/proxy in the experiment's namespace",
    }
    assert needed_for([SHARED, PLAIN]) == frozenset()


def test_python_test_watches_its_alerts(stage: Stage) -> None:
    test = PythonExperiment(stage.run(), "one", "it holds well", stage.root / "test_one.py", "test_one.py::test_one")
    with pytest.raises(Inconclusive, match="no Prometheus found, needed for alert ShopDown"):
        test.watch_alerts(PLAIN)
