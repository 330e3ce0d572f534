"""Anomalies of queues: each message is enqueued once, and is to be dequeued once, by anyone.

Orders are not checked: with several consumers, the order in which messages are handed out is not that in which the
clients record them. A consumer that takes a message and then fails must record the dequeue as unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.histories.anomaly import Anomalies, AnomalyKind
from harness.histories.linearizability import Step
from harness.model.history import DEQUEUE, ENQUEUE, FAILED, OK, UNKNOWN, History
from harness.model.operation import NOTHING


def add_queue_anomalies(history: History, key: str, steps: Sequence[Step], found: Anomalies) -> None:
    """Add the anomalies of one queue; ``steps`` are in the order of their invocations.

    ``lost message``       acknowledged, never dequeued, and the queue was found empty afterwards. Each dequeue with an
                           unknown outcome may have taken one of these messages.
    ``duplicate message``  dequeued more than once
    ``dirty message``      dequeued although nobody enqueued it, its enqueue failed, or before its enqueue
    """

    def add(kind: AnomalyKind, *numbers: int) -> None:
        found.add(kind, key, lambda: [history[number] for number in numbers])

    sent = {step.value: step for step in steps if step.kind == ENQUEUE}
    taken: dict[int, Step] = {}
    empty, in_doubt = -math.inf, 0
    for step in steps:
        if step.kind != DEQUEUE or step.outcome == FAILED:
            continue
        if step.outcome == UNKNOWN:
            in_doubt += 1
            continue
        if step.value == NOTHING:
            empty = max(empty, step.invoked)
            continue
        origin = sent.get(step.value)
        if origin is None or origin.outcome == FAILED or origin.invoked > step.completed:
            add("dirty message", *([] if origin is None else [origin.number]), step.number)
        if step.value in taken:
            add("duplicate message", taken[step.value].number, step.number)
        taken.setdefault(step.value, step)
    missing = [step for step in sent.values() if step.outcome == OK and step.value not in taken]
    gone = [step for step in missing if step.completed < empty]
    for step in gone[in_doubt:]:
        add("lost message", step.number)
