"""Rewrite the namespaces in one object, wherever Kubernetes, RBAC, webhooks and common settings name them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.documents import Place
from harness.experiment.isolation.layout import NAME_LABEL, Layout
from harness.experiment.isolation.texts import Texts

# Values below these keys are labels, which selectors compare: they are not references.
_LABELS = frozenset({"labels", "matchLabels", "selector", "nodeSelector"})
# The experiment's own namespace takes the place of the published one, and a generated name is already made.
_OWN = frozenset({"namespace", "generateName"})
# Short host names are not searched in these: they are names, not addresses.
_NAMES = frozenset({"apiVersion", "kind", "name", "image", "caBundle"})

# The schemas of a CustomResourceDefinition describe fields; they refer to nothing.
_SCHEMAS: Place = ("spec", "versions")


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A reference to a namespace that was rewritten: the object, the place in it, and the published namespace."""

    item: str
    place: Place
    found: str


@dataclass(frozen=True, slots=True)
class Outside:
    """A reference to a namespace that is not part of the workload, which keeps its meaning."""

    item: str
    place: Place
    found: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Certified:
    """A webhook or API service in a namespace that was replaced, with a fixed authority for its certificate."""

    item: str
    service: str


@dataclass
class Rewriter:
    """Rewrites objects of one workload, and collects what it found."""

    layout: Layout
    texts: Texts
    rewrites: list[Rewrite] = field(default_factory=list)
    outside: list[Outside] = field(default_factory=list)
    certified: list[Certified] = field(default_factory=list)

    def rewritten(self, item: Object) -> Object:
        """Return a copy with the references rewritten, and without its own namespace and generateName."""
        made: Object = _Walk(self, reference(item), _keeps_texts(item)).value(item, ())
        metadata = {key: value for key, value in made["metadata"].items() if key not in _OWN}
        made["metadata"] = metadata
        if item.get("kind") == "Secret":
            self._secret(made)
        return made

    def _secret(self, secret: Object) -> None:
        """Rewrite the encoded values of a Secret. The result is written as text, which overrides the encoded value."""
        data = secret.get("data")
        if not isinstance(data, dict):
            return
        walk = _Walk(self, reference(secret), texts=True)
        changed = {}
        for key, value in data.items():
            text = _decoded(value)
            new = text if text is None else walk.setting(text, ("data", str(key)), str(key))
            if new is not None and new != text:
                changed[key] = new
        if changed:
            secret["data"] = {key: value for key, value in data.items() if key not in changed}
            secret["stringData"] = {**changed, **(secret.get("stringData") or {})}


@dataclass
class _Walk:
    """One pass over an object. ``texts``: the values of ``data`` are texts of files and settings."""

    by: Rewriter
    item: str
    texts: bool

    def value(self, value: Any, place: Place) -> Any:  # noqa: ANN401 - whatever YAML holds
        if isinstance(value, dict):
            service = value.get("service")
            if value.get("caBundle") and isinstance(service, dict) and self._is_inside(service.get("namespace")):
                name = f"{service.get('name')}.{service['namespace']}.svc"
                self.by.certified.append(Certified(self.item, name))
            return {key: self._field(str(key), part, (*place, str(key)), value) for key, part in value.items()}
        if isinstance(value, list):
            return [self._element(part, (*place, index), value) for index, part in enumerate(value)]
        return self._text(value, place) if isinstance(value, str) else value

    def setting(self, text: str, place: Place, key: str) -> str:
        """Rewrite the text of a file or a setting; a key that is named after a namespace has one as its value."""
        found = self._found(place)
        if _of_namespace(key) and "\n" not in text.strip():
            return self.by.texts.names(text, found)
        text = self._text(text, place)
        return self.by.texts.paths(self.by.texts.settings(text, found), found)

    def _field(self, key: str, value: Any, place: Place, parent: dict[str, Any]) -> Any:  # noqa: ANN401
        if isinstance(value, str):
            return self._named(key, value, place, parent)
        if key == "values" and parent.get("key") == NAME_LABEL and isinstance(value, list):
            found = self._found(place)
            return [self.by.texts.name(one, found) if isinstance(one, str) else one for one in value]
        return value if place == _SCHEMAS and parent.get("names") else self.value(value, place)

    def _named(self, key: str, value: str, place: Place, parent: dict[str, Any]) -> str:
        """Rewrite the text of a field, by the name of the field."""
        if key == NAME_LABEL:
            return self.by.texts.name(value, self._found(place))
        if place in {("metadata", "namespace"), ("metadata", "name")} or (len(place) > 1 and place[-2] in _LABELS):
            return value
        if len(place) == 2 and self.texts and place[0] in {"data", "stringData"}:
            # The encoded values of a Secret are read in a second step.
            return value if (place[0], self.item[:7]) == ("data", "secret/") else self.setting(value, place, key)
        if len(place) > 1 and place[-2] == "annotations":
            return self.by.texts.paths(self._text(value, place), self._found(place))
        if key == "value" and "name" in parent:
            # An environment variable, or a parameter of a custom resource: its name stands beside it.
            return self.setting(value, place, str(parent["name"]))
        return self._reference(value, place) if _of_namespace(key) else self._text(value, place)

    def _element(self, value: Any, place: Place, siblings: list[Any]) -> Any:  # noqa: ANN401
        if not isinstance(value, str):
            return self.value(value, place)
        key, index, found = str(place[-2]), int(place[-1]), self._found(place)
        if key in {"args", "command"}:
            before = siblings[index - 1] if index else ""
            # An option whose value is the next argument.
            if isinstance(before, str) and before.startswith("-") and "=" not in before and _of_namespace(before):
                return self.by.texts.names(value, found)
            return self.by.texts.paths(self.by.texts.settings(self._text(value, place), found), found)
        if key == "matchNames" or _of_namespace(key):
            return self._reference(value, place)
        return self._text(value, place)

    def _reference(self, value: str, place: Place) -> str:
        if value and value != "*" and place[-1] == "namespace" and self.by.layout.meant(value) is None:
            self.by.outside.append(Outside(self.item, place, value, value))
        return self.by.texts.name(value, self._found(place))

    def _text(self, value: str, place: Place) -> str:
        found = self._found(place)
        for service, namespace in self.by.texts.outside(value):
            self.by.outside.append(Outside(self.item, place, f"{service}.{namespace}.svc", namespace))
        value = self.by.texts.hosts(value, found)
        return value if str(place[-1]) in _NAMES else self.by.texts.short_hosts(value, found)

    def _is_inside(self, namespace: object) -> bool:
        return isinstance(namespace, str) and self.by.layout.meant(namespace) is not None

    def _found(self, place: Place) -> Callable[[str], None]:
        return lambda name: self.by.rewrites.append(Rewrite(self.item, place, name))


def _of_namespace(key: str) -> bool:
    """Return whether the value of a key, a variable or an option is a namespace, or a list of them, by its name."""
    return key.lower().endswith(("namespace", "namespaces"))


def _keeps_texts(item: Object) -> bool:
    return item.get("kind") in {"ConfigMap", "Secret"} and item.get("apiVersion") == "v1"


def _decoded(value: object) -> str | None:
    try:
        return base64.b64decode(str(value), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
