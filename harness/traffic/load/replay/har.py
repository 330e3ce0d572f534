"""HAR files: the requests of a browser or proxy, without what identifies its user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from harness.traffic.load.replay.seen import LeftOut, Seen, Unknown, seen, time_of

# The only headers that are sent again: what the service chooses its answer by. Cookies, Authorization and all headers
# that an application invents may be credentials.
HEADERS = frozenset({"accept", "accept-language", "content-type", "x-requested-with"})
MAX_BODY = 1024 * 1024


def read_har(data: Any, host: str) -> list[Seen | LeftOut]:  # noqa: ANN401 - any JSON value
    """Return the requests of a HAR file to one host, by default that of the first one. Raises Unknown."""
    entries = data["log"].get("entries") if isinstance(data, dict) and isinstance(data.get("log"), dict) else None
    if not isinstance(entries, list):
        raise Unknown("found no list log.entries")
    found: list[Seen | LeftOut] = []
    for number, entry in enumerate(entries):
        try:
            request, url = entry["request"], str(entry["request"]["url"])
            status = entry.get("response", {}).get("status") or 0
            time, method = time_of(entry["startedDateTime"]), str(request["method"])
            at = urlsplit(url).netloc.rpartition("@")[2]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Unknown(f"log.entries[{number}] has no request with method, url and startedDateTime") from error
        if not url.startswith(("http://", "https://")):
            found.append(LeftOut("that are not HTTP"))
            continue
        host = host or at
        if host not in {at, at.partition(":")[0]}:
            found.append(LeftOut("to other hosts"))
            continue
        found.append(_with_content(seen(time, method, url, status if isinstance(status, int) else 0), request))
    return found


def _with_content(one: Seen | LeftOut, request: Mapping[str, Any]) -> Seen | LeftOut:
    if isinstance(one, LeftOut):
        return one
    posted = request.get("postData")
    text = posted.get("text") if isinstance(posted, dict) else None
    body = text.encode() if isinstance(text, str) else b""
    if len(body) > MAX_BODY:
        return LeftOut("with a body of more than 1 MiB")
    return Seen(one.time, one.method, one.path, one.status, _headers(request.get("headers")), body)


def _headers(found: object) -> dict[str, str]:
    headers = {}
    for header in found if isinstance(found, list) else ():
        if isinstance(header, dict):
            name, value = str(header.get("name", "")).lower(), str(header.get("value", ""))
            # A control character in a value would end the header early.
            if name in HEADERS and value.isascii() and value.isprintable():
                headers[name] = value
    return headers
