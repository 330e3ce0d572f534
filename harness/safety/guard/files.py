"""Find a project's guard files and combine them: all of them apply, and the stricter value wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.common.errors import InputError, Problem
from harness.common.project import Project
from harness.safety.guard.hosts import stricter_hosts
from harness.safety.guard.policy import FILE, Existing, GuardFile, Policy, load_guard
from harness.safety.guard.safety import least, stricter_caps

# Both suffixes are accepted, so that a file named .yml is not silently ignored.
FILES = (FILE, str(Path(FILE).with_suffix(".yml")))


@dataclass(frozen=True, slots=True)
class FoundGuard:
    """A session's guard. ``files`` are those it was read from, ``unused`` those that ``--guard`` replaces."""

    guard: GuardFile
    files: tuple[Path, ...] = ()
    unused: tuple[Path, ...] = ()

    def describe(self, project: Project) -> str:
        """Return one line with the files, or with the folders searched if there is none."""
        if not self.files:
            searched = ", ".join(map(str, project.starts))
            return f"guard: no {FILE} found (searched upwards from {searched})"
        both = "; all of them apply, the stricter value wins" if len(self.files) > 1 else ""
        unused = f"; replaced by --guard and not used: {', '.join(map(str, self.unused))}" if self.unused else ""
        return f"guard: {', '.join(map(str, self.files))}{both}{unused}"


def find_guard(project: Project, named: Path | None = None) -> FoundGuard:
    """Return the guard of a project: that of the ``named`` file only, or of every guard file that is found.

    Raises InputError with all mistakes in the files, and for values that cannot be combined.
    """
    found = project.find(FILES)
    if named is not None:
        return FoundGuard(load_guard(named), (named,), tuple(file for file in found if not _same(file, named)))
    guards: list[GuardFile] = []
    problems: list[Problem] = []
    for file in found:
        try:
            guards.append(load_guard(file))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return FoundGuard(GuardFile(given=_combined([guard.given for guard in guards], found)), tuple(found))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _combined(policies: Sequence[Policy], files: Sequence[Path]) -> Policy:
    """Return a policy that allows only what all of them allow. A key that a file omits is decided by the others."""
    given: dict[str, Any] = {}
    problems: list[Problem] = []
    for name in Policy.model_fields:
        values = [getattr(policy, name) for policy in policies if name in policy.model_fields_set]
        places = [file for policy, file in zip(policies, files, strict=True) if name in policy.model_fields_set]
        if not values:
            continue
        try:
            given[name] = reduce(_STRICTER.get(name, _one_value), values)
        except _NotBothError as error:
            key = Policy.model_fields[name].alias or name
            others = ", ".join(map(str, places[:-1]))
            problems.append(Problem(f"{error}: change one of them, the other is in {others}", places[-1], field=key))
    if problems:
        raise InputError(problems)
    # Only the given keys count as set in the copy, so that `policy_for` fills in the others by the kind of cluster.
    return Policy().model_copy(update=given)


class _NotBothError(Exception):
    """No single value satisfies what two files set for the same key."""


def _one_value(one: Any, other: Any) -> Any:  # noqa: ANN401 - a value of any key
    if one != other:
        raise _NotBothError("two guard files set different values, which cannot be combined")
    return one


def _patterns(one: list[str], other: list[str]) -> list[str]:
    """Return patterns that match only what both lists match.

    Two patterns that only overlap give none: that is stricter than needed, but never too lenient.
    """
    pairs = [(first, second) for first in one for second in other]
    both = [first for first, second in pairs if _covers(second, first)]
    both += [second for first, second in pairs if _covers(first, second)]
    if not both:
        raise _NotBothError(f"no pattern of {', '.join(one)} lies within one of {', '.join(other)}: nothing is allowed")
    return list(dict.fromkeys(both))


def _covers(wide: str, narrow: str) -> bool:
    """Return whether ``wide`` surely matches all that ``narrow`` matches; False for patterns with ``?`` or ``[``."""
    # A ``?`` of the wide pattern would match the ``*`` of the narrow one, which means any number of characters.
    return wide == narrow or (not set("?[]") & set(wide + narrow) and fnmatchcase(narrow, wide))


def _existing(one: Existing, other: Existing) -> Existing:
    both = [name for name in one.namespaces if name in other.namespaces]
    spared = "spared" in {one.last_replica, other.last_replica}
    return Existing(
        namespaces=both,
        caps=stricter_caps(one.caps, other.caps),
        last_replica="spared" if spared else "declared",
    )


def _secrets(one: bool | list[str], other: bool | list[str]) -> bool | list[str]:
    if isinstance(one, bool):
        return other if one else False
    if isinstance(other, bool):
        return one if other else False
    return [name for name in one if name in other]


def _present(stricter: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Combine values of a key that null disables: null in one file does not disable the limit of another."""

    def chosen(one: BaseModel | None, other: BaseModel | None) -> BaseModel | None:
        found: BaseModel | None = stricter(one, other) if one is not None and other is not None else one or other
        return found

    return chosen


def _prefer(strict: str) -> Callable[[str, str], str]:
    return lambda one, other: strict if strict in {one, other} else one


_STRICTER: dict[str, Callable[[Any, Any], Any]] = {
    "contexts": _patterns,
    "namespaces": _patterns,
    "protected": lambda one, other: list(dict.fromkeys((*one, *other))),
    "opt_in": lambda one, other: one or other,
    "caps": stricter_caps,
    "max_duration": least,
    "windows": _present(_one_value),
    "last_replica": _prefer("spared"),
    "budgets": _prefer("respected"),
    "metrics_api": _prefer("spared"),
    "refuse_alerts": _present(_one_value),
    "existing": _existing,
    "copy_secrets": _secrets,
    "hosts": stricter_hosts,
}
