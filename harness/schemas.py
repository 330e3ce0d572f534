"""The JSON Schema of experiment files, for editors: completion and red underlines while they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from harness import registry
from harness.experiment import Declaration


def experiment_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of an experiment file with every known fault, objective and probe."""
    schema = Declaration.model_json_schema(by_alias=True)
    definitions = schema.setdefault("$defs", {})
    for key, kinds in (
        ("faults", registry.faults()),
        ("objectives", registry.objectives()),
        ("probes", registry.probes()),
    ):
        schema["properties"][key]["items"] = _one_of(key, kinds, definitions)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Experiment", **schema}


def _one_of(key: str, kinds: Mapping[str, type[BaseModel]], definitions: dict[str, Any]) -> dict[str, Any]:
    choices = []
    for kind, model in kinds.items():
        own = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
        definitions.update(own.pop("$defs", {}))
        # An objective and a probe may have one kind's name between them.
        definitions[f"{key}.{kind}"] = own
        choices.append(
            {
                "type": "object",
                "properties": {kind: {"$ref": f"#/$defs/{key}.{kind}"}},
                "required": [kind],
                "additionalProperties": False,
            }
        )
    return {"oneOf": choices}
