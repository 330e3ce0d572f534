"""A run writes and sends its metrics, traces and annotations at its end, and no failure of that changes a verdict."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugin.conftest import Project
from tests.unit.telemetry.http_server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as made:
        made.answer = lambda _request: b""
        yield made


def test_metrics_of_two_runs_are_in_the_textfile(project: Project) -> None:
    project.experiment("held")
    project.experiment("missed", "objectives: [told: {says: BROKEN}]\n")
    project.run("--cluster", "--metrics-textfile=resilience.prom", "experiments/held.yaml").assert_outcomes(passed=1)
    project.run("--cluster", "--metrics-textfile=resilience.prom", "experiments/missed.yaml").assert_outcomes(failed=1)
    text = (project.root / "resilience.prom").read_text()
    assert 'resilience_experiment_verdict{context="fake",experiment="held",verdict="HELD"} 1.0' in text
    assert 'resilience_experiment_verdict{context="fake",experiment="missed",verdict="BROKEN"} 1.0' in text
    assert 'resilience_runs_total{context="fake",verdict="HELD"} 1.0' in text


def test_everything_is_sent_after_the_run(project: Project, server: Server) -> None:
    project.experiment("held")
    places = [f"--metrics-pushgateway={server.url}", f"--otlp={server.url}", f"--grafana-url={server.url}"]
    project.run("--cluster", *places, "experiments/held.yaml").assert_outcomes(passed=1)
    assert {path.partition("?")[0] for path in server.paths()} == {
        "GET /metrics",
        "PUT /metrics/job/resilience/context/fake",
        "PUT /metrics/job/resilience/context/fake/experiment/held",
        "POST /v1/traces",
        "POST /v1/metrics",
        "POST /api/annotations",
    }


def test_failures_are_warnings_in_terminal_and_report(project: Project, server: Server) -> None:
    server.codes = [503, 401]
    project.experiment("held")
    url = server.url.replace("//", "//me:c4n4ry@")
    result = project.run("--cluster", f"--metrics-pushgateway={url}", "experiments/held.yaml")
    assert result.ret == pytest.ExitCode.OK
    expected = f"not sent to Pushgateway: {server.url}: HTTP 503 Service Unavailable"
    assert project.record().warnings == [expected]
    assert [line for line in result.outlines if line.endswith(f"warning: {expected}")]
    (folder,) = (project.root / "reports").iterdir()
    for name in ("index.html", "summary.md"):
        assert "Pushgateway" in (folder / name).read_text()
    for file in folder.rglob("*"):
        assert not file.is_file() or "c4n4ry" not in file.read_text(errors="replace")


def test_dry_run_sends_nothing(project: Project, server: Server) -> None:
    project.experiment("planned", "faults: [podKill: {selector: app=shop}]\nobjectives: [told: {}]\n")
    project.run("--cluster", "--plan", f"--otlp={server.url}", "experiments/planned.yaml")
    assert server.requests == []


def test_run_with_workers_sends_once(project: Project, server: Server) -> None:
    project.experiment("one")
    project.experiment("two")
    process = project.start("--cluster", "-n2", f"--otlp={server.url}", "experiments")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert server.paths() == ["POST /v1/traces", "POST /v1/metrics"]
