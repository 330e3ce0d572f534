"""The check of a whole history: every anomaly of its registers and queues, key by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.histories.anomaly import Anomalies
from harness.histories.linearizability import Step, TooManyConfigurations, violation
from harness.histories.queues import add_queue_anomalies
from harness.histories.registers import RegisterCheck
from harness.histories.smallest import smallest_violation
from harness.model.history import CAS, DEQUEUE, ENQUEUE, READ, WRITE, History


@dataclass
class Checked:
    """The anomalies of a history, and the keys whose linearizability could not be decided."""

    anomalies: Anomalies = field(default_factory=Anomalies)
    undecided: list[str] = field(default_factory=list)


def check(history: History) -> Checked:
    """Return the anomalies of all keys. It takes some microseconds for each operation."""
    found = Checked()
    for key, indexes in history.by_key((READ, WRITE, CAS)):
        steps = _steps(history, indexes)
        RegisterCheck(history, key, steps).add_to(found.anomalies)
        try:
            at = violation(steps)
        except TooManyConfigurations:
            found.undecided.append(key)
            continue
        if at is not None:
            _add_violation(history, key, steps, at, found.anomalies)
    for key, indexes in history.by_key((ENQUEUE, DEQUEUE)):
        add_queue_anomalies(history, key, _steps(history, indexes), found.anomalies)
    return found


def _add_violation(history: History, key: str, steps: Sequence[Step], at: int, found: Anomalies) -> None:
    found.add("not linearizable", key, lambda: [history[step.number] for step in smallest_violation(steps, at)])


def _steps(history: History, indexes: NDArray[np.intp]) -> list[Step]:
    columns = (history.kind, history.value, history.expected, history.outcome, history.invoked, history.completed)
    return list(map(Step, *(column[indexes].tolist() for column in columns), indexes.tolist()))
