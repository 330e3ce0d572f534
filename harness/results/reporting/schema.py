"""The published JSON Schema of results.json, generated from the record classes so that it cannot diverge from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.results.record import RunRecord

PUBLISHED = Path(__file__).with_name("results.schema.json")


def results_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of results.json."""
    schema = RunRecord.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def published_text() -> str:
    """Return the text of the checked-in ``results.schema.json``, for tools and editors without this package."""
    return json.dumps(results_schema(), indent=2, ensure_ascii=False) + "\n"
