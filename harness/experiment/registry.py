"""Discovers faults, objectives and probes: every class with a ``kind`` in ``harness/faults`` and so on.

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
from harness.common.errors import HarnessError
from harness.experiment.manifests import render
from harness.faults.base import Fault
from harness.objectives.base import Objective
from harness.probes.base import SnapshotProbe
from harness.safety.undo import belongings, field_owners
from harness.safety.undo.journal import UndoAction


@cache
def faults() -> dict[str, type[Fault]]:
    """Return all kinds of fault by name, sorted."""
    found: dict[str, type[Fault]] = _find(harness.faults, Fault, "resilience.faults")
    return found


@cache
def objectives() -> dict[str, type[Objective]]:
    """Return all kinds of objective by name, sorted."""
    found: dict[str, type[Objective]] = _find(harness.objectives, Objective, "resilience.objectives")
    return found


@cache
def probes() -> dict[str, type[BaseModel]]:
    """Return all kinds of snapshot probe that an experiment may use, by name, sorted."""
    found: dict[str, type[BaseModel]] = _find(harness.probes, SnapshotProbe, "resilience.probes")
    return found


def render_fault(fault: Fault, image: Callable[[str], str]) -> Fault:
    """Return the fault with every ``${image:…}`` in its parameters replaced by the cluster's reference."""
    parameters = render(fault.model_dump(by_alias=True, exclude_unset=True), image)
    return type(fault).model_validate(parameters)


def undo_actions() -> dict[str, UndoAction]:
    """Return the undo of each kind of journal entry: of faults, and of the objects that experiments create."""
    of_faults = {kind: fault.undo for kind, fault in faults().items()}
    return {**belongings.undo_actions(), **field_owners.undo_actions(), **of_faults}


def _find(package: ModuleType, base: type, group: str) -> dict[str, Any]:
    classes: list[Any] = []
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        classes += [
            member
            for _, member in members
            # A class that the module only imports is found in its own module; abstract bases have no kind.
            if issubclass(member, base) and member.__module__ == module.name and hasattr(member, "kind")
        ]
    classes += [entry.load() for entry in entry_points(group=group)]
    found: dict[str, Any] = {}
    for candidate in classes:
        other = found.setdefault(candidate.kind, candidate)
        # One class may be found twice: by its module, and by an entry point that names it.
        if other is not candidate:
            raise HarnessError(f"{group}: found two classes of kind {candidate.kind}: {other} and {candidate}")
    return dict(sorted(found.items()))
