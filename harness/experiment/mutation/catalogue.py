"""All mutation operators, and the choice among them."""

from __future__ import annotations

from harness.common.suggestions import did_you_mean
from harness.experiment.mutation.capacity import MAX_UNAVAILABLE_100, NO_DISRUPTION_BUDGET, REPLICAS_1
from harness.experiment.mutation.operator import Operator
from harness.experiment.mutation.placement import NO_PRIORITY_CLASS, NO_SPREAD
from harness.experiment.mutation.probes import NO_LIVENESS_PROBE, NO_READINESS_PROBE, NO_STARTUP_PROBE
from harness.experiment.mutation.resources import NO_LIMITS, NO_REQUESTS
from harness.experiment.mutation.shutdown import GRACE_PERIOD_0, NO_PRE_STOP_HOOK
from harness.experiment.mutation.storage import EMPTY_DIR_FOR_CLAIM

ALL = "all"
OPERATORS = (
    NO_READINESS_PROBE,
    NO_LIVENESS_PROBE,
    NO_STARTUP_PROBE,
    REPLICAS_1,
    NO_DISRUPTION_BUDGET,
    NO_PRE_STOP_HOOK,
    GRACE_PERIOD_0,
    NO_SPREAD,
    MAX_UNAVAILABLE_100,
    NO_REQUESTS,
    NO_LIMITS,
    NO_PRIORITY_CLASS,
    EMPTY_DIR_FOR_CLAIM,
)


def operators(text: str) -> tuple[Operator, ...]:
    """Return the operators that an option chooses: none for "", every one for "all", or those of a list of names.

    Raises ValueError for an unknown name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names == [ALL]:
        return OPERATORS
    known = [each.name for each in OPERATORS]
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            hint = f"; did you mean {near}?" if near else ""
            raise ValueError(f"{ALL} or a list of {', '.join(known)}{hint}")
    return tuple(each for each in OPERATORS if each.name in names)
