"""The outcome of a request in a few words, the same ones as those of the built-in load."""

from __future__ import annotations

import errno
from collections.abc import Iterator

OK = "ok"
LONGEST = 120
# By the name of a class, so that requests, urllib3, geventhttpclient and others need not be importable. In this order:
# requests' ConnectTimeout is a timeout and a connection error too.
_BY_NAME = (
    ("ConnectTimeout", "connect timeout"),
    ("ConnectTimeoutError", "connect timeout"),
    ("ConnectionRefusedError", "refused"),
    ("ConnectionResetError", "reset"),
    ("BrokenPipeError", "reset"),
    ("RemoteDisconnected", "closed without an answer"),
    ("HTTPConnectionClosed", "closed without an answer"),
    ("gaierror", "no such host"),
    ("NameResolutionError", "no such host"),
    ("SSLError", "TLS error"),
    ("ReadTimeout", "timeout"),
    ("ReadTimeoutError", "timeout"),
    ("TimeoutError", "timeout"),
    ("Timeout", "timeout"),
    ("IncompleteRead", "broken answer"),
    ("HTTPParseError", "broken answer"),
    ("ProtocolError", "broken answer"),
)
_BY_NUMBER = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EHOSTUNREACH: "no route",
    errno.ENETUNREACH: "no route",
    errno.ETIMEDOUT: "connect timeout",
}
_DEEPEST = 12


def outcome(exception: object, response: object) -> str:
    """Return ``ok``, a status, the kind of a failed connection, or the message of the user's own check."""
    if not exception:
        return OK
    name = type(exception).__name__
    if name == "CatchResponseError" or isinstance(exception, str):
        return f"check failed: {exception}"[:LONGEST]
    status = getattr(response, "status_code", 0)
    if isinstance(status, int) and status >= 400:
        return str(status)
    if isinstance(exception, BaseException):
        causes = list(_causes(exception))
        kinds = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
        numbers = [getattr(cause, "errno", None) for cause in causes]
        found = [text for known, text in _BY_NAME if known in kinds] + [
            _BY_NUMBER[number] for number in numbers if number in _BY_NUMBER
        ]
        if found:
            return found[0]
    return name


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those it was made of: libraries hide the cause in arguments, reasons and contexts."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _DEEPEST:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [*getattr(one, "args", ()), getattr(one, "reason", None), getattr(one, "error", None)]
        waiting += [part for part in (*inner, one.__cause__, one.__context__) if isinstance(part, BaseException)]
