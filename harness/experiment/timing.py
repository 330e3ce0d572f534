"""When a fault is injected in the fault phase, how often, and for how long.

The keys stand beside the kind of the fault: ``- podKill: {selector: app=shop}`` with ``at: 3s``. Without any of them a
fault is injected when the phase begins, and undone when it ends.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from harness.common.documents import Place
from harness.common.suggestions import one_of
from harness.model.quantities import DnsLabel, Duration, show_seconds
from harness.model.reported import Status, Unknown
from harness.model.timeline import Timeline
from harness.objectives._fields import ProperShare, WorkloadRef

MOST_TIMES = 100
SERIES = "workloads"
# Fewer requests than this show no rate of errors.
LEAST_REQUESTS = 20


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Condition(_Part):
    """A condition on the state of a workload, as the watch sees it, or on the requests of the load."""

    rollout: WorkloadRef | None = Field(default=None, description="the workload, such as deployment/podinfo; needs is")
    is_: Literal["progressing", "complete", "deadlineExceeded"] | None = Field(
        default=None,
        alias="is",
        description="progressing: some pods are not of the newest template, or not available yet; complete: all are; "
        "deadlineExceeded: a Deployment made no progress for its progressDeadlineSeconds",
    )
    error_rate: ProperShare | None = Field(
        default=None,
        description="instead of rollout: at least this share of the requests of the load failed, such as 5%",
    )
    over: Annotated[Duration, Field(gt=0)] = Field(
        default=3.0, description="only requests that ended within this time count; at least 20 of them are needed"
    )
    within: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None,
        description="how long to wait for the condition at most, by default until the fault phase ends; if it is not "
        "met by then, the verdict is INCONCLUSIVE",
    )

    @model_validator(mode="after")
    def _check_one_of(self) -> Self:
        if (self.rollout is None) == (self.error_rate is None):
            raise ValueError(f"found {'neither' if self.rollout is None else 'both'} of rollout and errorRate")
        if (self.rollout is None) != (self.is_ is None):
            raise ValueError("found only one of rollout and is, expected both")
        if self.rollout is not None and "over" in self.model_fields_set:
            raise ValueError("found over with rollout, expected it with errorRate only")
        if self.is_ == "deadlineExceeded" and not str(self.rollout).startswith("deployment/"):
            raise ValueError(f"found deadlineExceeded of {self.rollout}: only a Deployment has a progress deadline")
        return self

    def __str__(self) -> str:
        if self.error_rate is not None:
            return f"{100 * self.error_rate:g}% of the requests failed within {show_seconds(self.over)}"
        return f"the rollout of {self.rollout} is {self.is_}"

    def met(self, timeline: Timeline, now: float) -> bool:
        """Return whether the condition is met at ``now``, in seconds on the timeline."""
        return self._failed(timeline, now) if self.rollout is None else self._rolled(timeline, self.rollout)

    def _failed(self, timeline: Timeline, now: float) -> bool:
        recent = timeline.requests.ended_since(now - self.over)
        ended = recent.where(recent.finished <= now)
        return len(ended) >= LEAST_REQUESTS and ended.failed >= (self.error_rate or 0.0) * len(ended)

    def _rolled(self, timeline: Timeline, rollout: str) -> bool:
        seen = timeline.latest(SERIES, rollout)
        if seen is None or seen.error is not None or not isinstance(seen.value, Mapping):
            return False
        status = Status(rollout, seen.at, seen.value)
        if status.gone:
            return False
        if self.is_ == "deadlineExceeded":
            return status.deadline_exceeded
        counts = [status.count(key) for key in ("desired", "updated", "replicas", "available")]
        if any(isinstance(count, Unknown) for count in counts):
            # The controller has not looked at the newest template yet.
            return self.is_ == "progressing" and status.behind is not None
        complete = len(set(counts)) == 1
        return complete is (self.is_ == "complete")


class Timing(_Part):
    """When a fault is injected, how often, and for how long."""

    name: DnsLabel = Field(default="", description="a name for `after` of another fault")
    at: Duration = Field(
        default=0.0, description="time after the fault phase began, or after the event of `after` or `when`"
    )
    lasting: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None, alias="for", description="undone after this time; by default when the fault phase ends"
    )
    every: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None, description="injected again after this time, with newly chosen victims; needs `times`"
    )
    times: Annotated[int, Field(strict=True, ge=1, le=MOST_TIMES)] = Field(
        default=1, description="how many times it is injected; more than once needs `every`"
    )
    jitter: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None, description="each injection is later by a random time of up to this, drawn with the run's seed"
    )
    down_below: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None,
        description="injected only while fewer than so many pods of the workload are down (missing, or not Ready), "
        "else postponed until then",
    )
    after: DnsLabel | None = Field(
        default=None,
        description="name of another fault that must be over first: undone if it has `for`, else injected for the last "
        "time; its evidence must have been found",
    )
    when: Condition | None = Field(default=None, description="a condition that must be met first")

    @property
    def immediate(self) -> bool:
        """Whether its first injection is at the beginning of the fault phase."""
        return not (self.at or self.after or self.when or self.jitter or self.down_below)

    @property
    def span(self) -> float:
        """The least seconds from its first injection until it is over."""
        return (self.times - 1) * (self.every or 0.0) + (self.lasting or 0.0)

    def __str__(self) -> str:
        after = [f"after {self.after}"] if self.after else []
        after += [f"when {self.when}"] if self.when else []
        when = [f"{show_seconds(self.at)} {' and '.join(after)}"] if self.at and after else after
        when = when or ([f"at {show_seconds(self.at)}"] if self.at else [])
        parts = [" and ".join(when)] if when else []
        parts += [f"within {show_seconds(self.when.within)}"] if self.when and self.when.within else []
        parts += [f"for {show_seconds(self.lasting)}"] if self.lasting else []
        parts += [f"every {show_seconds(self.every)}, {self.times} times"] if self.every else []
        parts += [f"up to {show_seconds(self.jitter)} later"] if self.jitter else []
        parts += [f"with fewer than {self.down_below} pods down"] if self.down_below else []
        return ", ".join(parts)


def pods_down(timeline: Timeline) -> int:
    """Return how many pods of the workloads are missing or not Ready now, as far as the watches have seen.

    A pod that was hit counts as down until a watch shows its state after that."""
    hit = {
        victim.uid: injection.injected.high
        for injection in timeline.injections
        if injection.undone is None
        for victim in injection.victims
    }
    pods: dict[str, Mapping[str, Any]] = {}
    desired: dict[str, int] = {}
    for seen in timeline:
        if seen.error is not None or not isinstance(seen.value, Mapping):
            continue
        if seen.series == "pods":
            uid = str(seen.value.get("uid"))
            pods[uid] = seen.value if seen.at > hit.get(uid, -math.inf) or not _serves(seen.value) else {}
        elif seen.series == SERIES:
            status = Status(seen.subject, seen.at, seen.value)
            count = 0 if status.gone else status.count("desired")
            # While its controller is behind, the number of before is the best one known.
            if isinstance(count, int):
                desired[seen.subject] = count
    up = Counter(str(pod.get("owner")) for pod in pods.values() if _serves(pod))
    return sum(max(0, count - up[workload]) for workload, count in desired.items())


def _serves(pod: Mapping[str, Any]) -> bool:
    return bool(pod.get("ready")) and not pod.get("deleting") and pod.get("event") != "DELETED"


ALWAYS = Timing()
# The keys beside the kind of a fault.
KEYS = tuple(field.alias or name for name, field in Timing.model_fields.items())


def split(entry: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the kinds of an entry in ``faults``, and the keys of its timing."""
    timing = {key: value for key, value in entry.items() if key in KEYS}
    return {key: value for key, value in entry.items() if key not in timing}, timing


def later(timings: Sequence[Timing]) -> frozenset[int]:
    """Return the indexes of the faults that are not injected at the beginning of the fault phase."""
    return frozenset(number for number, timing in enumerate(timings) if not timing.immediate)


def timing_problems(timings: Sequence[Timing], phase: float, *, rate: float) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with the timings of all faults together; ``phase`` is its longest length in s.

    ``rate`` is how many requests a second the load has at most: 0 without a load, infinite if it is unknown."""
    names = {timing.name: number for number, timing in enumerate(timings) if timing.name}
    for number, timing in enumerate(timings):
        place: Place = ("faults", number)
        first = names.get(timing.name, number)
        if first != number:
            yield (*place, "name"), f"found {timing.name!r} twice, expected a different name for each fault"
        for field, message in _condition_problems(timing.when, phase, rate) if timing.when else ():
            yield (*place, "when", field), message
        if timing.times > 1 and timing.every is None:
            yield (*place, "times"), f"found {timing.times} times without every, expected both"
        if timing.every is not None and timing.times == 1:
            yield (*place, "every"), "found every without times, expected times: 2 or more"
        apart = (timing.every or math.inf) - (timing.jitter or 0.0)
        if apart < 0:
            every = show_seconds(timing.every or 0.0)
            yield (*place, "jitter"), f"found {show_seconds(timing.jitter or 0.0)}, expected at most every ({every})"
        elif timing.lasting and timing.lasting >= apart:
            without = "every without jitter" if timing.jitter else "every"
            expected = f"expected less than {without} ({show_seconds(apart)}): it is undone before the next"
            yield (*place, "for"), f"found {show_seconds(timing.lasting)}, {expected}"
        if timing.after is not None and timing.after not in names:
            yield (*place, "after"), f"found the unknown name {timing.after!r}{one_of(timing.after, names)}"
        elif timing.after is not None and _depends_on_itself(timings, number, names):
            yield (*place, "after"), f"found {timing.after!r}, which itself comes after this fault: a circle"
    yield from _too_late(timings, names, phase)


def _condition_problems(condition: Condition, phase: float, rate: float) -> Iterator[tuple[str, str]]:
    if condition.error_rate is not None and not rate:
        yield "errorRate", "found a condition on requests, but there is no load"
    elif condition.error_rate is not None and rate * condition.over < LEAST_REQUESTS:
        found = (
            f"found {show_seconds(condition.over)}, in which the load has about {rate * condition.over:.0f} requests"
        )
        yield "over", f"{found}, expected at least {LEAST_REQUESTS}"
    if condition.within is not None and condition.within > phase:
        yield "within", f"found {show_seconds(condition.within)}, expected at most phases.fault ({show_seconds(phase)})"


def _depends_on_itself(timings: Sequence[Timing], number: int, names: Mapping[str, int]) -> bool:
    seen: set[int] = set()
    at: int | None = number
    while at is not None and at not in seen:
        seen.add(at)
        at = names.get(timings[at].after or "")
    return at == number


def _too_late(timings: Sequence[Timing], names: Mapping[str, int], phase: float) -> Iterator[tuple[Place, str]]:
    for number, timing in enumerate(timings):
        begun = earliest(timings, number, names)
        last = begun + (timing.times - 1) * (timing.every or 0.0) + (timing.jitter or 0.0)
        if math.isfinite(last) and last >= phase:
            found = f"injected at {show_seconds(last)} for the last time"
        elif math.isfinite(last) and last + (timing.lasting or 0.0) > phase:
            found = f"undone {show_seconds(last + (timing.lasting or 0.0))} after the phase began"
        else:
            continue
        yield ("faults", number), f"found a fault that is {found}, expected before phases.fault ({show_seconds(phase)})"


def earliest(timings: Sequence[Timing], number: int, names: Mapping[str, int]) -> float:
    """Return the earliest time of the first injection of a fault, in seconds after the phase began.

    Infinite if it comes after itself."""
    begun = 0.0
    seen: set[int] = set()
    at: int | None = number
    while at is not None:
        if at in seen:
            return math.inf
        begun += timings[at].at + (timings[at].span if at != number else 0.0)
        seen.add(at)
        at = names.get(timings[at].after or "")
    return begun
