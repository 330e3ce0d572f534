"""Suggestions for misspelt words, and the fields that a model allows at a place of its data."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel


def one_of(found: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: ``, did you mean count? Expected one of: count, selector``."""
    words = list(known)
    near = did_you_mean(found, words)
    if not words:
        return ""
    beginning = f", did you mean {near}? Expected" if near else ", expected"
    return f"{beginning} one of: {', '.join(words)}"


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """Return the known word closest to the one found, or "" if none is close."""
    words = list(known)
    # By its letters alone too: podkill, pod_kill and PodKill all mean podKill.
    plain = {_letters(word): word for word in reversed(words)}
    near = difflib.get_close_matches(_letters(found), plain, 1, 0.7)
    return plain[near[0]] if near else ""


def known_fields(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """Return the names, as written in a file, of the fields allowed at a place in a model's data; none if unknown."""
    models = [model]
    for part in place:
        annotations = [
            field.annotation
            for each in models
            for key, field in each.model_fields.items()
            if part in {field.alias, key}
        ]
        models = [found for annotation in annotations for found in _models(annotation)] or (
            models if isinstance(part, int) else []
        )
    return [field.alias or key for each in models for key, field in each.model_fields.items()]


def _models(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - any type that a field may be declared with
    """Return the models inside a declared type: Probing for ``list[Probing] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in {Union, types.UnionType, Annotated, list, tuple, dict}:
        return [found for each in get_args(annotation) for found in _models(each)]
    return []


def _letters(word: str) -> str:
    return "".join(filter(str.isalnum, word)).lower()
