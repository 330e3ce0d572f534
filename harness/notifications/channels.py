"""The channels and the veto webhook of a run, from its options and from the ``notify:`` of a game day."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from harness.common.clock import Clock
from harness.common.documents import Document, show_place
from harness.common.errors import InputError, Problem, SecretValueError
from harness.common.secret_values import SecretValue, located_files
from harness.engine.addresses import (
    INSTALL_APPRISE,
    Addresses,
    apprise_missing,
    check_secret,
    checked_url,
    read_address,
)
from harness.engine.notification_options import EVENTS, Event
from harness.notifications.apprise_sender import AppriseSender, check_urls
from harness.notifications.notifier import Channel
from harness.notifications.veto import VetoWebhook
from harness.notifications.webhook import Webhook

_PATTERN = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"


def _named(text: str) -> str:
    if not re.fullmatch(_PATTERN, text):
        raise SecretValueError("found something else, expected the name of a secret: env:NAME or file:PATH")
    return text


# Not a pattern of pydantic, whose message would quote the secret.
Named = Annotated[str, AfterValidator(_named), WithJsonSchema({"type": "string", "pattern": _PATTERN})]


class Recipient(BaseModel):
    """One entry of ``notify:`` in a game day file. Secrets are there by name only: ``env:NAME`` or ``file:PATH``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: Named | None = Field(default=None, description="a URL of apprise: env:NAME or file:PATH")
    webhook: str | None = Field(default=None, description="URL of a signed webhook, or env:NAME or file:PATH")
    secret: Named | None = Field(default=None, description="secret that signs the webhook: env:NAME or file:PATH")
    events: tuple[Event, ...] = Field(default=EVENTS, min_length=1, description="the events to send, default all")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.to is None) == (self.webhook is None):
            raise ValueError("expected one of to and webhook")
        if (self.webhook is None) != (self.secret is None):
            raise ValueError("expected secret with webhook, and only there: every webhook is signed")
        return self

    def located(self, folder: Path) -> Recipient:
        """Return the recipient with the paths of its secrets relative to a folder made absolute."""
        names = ("to", "webhook", "secret")
        changes = {name: located_files(value, folder) for name in names if (value := getattr(self, name))}
        return self.model_copy(update=changes)


def channels_of(addresses: Addresses, clock: Clock) -> list[Channel]:
    """Return the channels of the options. Raises InputError with the addresses that apprise does not understand."""
    check_urls(addresses.notify, "--notify")
    channels = [Channel(AppriseSender(url, clock), addresses.events) for url in addresses.notify]
    if addresses.secret:
        webhooks = [Webhook(url, addresses.secret, clock) for url in addresses.webhooks]
        channels += [Channel(webhook, addresses.events) for webhook in webhooks]
    return channels


def channels_of_recipients(
    recipients: Sequence[Recipient], clock: Clock, environ: Mapping[str, str], document: Document | None = None
) -> list[Channel]:
    """Return the channels of a game day file. Raises InputError with all mistakes, by the place in the list.

    A relative ``file:PATH`` is relative to the folder of ``document``, which also has the lines."""
    problems: list[Problem] = []
    channels = []
    for index, recipient in enumerate(recipients):
        located = recipient.located(document.file.parent) if document else recipient
        wrong: dict[str, str] = {}
        sender = _sender(located, clock, environ, wrong)
        for name, message in wrong.items():
            place = ("notify", index, name)
            problems.append(document.problem(place, message) if document else Problem(message, field=show_place(place)))
        if sender is not None:
            channels.append(Channel(sender, frozenset(recipient.events)))
    if problems:
        raise InputError(problems)
    return channels


def _sender(
    recipient: Recipient, clock: Clock, environ: Mapping[str, str], wrong: dict[str, str]
) -> AppriseSender | Webhook | None:
    """Return the sender of a recipient, or None after adding what is wrong to ``wrong``, by field."""

    def read(name: str, text: str, check: Callable[[str], None]) -> SecretValue | None:
        try:
            return read_address(text, environ, check)
        except ValueError as error:
            wrong[name] = str(error)
            return None

    if recipient.to is not None:
        if apprise_missing():
            wrong["to"] = INSTALL_APPRISE
            return None
        address = read("to", recipient.to, lambda _text: None)
        try:
            check_urls([address] if address else [], "to")
        except InputError as error:
            wrong["to"] = error.problems[0].message
        return AppriseSender(address, clock) if address and not wrong else None
    url = read("webhook", recipient.webhook or "", checked_url)
    secret = read("secret", recipient.secret or "", check_secret)
    return Webhook(url, secret, clock) if url and secret else None


def veto_of(addresses: Addresses, run_id: str, clock: Clock) -> VetoWebhook | None:
    """Return the veto webhook of the options, or None."""
    if not addresses.veto or not addresses.secret:
        return None
    return VetoWebhook(Webhook(addresses.veto, addresses.secret, clock), run_id, clock, addresses.allow_on_error)
