"""What an experiment says openly about its own danger, and by how much it limits itself beyond the guard."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from harness.quantities import Share


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Cap(_Part):
    """How much may be hit at once: a share, a number, or both, of which each must hold."""

    share: Share | None = Field(default=None, description="of all there are, such as 50%")
    count: Annotated[int, Field(strict=True, ge=0)] | None = Field(default=None, description="how many")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.share is None and self.count is None:
            raise ValueError("found neither share nor count, expected at least one")
        return self

    def allows(self, hit: int, total: int) -> bool:
        """Whether so many of so many may be hit."""
        return (self.count is None or hit <= self.count) and (self.share is None or hit <= self.share * total + 1e-9)

    def __str__(self) -> str:
        share = f"{self.share * 100:g}%" if self.share is not None else ""
        return " and ".join(filter(None, (share, "" if self.count is None else str(self.count))))


class Caps(_Part):
    """How much may be hit at each level, over all faults of an experiment together."""

    workload: Cap | None = Field(default=None, description="pods of one workload")
    namespace: Cap | None = Field(default=None, description="pods of one namespace")
    zone: Cap | None = Field(default=None, description="pods in one zone")
    cluster: Cap | None = Field(default=None, description="pods of the cluster")
    nodes: Cap | None = Field(default=None, description="nodes of the cluster")


class Safety(_Part):
    """What stands under ``safety`` in an experiment."""

    last_replica: Literal["spared", "allowed"] = Field(
        default="spared", description="whether the last healthy pod of a workload may be hit"
    )
    budgets: Literal["respected", "ignored"] = Field(
        default="respected", description="whether more pods may be hit than a PodDisruptionBudget allows"
    )
    caps: Caps = Field(default=Caps(), description="limits of the experiment's own; the guard's hold as well")
