"""An undo entry: how to revert one effect, as data; and the format of undo journals on disk and in the cluster.

A journal is text with one JSON object per line. Every line is complete in itself: the format version, the run, the
cluster and the journal it belongs to, the entry, and a checksum of all of these. An entry is written again when its
state changes; the last line with an id counts. A truncated (crash, full disk) or damaged line is ignored: a truncated
write never returned, so its effect was not injected, and after a truncated state change the undo is only repeated.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from harness.common.errors import HarnessError

FORMAT = 1
# The parameter that marks an entry whose object outlives a dead run on purpose.
STAYS = "stays"

State = Literal["pending", "done", "failed"]


@dataclass(frozen=True, slots=True)
class UndoEntry:
    """How to undo one effect. ``parameters`` are JSON, and identify objects by UID where they have one.

    ``written`` and ``expires`` are RFC 3339 timestamps in UTC. No run needs the effect after ``expires``.
    """

    id: int
    kind: str
    description: str
    parameters: dict[str, Any] = field(default_factory=dict)
    state: State = "pending"
    error: str = ""
    written: str = ""
    expires: str = ""

    @property
    def stays(self) -> bool:
        """Whether its object is kept on purpose (``--cluster-keep``) if the run dies. Only the run's normal end removes
        it, or ``harness sweep --kept``."""
        return self.parameters.get(STAYS) is True


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a journal comes from: its run, its name, and the UID of the cluster's kube-system namespace.

    The UID prevents a journal on disk from being replayed on another cluster. It is empty if it could not be read.
    """

    run: str
    journal: str
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """The content of a journal: each entry in its latest state, in the order first written."""

    origin: Origin | None
    entries: tuple[UndoEntry, ...]


def encode(origin: Origin, entry: UndoEntry) -> bytes:
    """Return one journal line, including its newline."""
    body = {"format": FORMAT, "origin": asdict(origin), "entry": asdict(entry)}
    return json.dumps({**body, "sum": _checksum(body)}).encode() + b"\n"


def decode(text: bytes) -> Page:
    """Read a journal. Raises HarnessError for a newer format or unknown fields, since an undo must not be guessed."""
    origin: Origin | None = None
    entries: dict[int, UndoEntry] = {}
    for line in _whole(text.split(b"\n")):
        if line["format"] > FORMAT:
            raise HarnessError(
                f"undo journal format {line['format']} needs a newer harness: this version reads up to {FORMAT}"
            )
        try:
            origin, entry = Origin(**line["origin"]), UndoEntry(**line["entry"])
            _check(origin, entry)
        except (KeyError, TypeError) as error:
            # The checksum is right, so the line is not damaged: another version, or a person, wrote it like this.
            raise HarnessError(f"an undo journal has an entry that this version cannot read: {error}") from error
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
    """Raise TypeError for a field of a wrong type, since the code that sorts and shows entries relies on the types."""
    texts = [*asdict(origin).values(), entry.kind, entry.description, entry.error, entry.written, entry.expires]
    if not all(isinstance(text, str) for text in texts) or not isinstance(entry.parameters, dict):
        raise TypeError(f"a field of entry {entry.id!r} has a wrong type")
    if not isinstance(entry.id, int) or entry.state not in get_args(State):
        raise TypeError(f"entry {entry.id!r} has the unknown state {entry.state!r}")


def _checksum(body: dict[str, Any]) -> str:
    # Detects truncated and damaged lines; it does not protect against tampering.
    return f"{zlib.crc32(json.dumps(body, sort_keys=True).encode()):08x}"
