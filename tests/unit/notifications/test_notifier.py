"""The notifier: nothing waits for an address, and what was not delivered is reported."""

from __future__ import annotations

import threading

import pytest

from harness.common.clock import FakeClock, SystemClock
from harness.notifications.event import Notification
from harness.notifications.notifier import MOST_WAITING, Channel, Notifier
from harness.notifications.webhook import DeliveryFailed


def message(event: str = "started", key: str = "1") -> Notification:
    fields = {"id": key, "at": "now", "run": "r1", "event": event, "urgency": "info", "title": "t", "text": ""}
    return Notification.model_validate(fields)


class Recorded:
    """A sender that may block until ``go`` is set, or fail."""

    def __init__(self, error: Exception | None = None, *, blocks: bool = False) -> None:
        self.sent: list[Notification] = []
        self.error, self.go, self.began = error, threading.Event(), threading.Event()
        if not blocks:
            self.go.set()

    def __str__(self) -> str:
        return "slack://…"

    def send(self, message: Notification) -> None:
        self.began.set()
        self.go.wait()
        if self.error:
            raise self.error
        self.sent.append(message)


def test_all_is_delivered_before_the_end() -> None:
    sender = Recorded()
    notifier = Notifier(SystemClock(), [Channel(sender)])
    for number in range(5):
        notifier.send(message(key=str(number)))
    assert notifier.close() == []
    assert [each.id for each in sender.sent] == ["0", "1", "2", "3", "4"]


def test_only_chosen_events_are_sent() -> None:
    sender = Recorded()
    notifier = Notifier(SystemClock(), [Channel(sender, frozenset({"finished"}))])
    notifier.send(message("started"))
    notifier.send(message("finished"))
    assert notifier.close() == []
    assert [each.event for each in sender.sent] == ["finished"]


@pytest.mark.parametrize("error", [DeliveryFailed("found status 404, expected 2xx"), ZeroDivisionError("canary")])
def test_failure_is_a_line_and_delays_nothing_else(error: Exception) -> None:
    other = Recorded()
    notifier = Notifier(SystemClock(), [Channel(Recorded(error)), Channel(other)])
    notifier.send(message("finished"))
    (line,) = notifier.close()
    assert line.startswith("could not notify slack://… of finished: ")
    assert "canary" not in line
    assert len(other.sent) == 1


def test_hanging_address_holds_the_end_no_longer_than_the_bound() -> None:
    clock, hanging = FakeClock(), Recorded(blocks=True)
    notifier = Notifier(clock, [Channel(hanging), Channel(Recorded(blocks=True))])
    notifier.send(message("finished"))
    before = clock.monotonic()
    lines = notifier.close()
    assert clock.monotonic() - before == 30
    assert len(lines) == 2
    assert lines[0] == "could not notify slack://… of finished: not delivered within 30 s after the end of the run"
    hanging.go.set()


def test_leftovers_overtake_other_events() -> None:
    sender = Recorded(blocks=True)
    notifier = Notifier(SystemClock(), [Channel(sender)])
    notifier.send(message("started"))
    sender.began.wait()
    notifier.send(message("finished"))
    notifier.send(message("left-behind"))
    sender.go.set()
    notifier.close()
    assert [each.event for each in sender.sent] == ["started", "left-behind", "finished"]


def test_full_queue_drops_with_a_line() -> None:
    sender = Recorded(blocks=True)
    notifier = Notifier(SystemClock(), [Channel(sender)])
    for _ in range(MOST_WAITING + 1):
        notifier.send(message())
    sender.go.set()
    assert notifier.close() == [f"could not notify slack://… of started: {MOST_WAITING} others wait"]
