"""Finds faults, objectives and probes by their place: the classes in ``harness/faults`` and so on that have a kind.

Other packages add theirs by the entry points ``resilience.faults``, ``resilience.objectives`` and
``resilience.probes``, each naming a class.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from pydantic import BaseModel

import harness.faults
import harness.objectives
import harness.probes
from harness import belongings
from harness.errors import HarnessError
from harness.fault import Fault
from harness.manifests import render
from harness.objective import Objective
from harness.probe import SnapshotProbe
from harness.undo import UndoAction


@cache
def faults() -> dict[str, type[Fault]]:
    """All kinds of fault by name, sorted."""
    found: dict[str, type[Fault]] = _find(harness.faults, Fault, "resilience.faults")
    return found


@cache
def objectives() -> dict[str, type[Objective]]:
    """All kinds of objective by name, sorted."""
    found: dict[str, type[Objective]] = _find(harness.objectives, Objective, "resilience.objectives")
    return found


@cache
def probes() -> dict[str, type[BaseModel]]:
    """All kinds of snapshot probe that an experiment may ask for, by name, sorted."""
    found: dict[str, type[BaseModel]] = _find(harness.probes, SnapshotProbe, "resilience.probes")
    return found


def render_fault(fault: Fault, image: Callable[[str], str]) -> Fault:
    """The fault with every ``${image:…}`` in its parameters as the cluster's own reference."""
    parameters = render(fault.model_dump(by_alias=True, exclude_unset=True), image)
    return type(fault).model_validate(parameters)


def undo_actions() -> dict[str, UndoAction]:
    """How to take back the journal entries of each kind: of faults, and of what experiments make for themselves."""
    return {**belongings.undo_actions(), **{kind: fault.undo for kind, fault in faults().items()}}


def _find(package: ModuleType, base: type, group: str) -> dict[str, Any]:
    classes: list[Any] = []
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        classes += [
            member
            for _, member in members
            if issubclass(member, base) and member.__module__ == module.name and hasattr(member, "kind")
        ]
    classes += [entry.load() for entry in entry_points(group=group)]
    found: dict[str, Any] = {}
    for candidate in classes:
        other = found.setdefault(candidate.kind, candidate)
        if other is not candidate:
            raise HarnessError(f"{group}: {candidate.kind} is claimed by both {other} and {candidate}")
    return dict(sorted(found.items()))
