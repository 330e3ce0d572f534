"""Writes the table of Kubernetes' own kinds and fields that manifests are checked against.

    python -m scripts.api_schema [FOLDER VERSION]

FOLDER is the source of k8s.io/kubernetes; without it the one that the local cluster is built from, in Go's module
cache. The table comes from the published OpenAPI document (``api/openapi-spec/swagger.json``) and holds no
descriptions. Enumerations are not in that document (the server adds them with a feature gate), so they are read from
the Go code that it is generated from.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.cluster.components import modules_folder
from harness.cluster.kube.published import FILE
from harness.cluster.local import toolchain
from harness.cluster.local.binaries import go_directive
from harness.common.progress import Lines

_MODULE = "k8s.io/kubernetes"
_SWAGGER = "api/openapi-spec/swagger.json"
_GENERATED = "pkg/generated/openapi/zz_generated.openapi.go"
_PREFIX = "#/definitions/"
# What is written in another form than the document's type says, or holds anything.
_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "string",
}
_FUNCTION = re.compile(r"^func schema_k8sio_api_([a-z0-9]+)_(v[a-z0-9]+)_(\w+)\(.*?^}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r'^\t{5}"(\w+)": \{$(.*?)^\t{5}\},$', re.MULTILINE | re.DOTALL)
_ENUM = re.compile(r"Enum:\s+\[\]interface\{\}\{(.*?)\}")


def main(arguments: list[str]) -> int:
    """Write the table into the package."""
    source, version = _module() if not arguments else (Path(arguments[0]), arguments[1])
    swagger = json.loads((source / _SWAGGER).read_text(encoding="utf-8"))
    enums = enumerations((source / _GENERATED).read_text(encoding="utf-8"))
    table = {"version": version, **compact(swagger, enums)}
    text = json.dumps(table, separators=(",", ":"), sort_keys=True)
    FILE.write_bytes(gzip.compress(text.encode(), mtime=0))
    kinds, bytes_ = len(table["kinds"]), FILE.stat().st_size
    print(
        f"{FILE.name}: Kubernetes {table['version']}, {kinds} kinds, {len(table['definitions'])} types, {bytes_} bytes"
    )
    return 0


def compact(swagger: dict[str, Any], enums: dict[tuple[str, str], list[str]]) -> dict[str, Any]:
    """The table of a document. A type is a name, ``#definition``, ``[type]`` for a list of it, ``{"map": type}`` or
    ``{"enum": [values]}``."""
    definitions: dict[str, Any] = {}
    kinds = dict(_kinds(swagger))
    waiting = [entry[2] for entry in kinds.values()]
    while waiting:
        name = waiting.pop()
        if name in definitions:
            continue
        found = swagger["definitions"][name]
        fields = {field: _type(part, enums.get((name, field))) for field, part in found.get("properties", {}).items()}
        definitions[name] = [fields, sorted(found.get("required", []))]
        waiting += [reference for part in fields.values() for reference in _references(part)]
    return {"kinds": kinds, "definitions": definitions}


def enumerations(code: str) -> dict[tuple[str, str], list[str]]:
    """The values that a field of a definition may have, by both their names."""
    found = {}
    for function in _FUNCTION.finditer(code):
        group, version, kind = function.groups()
        for field in _FIELD.finditer(function[0]):
            if values := _ENUM.search(field[2]):
                found[f"io.k8s.api.{group}.{version}.{kind}", field[1]] = json.loads(f"[{values[1]}]")
    return found


def _kinds(swagger: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Every kind that can be created by its name: its plural, whether it has a namespace, its definition."""
    by_kind = {
        _key(kind): name
        for name, found in swagger["definitions"].items()
        for kind in found.get("x-kubernetes-group-version-kind", [])
    }
    for path, operations in swagger["paths"].items():
        kind = operations.get("post", {}).get("x-kubernetes-group-version-kind")
        if kind is None or path.endswith("}") or "{name}" in path:
            continue
        key = _key(kind)
        yield key, [path.rpartition("/")[2], "{namespace}" in path, by_kind[key]]


def _type(part: dict[str, Any], values: list[str] | None) -> Any:  # noqa: ANN401 - a part of the table
    if "$ref" in part:
        name = part["$ref"].removeprefix(_PREFIX)
        return _SPECIAL.get(name, f"#{name}")
    kind = part.get("type", "any")
    if kind == "array":
        return [_type(part["items"], values)]
    if kind == "object":
        return {"map": _type(part["additionalProperties"], None)} if "additionalProperties" in part else "object"
    if values:
        return {"enum": values}
    return str(kind)


def _references(part: Any) -> Iterator[str]:  # noqa: ANN401 - a part of the table
    if isinstance(part, list):
        yield from _references(part[0])
    elif isinstance(part, dict):
        yield from _references(part.get("map"))
    elif isinstance(part, str) and part.startswith("#"):
        yield part[1:]


def _key(kind: dict[str, str]) -> str:
    group_version = "/".join(filter(None, (kind["group"], kind["version"])))
    return f"{group_version} {kind['kind']}"


def _module() -> tuple[Path, str]:
    """The module's folder and version. Raises ClusterBroken without a Go compiler."""
    folder = modules_folder()
    go = toolchain.find(go_directive((folder / "go.mod").read_text(encoding="utf-8")), Lines())
    command = [str(go.binary), "list", "-m", "-json", _MODULE]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder, env=go.environment())
    module = json.loads(done.stdout)
    return Path(module["Dir"]), module["Version"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
