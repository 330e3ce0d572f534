"""The options for notifications, and for the webhook that may refuse an experiment."""

from __future__ import annotations

from typing import Literal, get_args

from harness.common.option_values import names, one_of, url
from harness.common.secret_values import located_files
from harness.engine.option import Option

# In the order of a run. The last one needs manual action.
Event = Literal["started", "aborted", "finished", "left-behind"]
STARTED, ABORTED, FINISHED, LEFT_BEHIND = EVENTS = get_args(Event)


def events(text: str) -> frozenset[str]:
    """Return the chosen events. Raises ValueError."""
    found = frozenset(names(text))
    if not found or found - set(EVENTS):
        raise ValueError(f"some of {', '.join(EVENTS)}, separated by commas")
    return found


def _address(name: str, help_text: str, *, many: bool = False, metavar: str = "URL") -> Option:
    return Option(name, help_text, metavar=metavar, many=many, spaced=True, locate=located_files, secret=True)


NOTIFICATION_OPTIONS = (
    _address(
        "notify",
        "notify this address of apprise, such as slack:// or mailto://, of the run; better env:NAME or file:PATH, so "
        "that the secrets in it stay off the command line; may be repeated; needs the extra notify",
        many=True,
        metavar="URL|env:NAME|file:PATH",
    ),
    Option("notify-on", "events to notify of", read=events, default=",".join(EVENTS), metavar=",".join(EVENTS)),
    _address(
        "webhook",
        "send each event as signed JSON to this URL; needs --webhook-secret; may be repeated",
        many=True,
        metavar="URL|env:NAME|file:PATH",
    ),
    _address(
        "webhook-secret",
        "secret that signs webhooks (HMAC-SHA256), by the name of an environment variable or a file",
        metavar="env:NAME|file:PATH",
    ),
    _address(
        "veto-webhook",
        "URL that is requested at the start, before each experiment and before each injection, and may deny it; needs "
        "--webhook-secret",
        metavar="URL|env:NAME|file:PATH",
    ),
    Option(
        "veto-on-error",
        "what happens if the veto webhook gives no answer: refuse or allow",
        read=one_of("refuse", "allow"),
        default="refuse",
        metavar="refuse|allow",
    ),
    Option(
        "report-url",
        "URL where the report folder is published, for links in notifications",
        read=url,
        metavar="URL",
    ),
)
