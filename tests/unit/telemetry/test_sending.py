"""Sending is bounded, and no failure is more than a warning."""

from __future__ import annotations

import threading
from pathlib import Path

from harness.common.clock import FakeClock, SystemClock
from harness.common.errors import HarnessError
from harness.engine.telemetry_options import Telemetry
from harness.telemetry.sending import destinations, sent
from tests.unit.telemetry.runs import run


def test_all_chosen_places_are_served(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1"
    chosen = Telemetry(textfile=tmp_path / "a.prom", pushgateway=url, otlp=url, grafana=url)
    places = ["metrics textfile", "Pushgateway", "OpenTelemetry", "Grafana"]
    assert list(destinations(run(), chosen, FakeClock())) == places
    assert destinations(run(), Telemetry(), FakeClock()) == {}


def test_failures_are_warnings_and_the_others_are_sent() -> None:
    done = []

    def refuse() -> None:
        raise HarnessError("HTTP 503")

    def crash() -> None:
        raise ZeroDivisionError("a bug")

    places = {"one": refuse, "two": crash, "three": lambda: done.append("three")}
    assert sorted(sent(places, SystemClock())) == ["one: HTTP 503", "two: ZeroDivisionError: a bug"]
    assert done == ["three"]


def test_place_that_hangs_is_given_up() -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait()

    try:
        assert sent({"slow": hang}, SystemClock(), 0.0) == ["slow: did not end within 0 s"]
    finally:
        release.set()
