"""Metrics of runs in a real Prometheus: through the textfile of a node_exporter, and through a Pushgateway."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from harness.common.clock import SystemClock
from harness.common.waiting import wait_until
from harness.model.verdict import Verdict
from harness.results.game_day_record import GameDayRecord
from harness.telemetry.alerts import DAY, Alerts
from harness.telemetry.dashboard import DASHBOARD
from harness.telemetry.metrics import samples
from harness.telemetry.pushgateway import Pushgateway
from harness.telemetry.textfile import write_textfile
from tests.integration.debian_programs import unpacked
from tests.unit.telemetry.runs import experiment, leftover, moment, run, twin

# Seconds that a busy machine may take for a step; a step ends as soon as it is done.
PATIENCE = 120.0
GAME_DAY = GameDayRecord(name="weekly", started=moment(0), finished=moment(75), verdict=Verdict.HELD)
HELD = run(experiment(), twin(), game_day=GAME_DAY)
BROKEN = run(
    experiment(verdict=Verdict.BROKEN, passed=False, faults=[leftover()]),
    twin(),
    game_day=GAME_DAY.model_copy(update={"verdict": Verdict.BROKEN}),
)


@pytest.fixture(scope="module")
def programs() -> Path:
    return unpacked("prometheus", "prometheus-pushgateway", "prometheus-node-exporter")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def program(log: Path, command: list[str], port: int, ready: str) -> Iterator[str]:
    """Run a program until the end of the body, once it answers at ``ready``; yield its URL."""
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:

        def look() -> tuple[bool | None, str]:
            assert process.poll() is None, log.read_text()
            try:
                return requests.get(url + ready, timeout=PATIENCE).ok or None, "not ready"
            except requests.ConnectionError as error:
                return None, str(error)

        try:
            wait_until(f"{command[0]} to answer", look, PATIENCE, SystemClock(), every=0.05)
            yield url
        finally:
            process.terminate()


@pytest.fixture(params=["textfile", "pushgateway"])
def prometheus(request: pytest.FixtureRequest, programs: Path, tmp_path: Path) -> Iterator[str]:
    """A Prometheus that has scraped the metrics of two runs, the second of which broke and left something."""
    port, own = free_port(), free_port()
    address = f"--web.listen-address=127.0.0.1:{port}"
    with ExitStack() as stack:
        if request.param == "textfile":
            for each in (HELD, BROKEN):
                write_textfile(tmp_path / "resilience.prom", samples(each))
            only = [
                "--collector.disable-defaults",
                "--collector.textfile",
                f"--collector.textfile.directory={tmp_path}",
            ]
            command = [str(programs / "prometheus-node-exporter"), address, *only]
            stack.enter_context(program(tmp_path / "exporter.log", command, port, "/metrics"))
        else:
            command = [str(programs / "prometheus-pushgateway"), address]
            url = stack.enter_context(program(tmp_path / "gateway.log", command, port, "/-/ready"))
            for each in (HELD, BROKEN):
                Pushgateway(url, PATIENCE).push(samples(each))
        (tmp_path / "rules.yaml").write_text(Alerts(8 * DAY).file())
        scrape = {"job_name": "x", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        timing = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = {"global": timing, "rule_files": ["rules.yaml"], "scrape_configs": [scrape]}
        (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
        storage = f"--storage.tsdb.path={tmp_path}/data"
        listen = f"--web.listen-address=127.0.0.1:{own}"
        command = [str(programs / "prometheus"), f"--config.file={tmp_path}/prometheus.yaml", storage, listen]
        yield stack.enter_context(program(tmp_path / "prometheus.log", command, own, "/-/ready"))


def query(prometheus: str, promql: str) -> list[dict[str, Any]]:
    reply = requests.get(f"{prometheus}/api/v1/query", params={"query": promql}, timeout=PATIENCE)
    assert reply.ok, f"{promql}: {reply.text}"
    return list(reply.json()["data"]["result"])


def until_found(prometheus: str, promql: str) -> list[dict[str, Any]]:
    def look() -> tuple[list[dict[str, Any]] | None, str]:
        return query(prometheus, promql) or None, "no series"

    return wait_until(promql, look, PATIENCE, SystemClock(), every=0.2)


def value(prometheus: str, promql: str) -> float:
    (found,) = query(prometheus, promql)
    return float(found["value"][1])


def test_two_runs_are_in_prometheus(prometheus: str) -> None:
    until_found(prometheus, 'resilience_experiment_verdict{experiment="one",twin="",verdict="BROKEN"} == 1')
    assert value(prometheus, "sum(resilience_runs_total)") == 2
    assert value(prometheus, 'resilience_experiment_runs_total{twin="",verdict="HELD"}') == 1
    assert value(prometheus, 'resilience_recovery_lower_bound_seconds{twin="",clock="user"}') == 3.5
    assert value(prometheus, 'resilience_recovery_upper_bound_seconds{twin="",clock="control plane"}') == float("inf")
    assert value(prometheus, 'resilience_experiment_passed{twin="single"}') == 1
    assert query(prometheus, 'resilience_experiment_last_success_timestamp_seconds{twin=""}')
    # The alerts that need no time: by the rules that are printed.
    until_found(prometheus, 'ALERTS{alertname="ResilienceExperimentBroken",alertstate="firing",experiment="one"}')
    until_found(prometheus, 'ALERTS{alertname="ResilienceLeftovers",alertstate="firing",context="kind-test"}')
    assert not query(prometheus, 'ALERTS{alertname="ResilienceTwinDidNotBreak"}')
    # Every query of the dashboard is one that Prometheus accepts, and finds something.
    for promql in dashboard_queries():
        assert query(prometheus, promql), promql


def dashboard_queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    for name in ("context", "experiment", "clock"):
        queries = [text.replace(f"${name}", ".*") for text in queries]
    # No counter has increased while the test looks.
    return [text for text in queries if "increase(" not in text]
