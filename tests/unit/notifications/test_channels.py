"""The recipients of a game day: secrets by name only, and all mistakes at once."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.common.clock import FakeClock
from harness.common.errors import InputError
from harness.notifications import channels as module
from harness.notifications.apprise_sender import AppriseSender
from harness.notifications.channels import Recipient, channels_of_recipients
from harness.notifications.event import Notification
from harness.notifications.webhook import DeliveryFailed, Webhook

ENVIRON = {"SLACK": "slack://canary", "KEY": "0123456789abcdef-canary", "SHORT": "canary"}


@pytest.fixture(autouse=True)
def apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "apprise_missing", lambda: False)
    monkeypatch.setattr(module, "check_urls", lambda _urls, _field: None)


def recipient(**fields: object) -> Recipient:
    return Recipient.model_validate(fields)


def test_each_recipient_becomes_a_channel() -> None:
    given = [
        recipient(to="env:SLACK", events=["finished"]),
        recipient(webhook="https://hooks.test/canary", secret="env:KEY"),
    ]
    first, second = channels_of_recipients(given, FakeClock(), ENVIRON)
    assert isinstance(first.sender, AppriseSender)
    assert first.sender.url.text == "slack://canary"
    assert first.events == {"finished"}
    assert isinstance(second.sender, Webhook)
    assert second.events == {"started", "aborted", "finished", "left-behind"}
    assert "canary" not in f"{first}{second}"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"to": "slack://canary"},
        {"to": "env:SLACK", "webhook": "https://a.test", "secret": "env:KEY"},
        {"webhook": "https://a.test"},
        {"to": "env:SLACK", "secret": "env:KEY"},
        {"webhook": "https://a.test", "secret": "canary"},
        {"to": "env:SLACK", "events": []},
        {"to": "env:SLACK", "events": ["ended"]},
        {"to": "env:SLACK", "for": ["finished"]},
    ],
)
def test_wrong_recipient_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Recipient.model_validate(fields)


def test_all_mistakes_are_listed_by_their_place() -> None:
    given = [
        recipient(to="env:MISSING"),
        recipient(webhook="ftp://canary", secret="env:KEY"),
        recipient(webhook="https://a.test", secret="env:SHORT"),
        recipient(webhook="ftp://canary", secret="env:MISSING"),
    ]
    with pytest.raises(InputError) as caught:
        channels_of_recipients(given, FakeClock(), ENVIRON)
    assert [problem.field for problem in caught.value.problems] == [
        "notify[0].to", "notify[1].webhook", "notify[2].secret", "notify[3].webhook", "notify[3].secret"
    ]  # fmt: skip
    assert "canary" not in str(caught.value)


def test_missing_apprise_has_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "apprise_missing", lambda: True)
    with pytest.raises(InputError, match=r"pip install 'resilience-harness\[notify\]'"):
        channels_of_recipients([recipient(to="env:SLACK")], FakeClock(), ENVIRON)


def test_apprise_is_retried_within_the_bound() -> None:
    clock, tasks = FakeClock(), list[float]()

    def hangs(_task: object, seconds: float) -> list[bool]:
        tasks.append(seconds)
        clock.advance(seconds)
        raise DeliveryFailed("apprise did not end", retryable=True)

    (channel,) = channels_of_recipients([recipient(to="env:SLACK")], clock, ENVIRON)
    assert isinstance(channel.sender, AppriseSender)
    before = clock.monotonic()
    with pytest.raises(DeliveryFailed):
        AppriseSender(channel.sender.url, clock, hangs).send(message())
    assert 20 <= clock.monotonic() - before <= 60
    assert max(tasks) <= 20


def message() -> Notification:
    fields = {"id": "1", "at": "now", "run": "r1", "event": "finished", "urgency": "info", "title": "t", "text": ""}
    return Notification.model_validate(fields)
