"""The dashboard shows metrics that exist, and has the structure that Grafana expects."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from harness.cli.main import main
from harness.telemetry.dashboard import DASHBOARD
from harness.telemetry.metrics import BY_NAME

CONTENT: dict[str, Any] = json.loads(DASHBOARD.read_text())
PANELS: list[dict[str, Any]] = CONTENT["panels"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = [each["query"]["query"] for each in CONTENT["templating"]["list"] if each["type"] == "query"]


@pytest.mark.parametrize("promql", [*QUERIES, *VARIABLES])
def test_query_uses_metrics_and_labels_that_exist(promql: str) -> None:
    names = re.findall(r"resilience_\w+", promql)
    assert names
    for name in names:
        labels = {*BY_NAME[name].scope, *BY_NAME[name].labels}
        used = {label for part in re.findall(name + r"\{([^}]*)\}", promql) for label in re.findall(r"(\w+)=", part)}
        grouped = {label for part in re.findall(r"by \(([^)]*)\)", promql) for label in part.split(", ")}
        assert used | grouped <= labels


def test_legends_use_labels_that_the_query_keeps() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            kept = {name for part in re.findall(r"by \(([^)]*)\)", target["expr"]) for name in part.split(", ")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept


def test_what_people_watch_is_shown() -> None:
    shown = set(re.findall(r"resilience_\w+", " ".join(QUERIES)))
    assert {
        "resilience_last_run_verdict",
        "resilience_experiment_verdict",
        "resilience_recovery_upper_bound_seconds",
        "resilience_objective_margin_ratio",
        "resilience_last_success_timestamp_seconds",
        "resilience_last_run_leftovers",
        "resilience_gameday_verdict",
        "resilience_gameday_last_success_timestamp_seconds",
    } <= shown


def test_annotations_have_the_tag_that_runs_post() -> None:
    (annotation,) = CONTENT["annotations"]["list"]
    assert annotation["target"]["tags"] == ["resilience"]


def test_panels_are_distinct_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    cells: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in own) < 24
        assert not own & cells
        cells |= own


def test_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard"]) == 0
    assert json.loads(capsys.readouterr().out) == CONTENT
