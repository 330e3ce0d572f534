"""What both users do beside sending requests: compete fairly, and say when they have begun."""

from __future__ import annotations

import sys

from locust import events

from benchmarks.generators import STARTED
from harness.traffic.priority import raise_priority


def prepare() -> None:
    """Call it at the top of a locustfile."""
    # The harness's own generator does so: beside a cluster on the same processors it is worth a lot.
    raise_priority()

    def progress(**_: object) -> None:
        print(STARTED.decode(), file=sys.stderr, flush=True)

    events.spawning_complete.add_listener(progress)
