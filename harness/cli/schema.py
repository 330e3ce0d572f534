"""``harness schema``: print a JSON Schema."""

from __future__ import annotations

import argparse
import json


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "of", choices=["experiment", "gameday", "results", "notification", "veto-request", "veto-answer"]
    )
    parser.set_defaults(command=_schema)


def _schema(options: argparse.Namespace) -> int:
    if options.of == "experiment":
        from harness.experiment.json_schema import experiment_schema

        schema = experiment_schema()
    elif options.of == "gameday":
        from harness.gameday.json_schema import game_day_schema

        schema = game_day_schema()
    elif options.of == "results":
        from harness.results.reporting.schema import results_schema

        schema = results_schema()
    else:
        from harness.notifications.schemas import webhook_schema

        schema = webhook_schema(options.of)
    print(json.dumps(schema, indent=2))
    return 0
