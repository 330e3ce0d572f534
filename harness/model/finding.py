"""A finding: the evaluation of one objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from harness.model.verdict import Verdict

# The key in a finding's detail for a contradiction between load and prober on whether users had an outage.
DISAGREEMENT = "load and prober disagree"


@dataclass(frozen=True, slots=True)
class Beside:
    """The control arm's finding for the same objective.

    ``difference`` is the share of good requests minus that of the control arm, in percentage points, with the bounds
    ``low`` and ``high``; None if the finding is not about a share.
    """

    finding: Finding
    difference: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The evaluation of an objective on a timeline.

    ``observed`` is within ``low`` and ``high`` (measurement error or confidence bounds), all in ``unit``. ``limit`` is
    the threshold, and ``comparison`` (``>=`` or ``<=``) the good side of it. ``samples`` is the number of samples
    evaluated; for a share, ``good`` is the number of good ones. ``detail`` has further numbers that do not affect the
    verdict. ``beside`` is the control arm's finding. Use ``exact`` or ``bounded`` for a finding with an observation.
    """

    verdict: Verdict
    reason: str
    observed: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: str = ""
    comparison: str = ""
    samples: int = 0
    detail: dict[str, str] = field(default_factory=dict)
    good: int | None = None
    beside: Beside | None = None

    @classmethod
    def exact(
        cls,
        verdict: Verdict,
        reason: str,
        observed: float,
        *,
        limit: float | None,
        unit: str,
        comparison: str,
        samples: int = 0,
        detail: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a finding about an observation without measurement error, such as a count."""
        return cls.bounded(
            verdict,
            reason,
            observed,
            low=observed,
            high=observed,
            limit=limit,
            unit=unit,
            comparison=comparison,
            samples=samples,
            detail=detail,
        )

    @classmethod
    def bounded(
        cls,
        verdict: Verdict,
        reason: str,
        observed: float,
        *,
        low: float | None,
        high: float | None,
        limit: float | None,
        unit: str,
        comparison: str,
        samples: int = 0,
        good: int | None = None,
        detail: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a finding about an observation with bounds; ``high`` is None if it has no upper bound."""
        return cls(
            verdict=verdict,
            reason=reason,
            observed=observed,
            low=low,
            high=high,
            limit=limit,
            unit=unit,
            comparison=comparison,
            samples=samples,
            good=good,
            detail=dict(detail or {}),
        )

    @property
    def margin(self) -> float | None:
        """The distance of the observation from the limit on its good side, in ``unit``; negative if violated."""
        if self.observed is None or self.limit is None:
            return None
        return self.observed - self.limit if self.comparison == ">=" else self.limit - self.observed
