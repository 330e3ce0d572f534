"""Load a game day file, and report all of its problems together."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.common.documents import Document, load_document
from harness.common.errors import InputError
from harness.gameday.declaration import GameDayDeclaration
from harness.model.quantities import FROM_FILE


@dataclass(frozen=True, slots=True)
class GameDay:
    """A validated game day. ``digest`` is a checksum of what its file declares, without comments and layout."""

    declared: GameDayDeclaration
    document: Document
    digest: str

    @property
    def name(self) -> str:
        return self.declared.metadata.name

    @property
    def file(self) -> Path:
        return self.document.file


def load_game_day(file: Path) -> GameDay:
    """Load and validate a game day file; its experiments are not loaded. Raises InputError with all problems."""
    document = load_document(file)
    try:
        declared = GameDayDeclaration.model_validate(document.data, context=FROM_FILE)
    except ValidationError as error:
        raise InputError(document.problems(error, model=GameDayDeclaration)) from error
    text = json.dumps(document.data, sort_keys=True, separators=(",", ":"), default=str)
    return GameDay(declared, document, f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")
