"""Write harness/cluster/kube/patches/rules.json: how each list and map of Kubernetes' own kinds is merged.

    python -m scripts.patch_rules

reads the OpenAPI document of the Kubernetes module that the local cluster is built from, in Go's module cache. Run it
after a change of that module's version.

Kept of it is what merging needs: of each type the fields that are merged in a way of their own, or that lead to such
fields. The types of kinds are in the table that ``scripts/api_schema.py`` writes.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from harness.cluster.components import KUBERNETES, module_versions, modules_folder

RULES = Path(__file__).resolve().parents[1] / "harness/cluster/kube/patches/rules.json"
_PREFIX = "#/definitions/"


def version() -> str:
    """The version of Kubernetes that the local cluster is built from."""
    return module_versions((modules_folder() / "go.mod").read_text())[KUBERNETES]


def document(kubernetes: str) -> Path:
    """Where Go's module cache holds the OpenAPI document of that version; it may not be there."""
    cache = subprocess.run(["go", "env", "GOMODCACHE"], check=True, capture_output=True, text=True).stdout.strip()
    return Path(cache) / f"{KUBERNETES}@v{kubernetes}" / "api/openapi-spec/swagger.json"


def rules(definitions: dict[str, Any], kubernetes: str) -> dict[str, Any]:
    """The table: the version, and the merged fields of each type."""
    types = {
        name: {field: _field(found) for field, found in sorted(definition.get("properties", {}).items())}
        for name, definition in definitions.items()
    }
    needed = _needed(types)
    kept = {
        name: {
            field: found for field, found in types[name].items() if "strategy" in found or found.get("type") in needed
        }
        for name in sorted(needed)
    }
    for found in (found for fields in kept.values() for found in fields.values()):
        if found.get("type") not in kept:
            found.pop("type", None)
    return {"version": f"v{kubernetes}", "types": kept}


def _type(schema: dict[str, Any]) -> str:
    of = schema.get("items", schema)
    return str(of.get("$ref") or (of.get("allOf") or [{}])[0].get("$ref", "")).removeprefix(_PREFIX)


def _field(schema: dict[str, Any]) -> dict[str, Any]:
    # retainKeys only matters to who computes a patch, not to who applies it.
    strategies = [
        each for each in schema.get("x-kubernetes-patch-strategy", "").split(",") if each not in {"", "retainKeys"}
    ]
    keys = schema.get("x-kubernetes-list-map-keys", [])
    found = {
        "type": _type(schema),
        "strategy": strategies[0] if strategies else "",
        "key": schema.get("x-kubernetes-patch-merge-key", ""),
        "keys": keys if len(keys) > 1 and strategies else [],
    }
    return {name: value for name, value in found.items() if value}


def _needed(types: dict[str, dict[str, Any]]) -> set[str]:
    """The types in which something is merged in a way of its own, at any depth."""
    needed = {name for name, fields in types.items() if any("strategy" in field for field in fields.values())}
    while True:
        more = {
            name for name, fields in types.items() if any(field.get("type") in needed for field in fields.values())
        } - needed
        if not more:
            return needed
        needed |= more


def text(table: dict[str, Any]) -> str:
    """The table as it stands in the file: a line for each type."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(fields)}" for name, fields in table["types"].items())
    return f'{{\n "version": {json.dumps(table["version"])},\n "types": {{\n{lines}\n }}\n}}\n'


def generated() -> str:
    """The file's text for the version in use. OSError where the module is not in the cache."""
    kubernetes = version()
    return text(rules(json.loads(document(kubernetes).read_text())["definitions"], kubernetes))


if __name__ == "__main__":
    RULES.write_text(generated())
    print(f"wrote {RULES}")
