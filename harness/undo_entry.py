"""One effect's undo as data, and the format in which journals keep it, on disk and in the cluster alike.

A journal is text, one JSON object a line. Every line stands for itself: the format's version, the run, the cluster and
the journal it belongs to, the entry, and a checksum of it all. An entry that changes its state is written again; the
last line of an id counts. A line that was cut (a crash, a full disk) or damaged is no line: a write that was cut has
never returned, so no effect followed it, and a mark that was cut costs no more than an undo that is repeated.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from harness.errors import HarnessError

FORMAT = 1

State = Literal["pending", "done", "failed"]


@dataclass(frozen=True, slots=True)
class UndoEntry:
    """One effect's undo. ``parameters`` are JSON and name objects by UID where there is one.

    ``written`` and ``expires`` are RFC 3339 in UTC: from ``expires`` on no run that is still at work needs the effect.
    """

    id: int
    kind: str
    description: str
    parameters: dict[str, Any] = field(default_factory=dict)
    state: State = "pending"
    error: str = ""
    written: str = ""
    expires: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a journal comes from: its run, its name, and the UID of the cluster's kube-system namespace.

    The UID is empty when it could not be read; it keeps a journal on disk from being replayed on another cluster.
    """

    run: str
    journal: str
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What a journal's text says: each entry in its last state, in the order first written."""

    origin: Origin | None
    entries: tuple[UndoEntry, ...]


def encode(origin: Origin, entry: UndoEntry) -> bytes:
    """One line, its end included."""
    body = {"format": FORMAT, "origin": asdict(origin), "entry": asdict(entry)}
    return json.dumps({**body, "sum": _checksum(body)}).encode() + b"\n"


def decode(text: bytes) -> Page:
    """Read a journal. Raises HarnessError when it says what this harness does not know (a newer format, an entry with
    other fields): that must not be guessed."""
    origin: Origin | None = None
    entries: dict[int, UndoEntry] = {}
    for line in _whole(text.split(b"\n")):
        if line["format"] > FORMAT:
            raise HarnessError(f"an undo journal of format {line['format']} needs a newer harness: this reads {FORMAT}")
        try:
            origin, entry = Origin(**line["origin"]), UndoEntry(**line["entry"])
            _check(origin, entry)
        except (KeyError, TypeError) as error:
            # The checksum is right, so it was written like this: by another harness, or by somebody's hand.
            raise HarnessError(f"an undo journal says what this harness cannot read: {error}") from error
        entries[entry.id] = entry
    return Page(origin, tuple(entries.values()))


def _whole(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            found = json.loads(line)
            body = {key: value for key, value in found.items() if key != "sum"}
            if found["sum"] == _checksum(body) and isinstance(body["format"], int):
                yield body
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            continue


def _check(origin: Origin, entry: UndoEntry) -> None:
    """Raises TypeError for a field of another type: what sorts and shows entries relies on them."""
    texts = [*asdict(origin).values(), entry.kind, entry.description, entry.error, entry.written, entry.expires]
    if not all(isinstance(text, str) for text in texts) or not isinstance(entry.parameters, dict):
        raise TypeError(f"a field of entry {entry.id!r} is of a wrong type")
    if not isinstance(entry.id, int) or entry.state not in get_args(State):
        raise TypeError(f"entry {entry.id!r} is {entry.state!r}")


def _checksum(body: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(body, sort_keys=True).encode()):08x}"
