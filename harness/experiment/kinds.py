"""The kinds of fault, objective and probe with their descriptions, from the classes themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import BaseModel

from harness.experiment import registry
from harness.faults.base import Fault

# The lists of an experiment that have kinds, and what one entry of each is.
LISTS: Mapping[str, str] = {"faults": "fault", "objectives": "objective", "probes": "probe"}
_FOUND: Mapping[str, Callable[[], Mapping[str, type[BaseModel]]]] = {
    "faults": registry.faults,
    "objectives": registry.objectives,
    "probes": registry.probes,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind: the list of an experiment that it belongs to, its name, and its class."""

    list: str
    name: str
    model: type[BaseModel]

    @property
    def is_built_in(self) -> bool:
        """Whether it belongs to this package, and not to another installed one."""
        return self.model.__module__.startswith("harness.")

    @property
    def about(self) -> str:
        """The description; paragraphs are separated by empty lines."""
        # The module of a fault has the whole description, its class only a summary.
        text = import_module(self.model.__module__).__doc__ if self.list == "faults" else self.model.__doc__
        return inspect.cleandoc(text or self.model.__doc__ or "").replace("``", "`")

    @property
    def summary(self) -> str:
        """The first sentence of the description, on one line."""
        first = " ".join(self.about.partition("\n\n")[0].split())
        found = re.match(r"(.+?)\.(?=\s+[A-Z]|$)", first)
        return found[1] if found else first

    @property
    def facts(self) -> str:
        """What else is true of a fault: its effect, and what it needs of the experiment and of the cluster."""
        if not issubclass(self.model, Fault):
            return ""
        facts = [f"Effect: {self.model.effect}."]
        if self.model.on_purpose:
            facts.append("A change on purpose, no failure.")
        if self.model.disruptive:
            facts.append("The experiment needs `disruptive: true`.")
        if self.model.requires:
            facts.append(f"The cluster must be able to {', '.join(sorted(self.model.requires))}.")
        return " ".join(facts)

    @property
    def example(self) -> Mapping[str, Any] | None:
        """The parameters of an example, or None if the class has none."""
        found: Mapping[str, Any] | None = getattr(self.model, "example", None)
        return found


def kinds(*lists: str) -> Iterator[Kind]:
    """Yield the kinds of these lists, by default of all, sorted by list and name."""
    for key in lists or LISTS:
        for name, model in _FOUND[key]().items():
            yield Kind(key, name, model)
