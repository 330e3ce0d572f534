"""Check manifests against the published types of Kubernetes' kinds: unknown and missing fields, types and values.

A custom resource is checked by the schema of its CustomResourceDefinition if the workload contains it, and otherwise
not at all. These checks are those of client and server together: kubectl refuses missing required fields, and
server-side apply refuses unknown fields and wrong types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.cluster.kube import published
from harness.cluster.kube.client import Object
from harness.common.documents import Place
from harness.common.shapes import listed, mapping
from harness.common.suggestions import did_you_mean

Misfit = tuple[Place, str]

# The grammar of Quantity in k8s.io/apimachinery/pkg/api/resource.
_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?\d+)?")
_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
    "quantity": "a quantity such as 100m, 1.5 or 64Mi",
    "int-or-string": "a whole number or text",
}
_FEW = 20
MISSING = "missing, and"
POD_TEMPLATE = "#io.k8s.api.core.v1.PodTemplateSpec"


class Schemas:
    """The types that the objects of one workload must have."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self._custom = dict(_custom_types(objects))

    def misfits(self, item: Object) -> Iterator[Misfit]:
        """Yield the problems of an object, each with its place."""
        api_version, kind = str(item.get("apiVersion")), str(item.get("kind"))
        definition = self._custom.get((api_version, kind)) or published.definition_of(api_version, kind)
        if definition is None:
            yield from _unknown_kind(api_version, kind)
            return
        yield from _value(item, definition, ())


def partial_misfits(patch: Object | None, definition: str) -> Iterator[Misfit]:
    """Yield the problems of a patch for an object of this type. A patch has no required fields."""
    yield from (misfit for misfit in _value(_without_directives(patch), definition, ()) if MISSING not in misfit[1])


def _without_directives(patch: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Return a patch without the directives of strategic merge, such as ``$patch: delete``."""
    if isinstance(patch, dict):
        return {key: _without_directives(value) for key, value in patch.items() if not str(key).startswith("$")}
    return [_without_directives(item) for item in patch] if isinstance(patch, list) else patch


def _unknown_kind(api_version: str, kind: str) -> Iterator[Misfit]:
    known = published.kinds()
    if siblings := [other for version, other in known if version == api_version]:
        yield ("kind",), f"found {kind}, which {api_version} does not have{_hint(kind, siblings)}"
        return
    group, _, _ = api_version.rpartition("/")
    # The group of a custom resource always contains a dot. A built-in group with a dot may have versions newer than
    # the published table, so both are accepted.
    if "." not in group:
        others = [version for version, other in known if other == kind]
        versions = sorted({version for version, _ in known})
        expected = f", expected {' or '.join(others)} for a {kind}" if others else _hint(api_version, versions)
        yield ("apiVersion",), f"found {api_version}, which Kubernetes {published.version()} does not have{expected}"


def _value(value: Any, kind: Any, place: Place) -> Iterator[Misfit]:  # noqa: ANN401 - whatever YAML holds
    # Kubernetes reads null as "not given".
    if value is None or kind == "any":
        return
    match kind:
        case {"fields": fields, "required": required, "name": name}:
            yield from _fields(value, fields, required, place, name)
        case [inner] if isinstance(value, list):
            yield from _each(enumerate(value), inner, place)
        case {"map": inner} if isinstance(value, dict):
            yield from _each(value.items(), inner, place)
        case {"enum": values}:
            yield from _one_of(value, values, place)
        case str():
            yield from _named_type(value, kind, place)
        case _:
            yield place, f"found {_shown(value)}, expected {'a list' if isinstance(kind, list) else 'a mapping'}"


def _named_type(value: Any, kind: str, place: Place) -> Iterator[Misfit]:  # noqa: ANN401 - whatever YAML holds
    if not kind.startswith("#"):
        yield from _scalar(value, kind, place)
        return
    fields, required = published.fields_of(kind)
    if fields:
        yield from _fields(value, fields, required, place, kind.rpartition(".")[2])


def _one_of(value: Any, values: Sequence[Any], place: Place) -> Iterator[Misfit]:  # noqa: ANN401 - whatever YAML holds
    if value not in values:
        expected = ", ".join(map(str, values))
        yield place, f"found {_shown(value)}, expected one of: {expected}{_hint(str(value), values, ', ')}"


def _each(items: Iterable[tuple[Any, Any]], kind: Any, place: Place) -> Iterator[Misfit]:  # noqa: ANN401 - a type
    for key, item in items:
        yield from _value(item, kind, (*place, key if isinstance(key, int) else str(key)))


def _fields(
    value: Any,  # noqa: ANN401 - whatever YAML holds
    fields: Mapping[str, Any],
    required: Sequence[str],
    place: Place,
    name: str,
) -> Iterator[Misfit]:
    if not isinstance(value, dict):
        yield place, f"found {_shown(value)}, expected a mapping with the fields of {name}"
        return
    for key, inner in value.items():
        if key in fields:
            yield from _value(inner, fields[key], (*place, str(key)))
        else:
            yield (*place, str(key)), f"unknown field of {name}{_hint(str(key), [*fields])}"
    for key in required:
        if value.get(key) is None:
            yield (*place, key), f"{MISSING} {name} requires it"


def _scalar(value: Any, kind: str, place: Place) -> Iterator[Misfit]:  # noqa: ANN401 - whatever YAML holds
    # In Python a bool is an int, in JSON it is not a number.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = number and float(value).is_integer()
    good = {
        "string": isinstance(value, str),
        "integer": whole,
        "number": number,
        "boolean": isinstance(value, bool),
        "object": isinstance(value, dict),
        "int-or-string": isinstance(value, str) or whole,
        "quantity": number or (isinstance(value, str) and bool(_QUANTITY.fullmatch(value.strip()))),
    }
    if not good.get(kind, True):
        quotes = "" if kind != "string" or isinstance(value, dict | list) else ": write it in quotes"
        yield place, f"found {_shown(value)}, expected {_WORDS[kind]}{quotes}"


def _hint(found: str, known: Sequence[Any], otherwise: str = "") -> str:
    names = [str(name) for name in known]
    if near := did_you_mean(found, names):
        return f"; did you mean {near}?"
    return "" if otherwise or len(names) > _FEW else f", expected one of: {', '.join(sorted(names))}"


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}…"


def _custom_types(objects: Sequence[Object]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield the types that CustomResourceDefinitions among the objects declare, by ``apiVersion`` and ``kind``."""
    for definition in (item for item in objects if item.get("kind") == "CustomResourceDefinition"):
        spec = mapping(definition.get("spec"))
        kind = str(mapping(spec.get("names")).get("kind"))
        for version in map(mapping, listed(spec.get("versions"))):
            schema = mapping(mapping(version.get("schema")).get("openAPIV3Schema"))
            own = _structural(schema, kind)
            if isinstance(own, dict) and "fields" in own:
                # A definition does not describe metadata; it is ObjectMeta for every kind, so that of Pods fits.
                metadata = published.fields_of("#io.k8s.api.core.v1.Pod")[0]["metadata"]
                own["fields"] |= {"apiVersion": "string", "kind": "string", "metadata": metadata}
            yield (f"{spec.get('group')}/{version.get('name')}", kind), own


def _structural(schema: Any, name: str) -> Any:  # noqa: ANN401 - a type
    """Return the type of a structural schema. Parts that the harness does not support become ``any``."""
    if not isinstance(schema, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return "any"
    if isinstance(schema.get("enum"), list):
        return {"enum": schema["enum"]}
    kind = "int-or-string" if schema.get("x-kubernetes-int-or-string") else schema.get("type")
    if kind == "array":
        return [_structural(schema.get("items"), name)]
    if kind == "object" and isinstance(schema.get("properties"), dict):
        fields = {key: _structural(part, key) for key, part in schema["properties"].items()}
        return {"fields": fields, "required": listed(schema.get("required")), "name": name}
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return {"map": _structural(schema["additionalProperties"], name)}
    return kind if isinstance(kind, str) and kind in _WORDS else "any"
