"""The dashboard, checked with the types of Grafana's own foundation SDK, which it generates from its schemas."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.telemetry.dashboard import DASHBOARD
from tests.integration.test_ci_examples import linters

__all__ = ["linters"]

# Reads a dashboard as the SDK's types, writes it again, and prints it: what the schema does not have is lost.
ROUND_TRIP = """
import json, sys
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
register_default_plugins()
print(JSONEncoder().encode(Dashboard.from_json(json.load(sys.stdin))))
"""


def lost(given: Any, back: Any, path: str = "dashboard") -> list[str]:
    """The paths of what is not the same after the round trip; defaults that the SDK adds do not count."""
    if isinstance(given, dict) and isinstance(back, dict):
        missing = [f"{path}.{key}" for key in given.keys() - back.keys() if given[key] not in (None, [], {})]
        return missing + [
            each for key in given.keys() & back.keys() for each in lost(given[key], back[key], f"{path}.{key}")
        ]
    if isinstance(given, list) and isinstance(back, list) and len(given) == len(back):
        pairs = enumerate(zip(given, back, strict=True))
        return [each for number, (old, new) in pairs for each in lost(old, new, f"{path}[{number}]")]
    return [] if given == back else [path]


def round_trip(linters: Path, content: Any) -> Any:
    command = [sys.executable, "-c", ROUND_TRIP]
    text = json.dumps(content)
    done = subprocess.run(
        command, input=text, env={"PYTHONPATH": str(linters)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("wrong", [False, True])
def test_dashboard_has_only_fields_of_grafanas_schema(linters: Path, wrong: bool) -> None:
    content = json.loads(DASHBOARD.read_text())
    if wrong:
        content["panels"][0]["fieldConfig"]["defaults"]["units"] = "s"
    expected = ["dashboard.panels[0].fieldConfig.defaults.units"] if wrong else []
    assert lost(content, round_trip(linters, content)) == expected
