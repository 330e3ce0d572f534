"""Downloads a file over HTTP and verifies its checksum: bounded in time and size, resumed after an interruption.

The caller holds a lock, so that two processes do not write one file. A part that was downloaded before a kill is kept
under the checksum's name and continued by the next run.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import requests

from harness.common.clock import Clock
from harness.common.errors import ClusterBroken
from harness.common.progress import Progress

# Seconds without any byte, and for the whole file.
CONNECT, SILENCE, LONGEST = 10.0, 30.0, 900.0
ATTEMPTS = 4
# The largest file has about 130 MB. A server that sends without an end must not fill the disk.
MOST_BYTES = 1 << 30
CHUNK = 1 << 16
REPORT_SECONDS = 10.0
PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Source:
    """A file to download: its URL, its SHA-256 checksum, and what it is, for messages."""

    url: str
    sha256: str
    name: str


class _Interrupted(Exception):
    """The connection ended before the file did, so that another attempt may continue it."""


def fetch(source: Source, folder: Path, progress: Progress, clock: Clock) -> Path:
    """Return the downloaded file, which has the right checksum. Raises ClusterBroken."""
    folder.mkdir(parents=True, exist_ok=True)
    part, whole = folder / f"{source.sha256}.part", folder / source.sha256
    progress(f"downloading {source.name} from {source.url}")
    started, reason, resumed = clock.monotonic(), "", part.exists()
    for attempt in range(ATTEMPTS):
        if attempt:
            progress(f"{source.name}: {reason}; attempt {attempt + 1} of {ATTEMPTS}")
            clock.sleep(PAUSE_SECONDS)
        try:
            _continue(source, part, progress, clock, started + LONGEST)
        except _Interrupted as error:
            reason = str(error)
            continue
        found = _checksum(part)
        if found == source.sha256:
            part.replace(whole)
            progress(f"downloaded {source.name}: {_size(whole.stat().st_size)}, checksum verified")
            return whole
        part.unlink()
        reason = f"the checksum is {found}, expected {source.sha256}"
        # Only a part of an earlier run may be to blame; the same bytes again would not have another checksum.
        if not resumed:
            break
        resumed = False
    raise ClusterBroken(f"{source.name} could not be downloaded from {source.url}: {reason}. Nothing of it is used")


def _continue(source: Source, part: Path, progress: Progress, clock: Clock, until: float) -> None:
    """Download the rest of a file. Raises _Interrupted, and ClusterBroken if another attempt would not help."""
    done = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    try:
        with requests.get(source.url, headers=headers, stream=True, timeout=(CONNECT, SILENCE)) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                part.unlink()
                raise _Interrupted(f"the server has fewer than {done} bytes")
            if answer.status_code >= requests.codes.internal_server_error:
                raise _Interrupted(f"the server answered with status {answer.status_code}")
            if answer.status_code not in (requests.codes.ok, requests.codes.partial_content):
                raise ClusterBroken(f"{source.name}: {answer.url} answered with status {answer.status_code}")
            goes_on = answer.status_code == requests.codes.partial_content and _starts_at(answer, done)
            total = int(answer.headers.get("Content-Length") or 0) + (done if goes_on else 0)
            with part.open("ab" if goes_on else "wb") as file:
                _write(answer, file, _Watch(source.name, total, progress, clock, until))
    except requests.RequestException as error:
        raise _Interrupted(f"the connection failed: {error}") from error


def _starts_at(answer: requests.Response, done: int) -> bool:
    """Return whether a partial answer begins where the file ends; another one must not be appended."""
    if answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
        return True
    raise ClusterBroken(f"{answer.url} sent another range than the requested one")


@dataclass(slots=True)
class _Watch:
    """Ends a download that is too long, and reports how far it is."""

    name: str
    total: int
    progress: Progress
    clock: Clock
    until: float
    reported: float = 0.0

    def see(self, size: int) -> None:
        now = self.clock.monotonic()
        if size > MOST_BYTES:
            raise ClusterBroken(f"{self.name}: the server sent more than {_size(MOST_BYTES)}, which is no release file")
        if now > self.until:
            raise ClusterBroken(f"{self.name}: not downloaded within {LONGEST:g} s, {_size(size)} so far")
        if not self.reported:
            self.reported = now
        elif now - self.reported >= REPORT_SECONDS:
            self.reported = now
            share = f" of {_size(self.total)}, {size / self.total:.0%}" if self.total else ""
            self.progress(f"downloading {self.name}: {_size(size)}{share}")


def _write(answer: requests.Response, file: BinaryIO, watch: _Watch) -> None:
    size = file.tell()
    for chunk in answer.iter_content(CHUNK):
        file.write(chunk)
        size += len(chunk)
        watch.see(size)
    file.flush()
    os.fsync(file.fileno())
    if watch.total and size < watch.total:
        raise _Interrupted(f"{_size(size)} of {_size(watch.total)} arrived")


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
