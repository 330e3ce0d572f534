"""The event probe tells what happens after the start of the watch, at the time that the author of the event says."""

from __future__ import annotations

from typing import Any

import pytest

from harness.common.clock import parse_kubernetes_time
from harness.probes.events import EventProbe

AT = "2026-11-23T07:24:0{}Z"


def happening(**fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web.17", "creationTimestamp": AT.format(0)},
        "involvedObject": {"kind": "Pod", "name": "web-1"},
        "reason": "Unhealthy",
        "message": "Readiness probe failed\n",
        "type": "Warning",
        **fields,
    }


def test_an_event_is_about_something() -> None:
    (sighting,) = EventProbe().see("ADDED", happening(count=4))
    assert sighting.subject == "pod/web-1"
    assert sighting.value == {"reason": "Unhealthy", "message": "Readiness probe failed", "type": "Warning", "count": 4}


@pytest.mark.parametrize("event", ["SYNC", "DELETED"])
def test_earlier_and_expired_events_are_left_out(event: str) -> None:
    assert list(EventProbe().see(event, happening())) == []


@pytest.mark.parametrize(
    ("fields", "second", "count"),
    [
        ({"series": {"lastObservedTime": AT.format(4), "count": 7}, "eventTime": AT.format(1)}, 4, 7),
        ({"lastTimestamp": AT.format(3), "firstTimestamp": AT.format(1), "count": 2}, 3, 2),
        ({"eventTime": AT.format(2), "lastTimestamp": None}, 2, 1),
        ({}, 0, 1),
    ],
)
def test_both_generations_of_writers_are_understood(fields: dict[str, Any], second: int, count: int) -> None:
    (sighting,) = EventProbe().see("MODIFIED", happening(**fields))
    assert sighting.wall == parse_kubernetes_time(AT.format(second))
    assert sighting.value["count"] == count
