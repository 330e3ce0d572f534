"""The command line and the environment of a load process."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.traffic.load.plan import Settings

LOCUSTFILE = Path(__file__).parent / "generator" / "locustfile.py"


def locust_command(settings_file: Path, records: Path, settings: Settings) -> Sequence[str]:
    """Return the command line of the load process, without the command prefix of the plan."""
    return [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE)),
        # One user starts all arrivals, each in a greenlet. Without the next option Locust exits with 1 if any request
        # failed, which is normal under a fault.
        *("--headless", "--users", "1", "--spawn-rate", "1"),
        *("--exit-code-on-error", "0", "--only-summary", "--loglevel", "WARNING"),
        *("--host", f"http://{settings.host}:{settings.port}"),
        *("--resilience-settings", str(settings_file), "--resilience-records", str(records)),
    ]


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without LOCUST_* variables.

    Locust reads options from them, and those of the user's own Locust tests must not affect this load.
    """
    return {key: value for key, value in environ.items() if not key.startswith("LOCUST_")}
