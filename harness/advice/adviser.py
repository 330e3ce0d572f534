"""Apply all rules to an experiment that did not hold, and rank what they say."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from harness.advice import rules
from harness.advice.case import Case
from harness.advice.rule import Advice, Rule
from harness.experiment.declaration import Experiment
from harness.judging.judge import Judged
from harness.model.timeline import Timeline

# More causes than these help nobody.
SHOWN = 3


@cache
def all_rules() -> tuple[Rule, ...]:
    """Return the rules of the modules in ``harness/advice/rules``, by name."""
    modules = pkgutil.iter_modules(rules.__path__, f"{rules.__name__}.")
    found: list[Rule] = [importlib.import_module(module.name).RULE for module in modules]
    return tuple(sorted(found, key=lambda rule: rule.name))


def advise(experiment: Experiment, timeline: Timeline, findings: Judged) -> list[tuple[Rule, Advice]]:
    """Return the best supported causes of what was missed, the best first. Empty if nothing was missed."""
    case = Case(experiment, timeline, findings)
    if not case.missed():
        return []
    found = [(rule, advice) for rule in all_rules() for advice in rule.find(case)]
    found.sort(key=lambda each: (-each[1].strength, -len(each[1].explains), each[0].name))
    return found[:SHOWN]
