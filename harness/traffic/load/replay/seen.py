"""One request as a log has it, or why it is left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

# What HTTP allows in a request line (RFC 9112, section 3): no space and no control character, so that a line of a log
# cannot smuggle in a second request.
_PATH = re.compile(r"/[!-~]*")
_CLF_TIME = re.compile(r"(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}:\d{2}:\d{2}) ([+-]\d{4})")
_MONTHS = dict(
    zip(
        ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), range(13), strict=True
    )
)
# Epoch times above these are in milliseconds and microseconds.
_MILLISECONDS, _MICROSECONDS, _LARGEST = 1e11, 1e14, 1e17
LONGEST_PATH = 8192


class Unknown(Exception):
    """A line that is no request of any known format."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A request that cannot be replayed, with the reason as the end of "12 …"."""

    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A request of a log. ``time`` is in Unix seconds; ``status`` is 0 if it is unknown."""

    time: float
    method: str
    path: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def seen(time: float, method: str, target: str, status: int) -> Seen | LeftOut:
    """Return a request for the path and query of a request target, which may be a whole URL."""
    if not re.fullmatch(r"[A-Za-z]{1,20}", method):
        return LeftOut("without a valid request")
    if method.upper() in {"CONNECT", "TRACE"} or target == "*":
        return LeftOut(f"with the method {method.upper()}")
    path = path_of(target)
    if path is None:
        return LeftOut("without a valid path")
    return Seen(time, method.upper(), path, status)


def path_of(target: str) -> str | None:
    """Return the path and query of a request target or URL; None if it cannot be sent."""
    if not target.startswith("/"):
        try:
            url = urlsplit(target)
        except ValueError:
            return None
        if url.scheme not in {"http", "https"}:
            return None
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    target = target.partition("#")[0]
    return target if len(target) <= LONGEST_PATH and _PATH.fullmatch(target) else None


def time_of(found: object) -> float:
    """Return the Unix seconds of a time: ISO 8601, that of the common log format, or a number. Raises Unknown."""
    if isinstance(found, bool):
        raise Unknown(f"found the time {found!r}")
    if isinstance(found, str) and re.fullmatch(r"\d+(\.\d+)?", found):
        found = float(found)
    if isinstance(found, int | float) and 0 <= found < _LARGEST:
        scale = 1e6 if found > _MICROSECONDS else 1e3 if found > _MILLISECONDS else 1
        return float(found) / scale
    if isinstance(found, str):
        text, clf = found, _CLF_TIME.fullmatch(found)
        try:
            if clf:
                day, month, year, clock, zone = clf.groups()
                text = f"{year}-{_MONTHS.get(month, 0):02}-{day}T{clock}{zone}"
            time = datetime.fromisoformat(text)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    raise Unknown(f"found the time {str(found)[:40]!r}, expected ISO 8601, the common log format, or Unix seconds")
