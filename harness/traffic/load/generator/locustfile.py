"""The locustfile: one user, which starts all arrivals."""

from __future__ import annotations

from argparse import ArgumentParser

from locust import events

from harness.traffic.load.generator.arrival_user import ArrivalUser

__all__ = ["ArrivalUser"]


def add_options(parser: ArgumentParser) -> None:
    """Declare the process's options, since Locust rejects unknown ones."""
    parser.add_argument(
        "--resilience-settings", required=True, help="the settings file (harness.traffic.load.plan.Settings)"
    )
    parser.add_argument(
        "--resilience-records", required=True, help="the record file to append to (harness.traffic.load.wire)"
    )


events.init_command_line_parser.add_listener(add_options)
