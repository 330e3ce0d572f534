"""``harness dashboard`` and ``harness alerts``: what Grafana and Prometheus need to watch the harness's runs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.common.errors import Problem

_LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)=(.+)")
_DAYS = re.compile(r"(\d{1,6})d")


def add_dashboard_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.description = "Print a Grafana dashboard of verdicts, recovery times, margins, last success and leftovers."
    parser.set_defaults(command=_dashboard)


def add_alert_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.description = "Print alerting rules for runs that did not happen, broke, or left something behind."
    parser.add_argument(
        "--format",
        choices=["prometheus", "operator"],
        default="prometheus",
        help="a rule file, or a PrometheusRule of the prometheus-operator (default: %(default)s)",
    )
    parser.add_argument(
        "--max-age",
        default="8d",
        metavar="TIME",
        help="alert if the last run, or the last one that HELD, is older, such as 8d or 36h (default: %(default)s)",
    )
    parser.add_argument(
        "--match", action="append", default=[], metavar="LABEL=VALUE", help="only series with this label; repeatable"
    )
    parser.add_argument(
        "--label", action="append", default=[], metavar="LABEL=VALUE", help="a label of every alert; repeatable"
    )
    parser.add_argument(
        "--name", default="resilience-harness", help="name of the PrometheusRule (default: %(default)s)"
    )
    parser.add_argument("--namespace", default="", help="namespace of the PrometheusRule (default: that of kubectl)")
    parser.set_defaults(command=_alerts)


def _dashboard(_options: argparse.Namespace) -> int:
    from harness.telemetry.dashboard import DASHBOARD

    print(DASHBOARD.read_text(encoding="utf-8"), end="")
    return 0


def _alerts(options: argparse.Namespace) -> int:
    from harness.common.errors import InputError
    from harness.telemetry.alerts import Alerts

    problems: list[Problem] = []
    matchers, labels = _labels("--match", options.match, problems), _labels("--label", options.label, problems)
    max_age = _age(options.max_age, problems)
    if problems:
        raise InputError(problems)
    alerts = Alerts(max_age, matchers, labels)
    text = alerts.file() if options.format == "prometheus" else alerts.manifest(options.name, options.namespace)
    print(text, end="")
    return 0


def _labels(option: str, texts: Sequence[str], problems: list[Problem]) -> dict[str, str]:
    from harness.common.errors import Problem

    found = {}
    for text in texts:
        if match := _LABEL.fullmatch(text):
            found[match[1]] = match[2]
        else:
            problems.append(Problem(f"found {text!r}, expected LABEL=VALUE such as team=sre", field=option))
    return found


def _age(text: str, problems: list[Problem]) -> float:
    from harness.common.errors import Problem
    from harness.model.quantities import parse_duration

    expected = "expected a time of at least 1m, such as 8d or 36h"
    try:
        days = _DAYS.fullmatch(text)
        seconds = float(days[1]) * 86_400 if days else float(str(parse_duration(text)))
    except ValueError:
        seconds = 0.0
    if seconds < 60:
        problems.append(Problem(f"found {text!r}, {expected}", field="--max-age"))
    return seconds
