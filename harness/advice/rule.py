"""A rule: looks for one likely cause of missed objectives in what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from harness.advice.case import Case


class Strength(IntEnum):
    """How well the evidence supports a cause: the settings allow it, they explain it, or it was observed."""

    POSSIBLE = 1
    LIKELY = 2
    OBSERVED = 3

    @property
    def word(self) -> Literal["observed", "likely", "possible"]:
        """The name in records."""
        return _WORDS[self]


_WORDS: Mapping[Strength, Literal["observed", "likely", "possible"]] = {
    Strength.OBSERVED: "observed",
    Strength.LIKELY: "likely",
    Strength.POSSIBLE: "possible",
}


@dataclass(frozen=True, slots=True)
class Advice:
    """One likely cause. ``explains`` are the titles of the missed objectives that it explains.

    ``patch`` has the change by ``kind/name``: a strategic merge patch as in a twin, or a whole object to add.
    """

    cause: str
    evidence: str
    strength: Strength
    explains: tuple[str, ...] = ()
    patch: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """``find`` yields the advice for a case; it must read nothing but the case."""

    name: str
    find: Callable[[Case], Iterator[Advice]]
