"""The JSON Schema of experiment files, used by editors for completion and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from harness.experiment import registry
from harness.experiment.declaration import Declaration
from harness.experiment.timing import Timing

# Names the schema for editors and validators. It is an identifier and need not be reachable.
SCHEMA_ID = "https://resilience.harness/schema/experiment.json"


def experiment_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of experiment files, with every known fault, objective and probe."""
    schema = Declaration.model_json_schema(by_alias=True)
    definitions = schema.setdefault("$defs", {})
    for key, kinds in (
        ("faults", registry.faults()),
        ("objectives", registry.objectives()),
        ("probes", registry.probes()),
    ):
        schema["properties"][key]["items"] = _one_of(key, kinds, definitions)
    _add_timing(schema["properties"]["faults"]["items"]["oneOf"], definitions)
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$id": SCHEMA_ID, **schema, "title": "Resilience experiment"}


def _add_timing(choices: Sequence[dict[str, Any]], definitions: dict[str, Any]) -> None:
    """Add the keys of the timing to every kind of fault."""
    own = Timing.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
    definitions.update(own.pop("$defs", {}))
    for choice in choices:
        choice["properties"] = {**choice["properties"], **own["properties"]}


def _one_of(key: str, kinds: Mapping[str, type[BaseModel]], definitions: dict[str, Any]) -> dict[str, Any]:
    choices = []
    for kind, model in kinds.items():
        own = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
        definitions.update(own.pop("$defs", {}))
        # Prefixed, since an objective and a probe may have the same kind.
        definitions[f"{key}.{kind}"] = own
        reference = {"$ref": f"#/$defs/{key}.{kind}"}
        if "description" in own:
            # Editors show the description of a key, not that of the definition it refers to.
            reference["description"] = own["description"]
        choices.append(
            {
                "type": "object",
                "properties": {kind: reference},
                "required": [kind],
                "additionalProperties": False,
            }
        )
    return {"oneOf": choices}
