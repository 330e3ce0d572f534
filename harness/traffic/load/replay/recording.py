"""Recorded requests: read from a HAR file or an access log, checked, and put on a time axis that starts at 0."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path

from harness.common.errors import InputError, Problem
from harness.traffic.load.replay.access_log import read_line
from harness.traffic.load.replay.declaration import Replay
from harness.traffic.load.replay.har import read_har
from harness.traffic.load.replay.seen import LeftOut, Seen, Unknown

MAX_BYTES = 64 * 1024 * 1024
MAX_REQUESTS = 200_000
# With more unknown lines the file is probably not what it was taken for.
MAX_UNKNOWN = 0.05
MAX_NAMES = 200
_SHORTEST_PERIOD = 1.0
_OTHER = "(other paths)"
# Parts of a path that differ from request to request: numbers, UUIDs, hashes and tokens.
_ID = re.compile(r"\d+|[0-9a-fA-F-]{16,}|(?=[^/]*\d)[A-Za-z0-9_.~=-]{20,}")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request to send ``at`` seconds after the start of the recording; ``name`` groups requests in reports."""

    at: float
    method: str
    path: str
    name: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Recording:
    """The requests in order of time. After ``period`` seconds they start again. ``left_out`` has counts by reason."""

    requests: tuple[Recorded, ...]
    period: float
    left_out: Mapping[str, int]

    @property
    def peak(self) -> float:
        """The largest number of requests in any one second."""
        first, most = 0, 0
        for last, request in enumerate(self.requests):
            while request.at - self.requests[first].at >= 1:
                first += 1
            most = max(most, last - first + 1)
        return float(most)

    def __str__(self) -> str:
        shown = f"{len(self.requests):,} requests in {self.period:,.0f} s"
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())
        return f"{shown}, left out: {reasons}" if reasons else shown


@lru_cache(maxsize=4)
def read_recording(replay: Replay) -> Recording:
    """Read the recording of a replay, whose ``file`` is an absolute path. Raises InputError with the file and line."""
    file = Path(replay.file)
    text = _read(file)
    seen, unknown = _har(text, file, replay.host) if _is_har(text) else _lines(text, file)
    left_out = Counter(one.reason for one in seen if isinstance(one, LeftOut))
    requests = [one for one in seen if isinstance(one, Seen)]
    left_out += Counter(f"with the method {one.method}" for one in requests if one.method not in replay.methods)
    requests = [one for one in requests if one.method in replay.methods]
    if unknown:
        left_out["unknown lines"] = unknown
    if not requests:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items()) or "the file is empty"
        raise InputError([Problem(f"has no request to replay: {reasons}", file)])
    if len(requests) > MAX_REQUESTS:
        raise InputError([Problem(f"has {len(requests):,} requests, expected at most {MAX_REQUESTS:,}", file)])
    return _timed(_thinned(sorted(requests, key=lambda one: one.time), replay.volume), left_out)


def _read(file: Path) -> str:
    try:
        size = file.stat().st_size
        # A pipe would be read for ever.
        if not file.is_file():
            raise InputError([Problem(f"found {str(file)!r}, which is not a file")])
        if size > MAX_BYTES:
            wanted = f"expected at most {MAX_BYTES // 1024 // 1024} MiB: cut out the time to replay"
            raise InputError([Problem(f"has {size / 1024 / 1024:.0f} MiB, {wanted}", file)])
        return file.read_text(encoding="utf-8", errors="replace")
    # ValueError: the name contains a NUL.
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        # Without a file, so that the problem has the place of the name and not of a file that may not exist.
        raise InputError([Problem(f"found {str(file)!r}, which cannot be read: {reason}")]) from error


def _is_har(text: str) -> bool:
    # A line of a JSON log is a whole object; a HAR file is one, over many lines or with "log" as its only key.
    return bool(re.match(r'\ufeff?\s*\{\s*"log"\s*:\s*\{', text))


def _har(text: str, file: Path, host: str) -> tuple[list[Seen | LeftOut], int]:
    try:
        return read_har(json.loads(text.removeprefix("\ufeff")), host), 0
    except json.JSONDecodeError as error:
        raise InputError([Problem(f"is not a HAR file: {error.msg}", file, error.lineno)]) from error
    except (Unknown, RecursionError) as error:
        raise InputError([Problem(f"is not a HAR file: {error}", file)]) from error


def _lines(text: str, file: Path) -> tuple[list[Seen | LeftOut], int]:
    seen: list[Seen | LeftOut] = []
    unknown: list[tuple[int, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            seen.append(read_line(line.strip("\r\ufeff ")))
        except Unknown as error:
            unknown.append((number, str(error)))
    if len(unknown) > MAX_UNKNOWN * (len(seen) + len(unknown)):
        number, why = unknown[0]
        counts = f"{len(unknown):,} of {len(seen) + len(unknown):,} lines are unknown, expected at most 5%"
        raise InputError([Problem(f"{counts}; the first one: {why}", file, number)])
    return seen, len(unknown)


def _thinned(requests: Sequence[Seen], volume: float) -> list[Seen]:
    return [one for index, one in enumerate(requests) if int((index + 1) * volume + 1e-9) > int(index * volume + 1e-9)]


def _timed(requests: Sequence[Seen], left_out: Mapping[str, int]) -> Recording:
    if not requests:
        raise InputError([Problem("has no request left with this volume")])
    times = [one.time for one in requests]
    start = times[0]
    if all(time.is_integer() for time in times):
        # Whole seconds, as in the common format: requests of one second are spread evenly over it.
        spread: list[float] = []
        for second, group in groupby(times):
            together = len(list(group))
            spread += [second - start + index / together for index in range(together)]
        at, period = spread, times[-1] - start + 1
    else:
        at = [time - start for time in times]
        gaps = [later - earlier for earlier, later in pairwise(at)]
        period = at[-1] + (sum(gaps) / len(gaps) if gaps else _SHORTEST_PERIOD)
    names = _names(requests)
    made = tuple(
        Recorded(when, one.method, one.path, name, one.status, one.headers, one.body)
        for when, one, name in zip(at, requests, names, strict=True)
    )
    return Recording(made, max(period, 1e-3), dict(left_out))


def _names(requests: Sequence[Seen]) -> list[str]:
    """Return the name of each request: its method and path without query, with ``[id]`` for what only identifies."""
    names = [f"{one.method} {_shape(one.path)}" for one in requests]
    known = {name for name, _ in Counter(names).most_common(MAX_NAMES)}
    return [name if name in known else f"{one.method} {_OTHER}" for one, name in zip(requests, names, strict=True)]


def _shape(path: str) -> str:
    parts = path.partition("?")[0].split("/")
    return "/".join("[id]" if _ID.fullmatch(part) else part for part in parts)
