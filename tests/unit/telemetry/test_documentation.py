"""docs/observability.md lists the metrics and alerts that exist."""

from __future__ import annotations

from pathlib import Path

from harness.telemetry.alerts import DAY, Alerts
from harness.telemetry.metrics import METRICS

TEXT = (Path(__file__).resolve().parents[3] / "docs/observability.md").read_text()


def table() -> str:
    """The table of the metrics, to be pasted into the page after a change."""
    rows = []
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in (*metric.scope, *metric.labels))
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(rows)


def test_metrics_are_documented() -> None:
    assert table() in TEXT


def test_alerts_are_documented() -> None:
    assert [rule["alert"] for rule in Alerts(DAY).rules() if f"`{rule['alert']}`" not in TEXT] == []
