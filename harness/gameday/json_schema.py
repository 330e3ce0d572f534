"""The JSON Schema of game day files, used by editors for completion and checks."""

from __future__ import annotations

from typing import Any

from harness.gameday.declaration import GameDayDeclaration

# Names the schema for editors and validators. It is an identifier and need not be reachable.
SCHEMA_ID = "https://resilience.harness/schema/gameday.json"


def game_day_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of game day files."""
    schema = GameDayDeclaration.model_json_schema(by_alias=True)
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$id": SCHEMA_ID, **schema, "title": "Game day"}
