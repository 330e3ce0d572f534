"""The alerting rules as the command prints them; what they do is tested with promtool."""

from __future__ import annotations

import re

import pytest
import yaml

from harness.cli.main import BAD_INPUT, main
from harness.telemetry.alerts import DAY, Alerts, shown_age
from harness.telemetry.metrics import BY_NAME


def test_rules_use_metrics_that_exist() -> None:
    for rule in Alerts(DAY).rules():
        names = re.findall(r"resilience_\w+", rule["expr"])
        assert names
        assert set(names) <= set(BY_NAME)


def test_rule_file_has_threshold_labels_and_matchers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "--max-age=36h", "--match=context=prod", "--label=team=sre"]) == 0
    (group,) = yaml.safe_load(capsys.readouterr().out)["groups"]
    missed = group["rules"][0]
    assert missed["expr"] == (
        'time() - max by (context) (resilience_last_run_timestamp_seconds{context="prod"}) > 129600'
    )
    assert missed["annotations"]["summary"] == "No resilience run on {{ $labels.context }} for over 36 h"
    assert {rule["labels"]["team"] for rule in group["rules"]} == {"sre"}


def test_manifest_is_for_the_operator(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "--format=operator", "--name=game-days", "--namespace=monitoring"]) == 0
    manifest = yaml.safe_load(capsys.readouterr().out)
    assert manifest["metadata"] == {"name": "game-days", "namespace": "monitoring"}
    assert manifest["spec"]["groups"] == [{"name": "resilience-harness", "rules": Alerts(8 * DAY).rules()}]


def test_all_mistakes_are_listed_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "--max-age=soon", "--match=prod", "--label=9=x"]) == BAD_INPUT
    error = capsys.readouterr().err
    for expected in ("--max-age: found 'soon'", "--match: found 'prod'", "--label: found '9=x'"):
        assert expected in error


@pytest.mark.parametrize("text", ["30s", "0d", "-1d", "nan"])
def test_time_that_would_always_alert_is_refused(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert main(["alerts", f"--max-age={text}"]) == BAD_INPUT
    assert "expected a time of at least 1m" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "text"), [(8 * DAY, "8 days"), (DAY, "24 h"), (129_600, "36 h")])
def test_age_is_shown_as_in_a_sentence(seconds: float, text: str) -> None:
    assert shown_age(seconds) == text
