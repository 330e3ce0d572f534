"""The JSON Schema of experiment files explains every property, so that an editor can show what it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

from harness.experiment.json_schema import experiment_schema
from harness.gameday.json_schema import game_day_schema


def properties(node: object, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every property below a part of a schema, with its place."""
    if isinstance(node, list):
        for index, part in enumerate(node):
            yield from properties(part, f"{place}/{index}")
    elif isinstance(node, dict):
        for key, part in node.items():
            if key == "properties":
                yield from ((f"{place}/{name}", schema) for name, schema in part.items())
            # The names below these two keys are the schema's own, not keywords.
            for name, inner in part.items() if key in {"properties", "$defs"} else [(key, part)]:
                yield from properties(inner, f"{place}/{name}")


def test_schema_has_an_id_and_a_title() -> None:
    schema = experiment_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == "https://resilience.harness/schema/experiment.json"
    assert schema["title"] == "Resilience experiment"


def folder(place: str) -> str:
    """Return the folder whose models declare the property at a place."""
    part = place.split("/")[1]
    if part.partition(".")[0] in {"faults", "objectives", "probes"}:
        return f"harness/{part.partition('.')[0]}"
    if part in {"Cap", "Caps", "Safety"}:
        return "harness/safety"
    return "harness/traffic" if part == "Probing" or part.endswith("Aim") else "harness/experiment"


def test_every_property_has_a_description() -> None:
    found = dict(properties(experiment_schema()))
    assert {"/hypothesis", "/Phases/baseline", "/probes.readable/command"} <= found.keys()
    missing = [place for place, schema in found.items() if not str(schema.get("description", "")).strip()]
    listed = sorted(f"{folder(place)}: {place}" for place in missing)
    assert not listed, "properties without a description:\n" + "\n".join(listed)


def test_schema_of_game_days_explains_every_property() -> None:
    schema = game_day_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == "Game day"
    found = dict(properties(schema))
    assert {"/budget", "/Selection/paths"} <= found.keys()
    assert [place for place, field in found.items() if not str(field.get("description", "")).strip()] == []
