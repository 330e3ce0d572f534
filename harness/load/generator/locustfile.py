"""The file that Locust runs: one user, which dispatches every arrival."""

from __future__ import annotations

from argparse import ArgumentParser

from locust import events

from harness.load.generator.arrival_user import ArrivalUser

__all__ = ["ArrivalUser"]


def add_options(parser: ArgumentParser) -> None:
    """Locust refuses options that nobody declared."""
    parser.add_argument("--resilience-settings", required=True, help="the settings file (harness.load.plan.Settings)")
    parser.add_argument("--resilience-records", required=True, help="the record file to append to (harness.load.wire)")


events.init_command_line_parser.add_listener(add_options)
