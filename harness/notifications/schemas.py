"""The published JSON Schemas of what webhooks receive and answer, generated from the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.notifications.event import Notification
from harness.notifications.veto import VetoAnswer, VetoRequest

MODELS: dict[str, type[BaseModel]] = {
    "notification": Notification,
    "veto-request": VetoRequest,
    "veto-answer": VetoAnswer,
}


def webhook_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one of MODELS."""
    schema = MODELS[name].model_json_schema(
        by_alias=True, mode="validation" if name == "veto-answer" else "serialization"
    )
    identifier = f"https://resilience.harness/schema/{name}.json"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": identifier, **schema}


def published(name: str) -> Path:
    """Return the checked-in file of a schema, for tools without this package."""
    return Path(__file__).with_name(f"{name}.schema.json")


def published_text(name: str) -> str:
    """Return the text of the checked-in file."""
    return json.dumps(webhook_schema(name), indent=2, ensure_ascii=False) + "\n"
