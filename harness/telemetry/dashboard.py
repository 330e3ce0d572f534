"""The Grafana dashboard of the harness's metrics, as it is printed by ``harness dashboard``."""

from __future__ import annotations

from pathlib import Path

DASHBOARD = Path(__file__).with_name("dashboard.json")
