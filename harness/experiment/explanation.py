"""Explanations of kinds and fields, from the JSON Schema of experiment files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import yaml

from harness.common.errors import InputError, Problem
from harness.common.suggestions import one_of
from harness.experiment.json_schema import experiment_schema
from harness.experiment.kinds import LISTS, Kind, kinds
from harness.experiment.schema_fields import Definitions, Node, SchemaField
from harness.experiment.timing import KEYS, Timing

EXPERIMENT, FAULTS = "experiment", "faults"
UNITS = {
    "duration": "a number with its unit: 200ms, 20s, 1m30s, 2h",
    "share": "a percentage: 99.9%",
    "rate": "a number per second, minute or hour: 50/s, 3000/m",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of a kind or a field. ``steps`` is its place in an experiment, empty for the whole file."""

    title: str
    about: str
    fields: tuple[SchemaField, ...] = ()
    example: str = ""
    steps: tuple[str, ...] = ()
    type: str = ""
    default: str = ""
    required: bool = False

    @property
    def properties(self) -> list[tuple[str, str]]:
        """The type with its unit and the default of a field."""
        unit = UNITS.get(self.type)
        found = [("Type:", f"{self.type} ({unit})" if unit else self.type)]
        return [*found, ("Default:", "none, it is required" if self.required else self.default or "none")]


def explain(path: str) -> list[Explanation]:
    """Return the explanations of ``KIND``, ``KIND.PARAMETER`` or ``experiment.FIELD``; several kinds may share a name.

    Raises InputError with suggestions for an unknown word.
    """
    schema = experiment_schema()
    reader = _Reader(schema)
    words = [word for word in path.split(".") if word]
    if not words:
        raise InputError([Problem(f"found {path!r}, expected KIND, KIND.PARAMETER or {EXPERIMENT}.FIELD")])
    below = words[1:] if words[0] == EXPERIMENT else words
    if len(below) > 1 and below[0] == FAULTS and below[1] in KEYS:
        return [explain_field(Timing.model_json_schema(by_alias=True), below[1:], FAULTS, FAULTS)]
    if words[0] == EXPERIMENT:
        if len(words) > 2 and words[1] in LISTS:
            return reader.of_kinds(words[2], words[3:], (words[1],))
        return [reader.of_field(schema, words[1:], EXPERIMENT, ())]
    if words[0] in LISTS and len(words) > 1:
        return reader.of_kinds(words[1], words[2:], (words[0],))
    names = {field.name for field in reader.fields(schema)}
    if words[0] in names and not any(kind.name == words[0] for kind in kinds()):
        return [reader.of_field(schema, words, EXPERIMENT, ())]
    return reader.of_kinds(words[0], words[1:], tuple(LISTS))


def explain_field(schema: dict[str, Any], words: list[str], title: str, whole: str) -> Explanation:
    """Return the explanation of a field of another kind of file; ``whole`` is the title of the file itself.

    Raises InputError.
    """
    found = _Reader(schema).of_field(schema, words, title, ())
    return replace(found, steps=()) if words else replace(found, title=whole)


class _Reader:
    def __init__(self, schema: dict[str, Any]) -> None:
        self._definitions = Definitions(schema)
        self._kinds: Node = schema.get("$defs", {})

    def fields(self, node: Node) -> list[SchemaField]:
        return self._definitions.fields(node)

    def of_kinds(self, name: str, words: list[str], lists: tuple[str, ...]) -> list[Explanation]:
        """Return the explanations of all kinds of this name in these lists, or of their parameter."""
        found = [kind for kind in kinds(*lists) if kind.name == name]
        if not found:
            known = [kind.name for kind in kinds(*lists)] + ([EXPERIMENT] if len(lists) > 1 else [])
            raise InputError([Problem(f"found the unknown word {name!r}{one_of(name, dict.fromkeys(known))}")])
        explained: list[Explanation] = []
        problems: list[Problem] = []
        for kind in found:
            try:
                explained.append(self._of_kind(kind, words))
            except InputError as error:
                problems += error.problems
        if not explained:
            raise InputError(problems)
        return explained

    def of_field(self, node: Node, words: list[str], title: str, steps: tuple[str, ...]) -> Explanation:
        """Return the explanation of the field that ``words`` lead to from a node. Raises InputError."""
        last: SchemaField | None = None
        for word in words:
            below = {field.name: field for field in self.fields(node)}
            if word not in below:
                known = one_of(word, below) or ": it has no fields"
                raise InputError([Problem(f"{title} has no field {word!r}{known}")])
            last = below[word]
            node, steps, title = last.node, (*steps, *last.steps), f"{title}.{word}"
        if last is None:
            return Explanation("experiment: an experiment file", str(node.get("description", "")), self._all(node))
        about, fields = last.about, self._all(node)
        if steps[-1] in LISTS and len(steps) == 1:
            # The kinds have explanations themselves; beside them a fault has the keys of its timing.
            about += ". Kinds: " + ", ".join(kind.name for kind in kinds(steps[0]))
            schema = Timing.model_json_schema(by_alias=True) if steps[0] == FAULTS else {}
            fields = tuple(Definitions(schema).fields(schema))
        return Explanation(title, about, fields, "", steps, last.type, last.default, last.required)

    def _of_kind(self, kind: Kind, words: list[str]) -> Explanation:
        node = self._kinds[f"{kind.list}.{kind.name}"]
        place = (kind.list, kind.name)
        if words:
            return self.of_field(node, words, f"{kind.list}.{kind.name}", place)
        about = "\n\n".join(filter(None, (kind.about, kind.facts)))
        title = f"{kind.name}: {'an' if LISTS[kind.list][0] in 'aeiou' else 'a'} {LISTS[kind.list]}"
        return Explanation(title, about, self._all(node), _example(kind), place)

    def _all(self, node: Node) -> tuple[SchemaField, ...]:
        return tuple(self.fields(node))


def _example(kind: Kind) -> str:
    if kind.example is None:
        return ""
    written = yaml.safe_dump(dict(kind.example), default_flow_style=True, sort_keys=False, width=1000).strip()
    return f"- {kind.name}: {written}"
