"""Claims: the volume claims of the pods that a StatefulSet gives up are kept or deleted, as its retention policy says.

This is what ``persistentVolumeClaimRetentionPolicy.whenScaled`` promises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from harness.model.finding import Finding
from harness.model.quantities import counted, show_seconds
from harness.model.timeline import Interval, Observation, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Limit, StatefulSetRef
from harness.objectives._findings import combined, inconclusive, never, within
from harness.objectives._members import MemberSample, change_of, members_of
from harness.objectives._series import statuses
from harness.objectives.base import Objective
from harness.objectives.recovery.gaps import states_lost

SERIES = "claims"


class Claims(Objective):
    """After a StatefulSet is scaled down, the claims of the removed pods are kept, or are deleted in time.

    ``kept``: at every observation until the scaling is undone they exist, bound to the same volumes. ``deleted``: each
    is gone ``within`` a time limit from the end of its pod. The claims of the pods that stay are kept in either case.
    A pod is removed when it is gone, which is known also of pods without container statuses.
    """

    kind: ClassVar[str] = "claims"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {"of": "statefulset/db", "removed": "deleted", "within": "20s"}

    of: StatefulSetRef = Field(description="the StatefulSet, such as statefulset/etcd")
    removed: Literal["kept", "deleted"] = Field(description="what must happen to the claims of the removed pods")
    within: Limit | None = Field(
        default=None, description="the time limit from the end of a removed pod until its claims are gone"
    )

    @model_validator(mode="after")
    def _limit_belongs_to_deleted(self) -> Self:
        if (self.within is None) == (self.removed == "deleted"):
            found = "no within" if self.within is None else "within"
            raise ValueError(f"found removed: {self.removed} and {found}, expected within only for removed: deleted")
        return self

    @property
    def title(self) -> str:
        return f"claims of removed pods of {self.of} are {self.removed}"

    def awaits(self, timeline: Timeline) -> str:
        scaling = _Scaling.find(timeline, self.of)
        if isinstance(scaling, str):
            return ""
        if surplus := _surplus(timeline, self.of):
            return f"{self.of} is to remove {counted(surplus, 'pod')}"
        if self.removed == "kept":
            return ""
        waiting = [claim.name for claim in scaling.claims if claim.pod in scaling.removed and claim.gone is None]
        return f"{', '.join(waiting)} is not deleted" if waiting else ""

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # judges the time between the change and its undo
        scaling = _Scaling.find(timeline, self.of)
        if isinstance(scaling, str):
            return inconclusive(scaling)
        given_up = [claim for claim in scaling.claims if claim.pod in scaling.removed]
        if not given_up:
            return inconclusive(f"no removed pod of {self.of} had a claim, so nothing shows what happens to them")
        lost = any(states_lost(timeline, series, scaling.since) for series in (SERIES, "pods"))
        kept = [claim for claim in scaling.claims if self.removed == "kept" or claim.pod not in scaling.removed]
        parts = [_kept(claim) for claim in kept]
        if self.within is not None:
            parts += [_deleted(claim, scaling, self.within, lost) for claim in given_up]
        finding = combined(parts)
        if finding.verdict is Verdict.HELD and lost:
            finding = inconclusive("the watch on claims or pods was interrupted: a deletion may have been missed")
        elif finding.verdict is Verdict.HELD:
            finding = _summarised(parts, self.removed, len(given_up))
        return replace(finding, samples=len(parts))


@dataclass(frozen=True, slots=True)
class _Claim:
    """A claim that existed before the change: its pod, its volume then, and since when it is gone or has another
    volume; None if that was not observed."""

    name: str
    pod: str
    volume: str
    gone: float | None
    moved: float | None


@dataclass(frozen=True)
class _Scaling:
    """The change of a StatefulSet; ``removed`` are the pods that were gone before its undo, each with the time."""

    since: float
    until: float
    removed: Mapping[str, float]
    claims: Sequence[_Claim]

    @classmethod
    def find(cls, timeline: Timeline, of: str) -> _Scaling | str:
        """Return the change, or why there is none."""
        change = change_of(timeline, of)
        if isinstance(change, str):
            return change
        since, until = change[0].low, change[1]
        samples = list(members_of(timeline, of))
        last: dict[str, MemberSample] = {one.name: one for one in samples if one.at <= until}
        before = {one.name for one in samples if one.at < since}
        removed = {name: one.at for name, one in last.items() if one.gone and name in before and one.at >= since}
        pods = {name for name in before if not last[name].gone or name in removed}
        return cls(since, until, removed, list(_claims(timeline, pods, since, until)))


def _surplus(timeline: Timeline, of: str) -> int:
    """Return how many pods a StatefulSet has beyond those that it is to have, as far as its status shows."""
    last = statuses(timeline, "workloads", of)[-1:]
    numbers = [(status.count("replicas"), status.count("desired")) for status in last]
    return sum(max(0, has - wanted) for has, wanted in numbers if isinstance(has, int) and isinstance(wanted, int))


def _claims(timeline: Timeline, pods: set[str], since: float, until: float) -> Iterator[_Claim]:
    """Yield the claims that these pods had before the change."""
    seen: dict[str, list[Observation]] = {}
    for one in timeline.observations(SERIES):
        if one.error is None and isinstance(one.value, Mapping) and one.at <= until:
            seen.setdefault(one.subject.partition("/")[2], []).append(one)
    for name, states in sorted(seen.items()):
        # A claim of a StatefulSet is named TEMPLATE-POD.
        pod = next((pod for pod in pods if name.endswith(f"-{pod}")), None)
        before = [one for one in states if one.at < since]
        if pod is None or not before or before[-1].value["event"] == "DELETED":
            continue
        uid, volume = before[-1].value["uid"], before[-1].value["volume"]
        after = [one for one in states if one.at >= since]
        # A claim that is only marked as deleted still has its data, until no pod uses it.
        gone = (one.at for one in after if one.value["event"] == "DELETED" or one.value["uid"] != uid)
        moved = (one.at for one in after if one.value["volume"] != volume or one.value["deleting"])
        yield _Claim(name, pod, volume, next(gone, None), next(moved, None))


def _kept(claim: _Claim) -> Finding:
    for at, what in ((claim.gone, "was deleted"), (claim.moved, "lost its volume or was about to be deleted")):
        if at is not None:
            reason = f"claim {claim.name} of {claim.pod} {what} at {show_seconds(at)}, and must be kept"
            return Finding(verdict=Verdict.BROKEN, reason=reason)
    return Finding(verdict=Verdict.HELD, reason=f"claim {claim.name} was kept")


def _deleted(claim: _Claim, scaling: _Scaling, limit: float, lost: bool) -> Finding:
    what, since = f"claim {claim.name} was deleted", f"the end of {claim.pod}"
    ended = scaling.removed[claim.pod]
    if claim.gone is not None:
        took = max(0.0, claim.gone - ended)
        return within(what, Interval(took, took), limit, since)
    if lost:
        return inconclusive(f"the watch on claims or pods was interrupted before claim {claim.name} was deleted")
    return never(what, scaling.until - ended, limit, since)


def _summarised(parts: Sequence[Finding], removed: str, given_up: int) -> Finding:
    slowest = max(parts, key=lambda part: part.observed if part.observed is not None else -1.0)
    took = f", at the latest {show_seconds(slowest.observed)} after their pods" if slowest.observed is not None else ""
    others = len(parts) - given_up
    stayed = f"; {counted(others, 'claim')} of pods that stay {'was' if others == 1 else 'were'} kept" if others else ""
    what = f"{counted(given_up, 'claim')} of removed pods {'was' if given_up == 1 else 'were'} {removed}"
    return replace(slowest, reason=f"{what}{took}{stayed}")
