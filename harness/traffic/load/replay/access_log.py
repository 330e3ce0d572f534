"""A line of an access log: the common or combined format, or a JSON object as nginx, Caddy, Traefik and Envoy write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from harness.traffic.load.replay.seen import LeftOut, Seen, Unknown, seen, time_of

LONGEST_LINE = 65536
# After the client, identity and user, which may contain spaces; what follows the status is not needed.
_COMMON = re.compile(r'\[(\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4})\] "((?:[^"\\]|\\.)*)" (\d{3})(?= |$)')
_TIMES = (
    *("time", "timestamp", "@timestamp", "ts", "time_iso8601", "time_local", "msec"),
    *("start_time", "StartUTC", "StartLocal", "date", "datetime"),
)
_METHODS = ("method", "request_method", "RequestMethod", "verb", "http_method")
_PATHS = ("path", "uri", "request_uri", "RequestPath", "url", "request_path", "http_path")
_STATUSES = ("status", "response_code", "DownstreamStatus", "status_code", "code", "response", "http_status")
# Objects whose members count as if they were at the top.
_NESTED = ("request", "req", "http", "httpRequest", "response", "res")


def read_line(line: str) -> Seen | LeftOut:
    """Return the request of a line. Raises Unknown."""
    if len(line) > LONGEST_LINE:
        raise Unknown(f"found {len(line):,} characters, expected at most {LONGEST_LINE:,}")
    if line.startswith("{"):
        return _json(line)
    found = _COMMON.search(line)
    if not found:
        raise Unknown(f"found {line[:60]!r}, expected the common or combined log format, or JSON")
    time, request, status = found.groups()
    return _request(time_of(time), request, int(status))


def _request(time: float, request: str, status: int) -> Seen | LeftOut:
    """Return the request of a request line such as ``GET / HTTP/1.1``."""
    parts = request.split(" ")
    # Clients that send nothing, or TLS to a plain port, are in logs too.
    if len(parts) not in {2, 3}:
        return LeftOut("without a valid request")
    return seen(time, parts[0], parts[1], status)


def _json(line: str) -> Seen | LeftOut:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unknown(f"is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise Unknown("found JSON that is no object")
    flat = _flat(data)
    time = next((flat[name] for name in _TIMES if name in flat), None)
    if time is None:
        raise Unknown(f"found no time, expected one of {', '.join(_TIMES[:5])}")
    status = _status(next((flat[name] for name in _STATUSES if name in flat), 0))
    method = next((flat[name] for name in _METHODS if isinstance(flat.get(name), str)), None)
    path = next((flat[name] for name in _PATHS if isinstance(flat.get(name), str)), None)
    if method and path:
        return seen(time_of(time), method, path, status)
    if isinstance(data.get("request"), str):
        return _request(time_of(time), data["request"], status)
    raise Unknown("found no method and path, expected keys such as method and path, or request")


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in data.items() if not isinstance(value, dict)}
    for name in _NESTED:
        inner = data.get(name)
        if isinstance(inner, dict):
            flat = {key: value for key, value in inner.items() if not isinstance(value, dict)} | flat
    return flat


def _status(found: object) -> int:
    try:
        status = int(str(found))
    except ValueError:
        return 0
    return status if 100 <= status <= 599 else 0
