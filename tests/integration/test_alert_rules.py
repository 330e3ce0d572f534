"""Metrics and alerting rules, checked by promtool; each alert fires when it must, and only then."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.model.verdict import Verdict
from harness.telemetry.alerts import DAY, Alerts
from harness.telemetry.exposition import exposed
from harness.telemetry.metrics import samples
from tests.integration.debian_programs import unpacked
from tests.unit.telemetry.runs import experiment, leftover, run, twin

RUN = run(experiment(), twin(), experiment(name="two", id="two", verdict=Verdict.BROKEN, passed=False))
LEFT = run(experiment(faults=[leftover()]), context="kind-left")


@pytest.fixture(scope="module")
def programs() -> Path:
    return unpacked("prometheus", "prometheus-pushgateway", "prometheus-node-exporter")


def promtool(programs: Path, *arguments: str, text: str = "") -> str:
    command = [str(programs / "promtool"), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_the_metrics(programs: Path) -> None:
    text = exposed([*samples(RUN), *samples(LEFT)])
    assert promtool(programs, "check", "metrics", text=text) == ""
    # The linter itself works.
    broken = text.replace("resilience_runs_total", "resilience_runs")
    command = [str(programs / "promtool"), "check", "metrics"]
    assert subprocess.run(command, input=broken, capture_output=True, text=True, check=False).returncode != 0


@pytest.mark.parametrize("matchers", [{}, {"context": 'a "b" \\ c', "job": "x"}])
def test_promtool_accepts_the_rules(programs: Path, tmp_path: Path, matchers: dict[str, str]) -> None:
    alerts = Alerts(DAY, matchers, {"team": "sre"})
    rules = tmp_path / "rules.yaml"
    rules.write_text(alerts.file())
    assert "8 rules found" in promtool(programs, "check", "rules", str(rules))
    manifest = yaml.safe_load(alerts.manifest("r", "monitoring"))
    assert manifest["spec"] == yaml.safe_load(alerts.file())
    assert (manifest["apiVersion"], manifest["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")


# By alert: series that let it fire, the labels that it then has, series that do not, and when to look.
LAST, SUCCESS = "resilience_last_run_timestamp_seconds", "resilience_last_success_timestamp_seconds"
DAY_LAST = "resilience_gameday_last_run_timestamp_seconds"
DAY_SUCCESS = "resilience_gameday_last_success_timestamp_seconds"
CASES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str], str]] = {
    "ResilienceRunMissed": (
        {f'{LAST}{{context="c"}}': "0x2000"},
        {"context": "c"},
        # A later run, by another instance too.
        {f'{LAST}{{context="c",instance="a"}}': "0x2000", f'{LAST}{{context="c",instance="b"}}': "86400x2000"},
        "1d16m",
    ),
    "ResilienceNoSuccess": (
        {f'{SUCCESS}{{context="c"}}': "0x2000", f'{LAST}{{context="c"}}': "86400x2000"},
        {"context": "c"},
        {f'{SUCCESS}{{context="c"}}': "10000x2000", f'{LAST}{{context="c"}}': "86400x2000"},
        "1d2h",
    ),
    "ResilienceGameDayMissed": (
        {f'{DAY_LAST}{{context="c",gameday="d"}}': "0x2000", f'{LAST}{{context="c"}}': "86400x2000"},
        {"context": "c", "gameday": "d"},
        {f'{DAY_LAST}{{context="c",gameday="d"}}': "86400x2000"},
        "1d16m",
    ),
    "ResilienceGameDayNoSuccess": (
        {f'{DAY_LAST}{{context="c",gameday="d"}}': "0x100"},
        {"context": "c", "gameday": "d"},
        {f'{DAY_LAST}{{context="c",gameday="d"}}': "0x100", f'{DAY_SUCCESS}{{context="c",gameday="d"}}': "0x100"},
        "61m",
    ),
    "ResilienceExperimentBroken": (
        {'resilience_experiment_verdict{context="c",experiment="e",verdict="BROKEN"}': "1x10"},
        {"context": "c", "experiment": "e"},
        {
            'resilience_experiment_verdict{context="c",experiment="e",verdict="BROKEN"}': "0x10",
            'resilience_experiment_verdict{context="c",experiment="e",verdict="HELD"}': "1x10",
            'resilience_experiment_verdict{context="c",experiment="e",twin="t",verdict="BROKEN"}': "1x10",
        },
        "1m",
    ),
    "ResilienceTwinDidNotBreak": (
        {'resilience_experiment_passed{context="c",experiment="e",twin="t"}': "0x10"},
        {"context": "c", "experiment": "e", "twin": "t"},
        {
            'resilience_experiment_passed{context="c",experiment="e",twin="t"}': "1x10",
            'resilience_experiment_passed{context="c",experiment="e"}': "0x10",
        },
        "1m",
    ),
    "ResilienceLeftovers": (
        {'resilience_last_run_leftovers{context="c"}': "2x10"},
        {"context": "c"},
        {'resilience_last_run_leftovers{context="c"}': "0x10"},
        "1m",
    ),
    "ResilienceMetricsMissing": ({}, {}, {f'{LAST}{{context="c"}}': "1x100"}, "61m"),
}
# Without any success it alerts too.
NEVER = "ResilienceNoSuccess", ({f'{LAST}{{context="c"}}': "0x100"}, {"context": "c"}, {}, "61m")


def test_every_alert_has_a_case() -> None:
    assert [rule["alert"] for rule in Alerts(DAY).rules()] == list(CASES)


@pytest.mark.parametrize(("name", "case"), [*CASES.items(), NEVER])
@pytest.mark.parametrize("fires", [True, False])
def test_alert_fires_and_does_not_fire(
    programs: Path, tmp_path: Path, name: str, case: tuple[Any, Any, Any, str], fires: bool
) -> None:
    firing, labels, quiet, when = case
    alerts = Alerts(DAY)
    (tmp_path / "rules.yaml").write_text(alerts.file())
    (severity,) = [rule["labels"]["severity"] for rule in alerts.rules() if rule["alert"] == name]
    expected = {"exp_labels": {"severity": severity, **labels}, "exp_annotations": _annotations(alerts, name, labels)}
    series = [{"series": key, "values": value} for key, value in (firing if fires else quiet).items()]
    test = {
        "interval": "1m",
        "input_series": series,
        "alert_rule_test": [{"eval_time": when, "alertname": name, "exp_alerts": [expected] if fires else []}],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}))
    promtool(programs, "test", "rules", str(file))


def _annotations(alerts: Alerts, name: str, labels: dict[str, str]) -> dict[str, str]:
    (found,) = [rule["annotations"] for rule in alerts.rules() if rule["alert"] == name]
    values = {f"$labels.{label}": value for label, value in labels.items()}
    values |= {"$value | humanizeDuration": "1d 0h 16m 0s", "$value": "2"}
    filled = dict(found)
    for key, text in found.items():
        for what, value in values.items():
            filled[key] = filled[key].replace(f"{{{{ {what} }}}}", value)
        assert "{{" not in filled[key], text
    return filled
