"""A shell that starts a program again when it ends: the kubelet sees no crash, and delays no restart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.advice.case import Case
from harness.advice.rule import Advice, Rule, Strength

_SHELLS = frozenset({"sh", "bash", "ash", "dash"})
_LOOP = re.compile(r"\b(?:until|while)\b.*\bdo\b", re.DOTALL)


def _script(container: Mapping[str, Any]) -> str:
    """Return what a shell runs in a container; "" if its command is none."""
    words = [str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ()))]
    shell = words[0].rpartition("/")[2] if words else ""
    return words[-1] if shell in _SHELLS and "-c" in words[:-1] else ""


def _find(case: Case) -> Iterator[Advice]:
    # Too few restarts, not too many.
    explains = tuple(each.title for each, finding in case.broken("restarts") if finding.comparison == ">=")
    for subject in case.subjects if explains else ():
        for container in subject.containers:
            script = _script(container)
            if _LOOP.search(script):
                yield Advice(
                    f"a shell in container {container['name']} of {subject.name} starts the program again itself: the "
                    "kubelet sees no crash, and does not wait longer each time",
                    f"the command is {' '.join(script.split())}",
                    Strength.LIKELY,
                    explains,
                    subject.of_container(container, {"command": ["sh", "-c", "exec …"]}),
                )


RULE = Rule("hidden-crash", _find)
