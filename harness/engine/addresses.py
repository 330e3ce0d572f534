"""The addresses that a run notifies, and the webhook that may refuse its experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from harness.common.errors import Problem
from harness.common.option_values import url
from harness.common.secret_values import SecretValue, is_named, secret_value, several
from harness.engine.notification_options import EVENTS, events

# Shorter secrets can be guessed from a single signed request.
LEAST_SECRET = 16
INSTALL_APPRISE = "found no apprise in this environment, expected it: pip install 'resilience-harness[notify]'"


@dataclass(frozen=True, slots=True)
class Addresses:
    """All addresses, with their secrets read; ``secret`` signs what is sent to webhooks."""

    notify: tuple[SecretValue, ...] = ()
    webhooks: tuple[SecretValue, ...] = ()
    secret: SecretValue | None = None
    veto: SecretValue | None = None
    allow_on_error: bool = False
    events: frozenset[str] = field(default_factory=lambda: frozenset(EVENTS))
    report_url: str = ""


def addresses(values: Mapping[str, str], environ: Mapping[str, str], problems: list[Problem]) -> Addresses:
    """Return the addresses in options and environment. Adds any mistakes in them to ``problems``."""
    read = _Reader(environ, problems)
    found = Addresses(
        notify=read.all(values["notify"], "--notify", _anything),
        webhooks=read.all(values["webhook"], "--webhook", checked_url),
        secret=next(iter(read.all(values["webhook-secret"], "--webhook-secret", check_secret)), None),
        veto=next(iter(read.all(values["veto-webhook"], "--veto-webhook", checked_url)), None),
        allow_on_error=values["veto-on-error"] == "allow",
        events=_events(values["notify-on"]),
        report_url=values["report-url"].rstrip("/"),
    )
    if values["notify"].strip() and apprise_missing():
        problems.append(Problem(INSTALL_APPRISE, field="--notify"))
    if values["webhook-secret"].strip() and not all(map(is_named, several(values["webhook-secret"]))):
        message = "found a secret in full, expected env:NAME or file:PATH: other users can read the command line"
        problems.append(Problem(message, field="--webhook-secret"))
    if (values["webhook"].strip() or values["veto-webhook"].strip()) and not values["webhook-secret"].strip():
        message = "missing, expected env:NAME or file:PATH: every webhook is signed"
        problems.append(Problem(message, field="--webhook-secret"))
    return found


def _events(text: str) -> frozenset[str]:
    try:
        return events(text)
    except ValueError:
        # The option's own reader reports it.
        return frozenset()


def checked_url(text: str) -> None:
    """Raise ValueError for anything but an http(s) URL; the text is never part of the message."""
    if not url(text):
        raise ValueError("an http or https URL")


def check_secret(text: str) -> None:
    if len(text) < LEAST_SECRET:
        raise ValueError(f"at least {LEAST_SECRET} characters")


def apprise_missing() -> bool:
    """Return whether apprise is not installed: it comes with the extra notify."""
    return find_spec("apprise") is None


def read_address(text: str, environ: Mapping[str, str], check: Callable[[str], None]) -> SecretValue:
    """Return a secret that ``check`` accepts. Raises ValueError, whose message never contains the secret."""
    secret = secret_value(text, environ)
    try:
        check(secret.text)
    except ValueError as error:
        where = f" in {secret.source}" if secret.source else ""
        raise ValueError(f"found a value{where} that is not shown, expected {error}") from error
    return secret


def _anything(_text: str) -> None:
    """Accept any value: only apprise can check its URLs."""


@dataclass(frozen=True)
class _Reader:
    environ: Mapping[str, str]
    problems: list[Problem]

    def all(self, text: str, option: str, check: Callable[[str], None]) -> tuple[SecretValue, ...]:
        found = []
        for value in several(text):
            try:
                found.append(read_address(value, self.environ, check))
            except ValueError as error:
                self.problems.append(Problem(str(error), field=option))
        return tuple(found)
