"""The ``safety`` section of an experiment: what it permits itself, and its own limits in addition to the guard's."""

from __future__ import annotations

from functools import reduce
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from harness.model.quantities import Share


def _permit(key: str, name: str, value: str) -> str:
    """Return how to permit what the guard refuses, in an experiment file and in a Python test."""
    return (
        f"to permit this, add `safety: {{{key}: {value}}}` at the top level of the experiment file (for a twin, in the "
        f'twin), or call `experiment.safety({name}="{value}")` before the fault in a Python test'
    )


ALLOW_LAST_REPLICA = _permit("lastReplica", "last_replica", "allowed")
IGNORE_BUDGETS = _permit("budgets", "budgets", "ignored")
ALLOW_UNKNOWN_CONTROLLER = _permit("unknownController", "unknown_controller", "allowed")
ALLOW_METRICS_API = _permit("metricsApi", "metrics_api", "allowed")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Cap(_Part):
    """How much may be hit at once: a share, a count, or both, which must then both be met."""

    share: Share | None = Field(default=None, description="maximum share of the total, such as 50%")
    count: Annotated[int, Field(strict=True, ge=0)] | None = Field(default=None, description="maximum number")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.share is None and self.count is None:
            raise ValueError("found neither share nor count, expected at least one")
        return self

    def allows(self, hit: int, total: int) -> bool:
        """Return whether ``hit`` of ``total`` may be hit."""
        # With a tolerance, since 0.29 * 100 is 28.999999999999996 as a float.
        return (self.count is None or hit <= self.count) and (self.share is None or hit <= self.share * total + 1e-9)

    def __str__(self) -> str:
        share = f"{self.share * 100:g}%" if self.share is not None else ""
        return " and ".join(filter(None, (share, "" if self.count is None else str(self.count))))


class Caps(_Part):
    """How much all faults of an experiment together may hit at each level."""

    workload: Cap | None = Field(default=None, description="limit for the pods of each workload")
    namespace: Cap | None = Field(default=None, description="limit for the pods of each namespace")
    zone: Cap | None = Field(default=None, description="limit for the pods in each zone")
    cluster: Cap | None = Field(default=None, description="limit for all pods of the cluster")
    nodes: Cap | None = Field(default=None, description="limit for the nodes of the cluster")


def least(one: float | None, other: float | None) -> Any:  # noqa: ANN401 - the type of the two
    """Return the smaller of two limits; None is no limit."""
    return min((value for value in (one, other) if value is not None), default=None)


def stricter_cap(one: Cap | None, other: Cap | None) -> Cap | None:
    """Return a cap that allows only what both allow; None (null in a file) is no cap at all."""
    if one is None or other is None:
        return one or other
    return Cap(share=least(one.share, other.share), count=least(one.count, other.count))


def stricter_caps(one: Caps, other: Caps) -> Caps:
    """Return caps that allow only what both allow."""
    given = {}
    for name in one.model_fields_set | other.model_fields_set:
        values = [getattr(caps, name) for caps in (one, other) if name in caps.model_fields_set]
        given[name] = reduce(stricter_cap, values)
    return Caps(**given)


class Safety(_Part):
    """What an experiment may do that the guard refuses by default, and the experiment's own limits."""

    last_replica: Literal["spared", "allowed"] = Field(
        default="spared", description="whether the last healthy pod of a workload may be hit"
    )
    budgets: Literal["respected", "ignored"] = Field(
        default="respected", description="whether more pods may be hit than a PodDisruptionBudget allows"
    )
    unknown_controller: Literal["refused", "allowed"] = Field(
        default="refused",
        description="whether pods may be hit whose controller is not built into Kubernetes, such as an operator's "
        "custom resource: it is unknown whether such a controller replaces a lost pod",
    )
    metrics_api: Literal["spared", "allowed"] = Field(
        default="spared",
        description="whether the metrics of pods may be taken away from every autoscaler of the cluster",
    )
    caps: Caps = Field(default=Caps(), description="the experiment's own limits, in addition to those of the guard")
