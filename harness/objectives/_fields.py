"""Field types that several objectives share, each with its own validation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from harness.model.quantities import Duration, Share

PhaseName = Literal["baseline", "fault", "recovery", "settle"]
Phases = Annotated[tuple[PhaseName, ...], Field(min_length=1)]

# All phases after the baseline: a failed request is equally bad for users in each of them.
DISRUPTED: tuple[PhaseName, ...] = ("fault", "recovery", "settle")

WORKLOADS = ("deployment", "statefulset", "daemonset", "rollout")
# An RFC 1123 subdomain: Kubernetes accepts no other names for these kinds.
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def reference(*kinds: str) -> Callable[[str], str]:
    """Return a validator for ``kind/name`` with one of these kinds."""

    def check(value: str) -> str:
        kind, _, name = value.partition("/")
        if kind not in kinds or not _NAME.fullmatch(name):
            expected = " or ".join(f"{each}/NAME" for each in kinds)
            raise ValueError(f"found {value!r}, expected {expected}, in lower case")
        return value

    return check


def _proper(value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(
            f"found {value * 100:g}%, expected more than 0% and less than 100%: "
            "no number of samples proves that something always holds; use 99.9%, for example"
        )
    return value


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError(f"found {value:g} s, expected a duration longer than 0 s")
    return value


WorkloadRef = Annotated[str, AfterValidator(reference(*WORKLOADS))]
DeploymentRef = Annotated[str, AfterValidator(reference("deployment"))]
RolloutRef = Annotated[str, AfterValidator(reference("rollout"))]
StatefulSetRef = Annotated[str, AfterValidator(reference("statefulset"))]
ScaledRef = Annotated[str, AfterValidator(reference("hpa", *WORKLOADS))]
# The name of one of several loads.
LoadName = Annotated[
    str, Field(description="with several loads: the one whose requests are judged; by default all together")
]
ProperShare = Annotated[Share, AfterValidator(_proper)]
Limit = Annotated[Duration, AfterValidator(_positive)]
Count = Annotated[int, Field(ge=0)]
