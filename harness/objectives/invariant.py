"""Invariant: a condition on numbers of the cluster that holds at every observation, not only at the end or on average.

It uses every state that a watch received from the API server, so it misses no short dip, unlike polling. A state that
no controller wrote into a status cannot be seen. For PromQL, use ``prometheus`` with a ``reducer`` instead: the ``max``
of a value over a phase meets a limit exactly if every sample does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from harness.model.finding import Finding
from harness.model.phase_names import BASELINE
from harness.model.reported import Reported, Unknown
from harness.model.timeline import Observation, Timeline
from harness.model.verdict import Verdict, worst
from harness.objectives._fields import DISRUPTED, WORKLOADS, Phases, reference
from harness.objectives._findings import combined, inconclusive
from harness.objectives._limits import MISSED_STATES, at_least, verdict_on, when, why
from harness.objectives._series import CountSample, between, counts, in_force, statuses, unknown_now, values
from harness.objectives.base import Due, LiveObjective
from harness.objectives.recovery.gaps import states_lost

NODES = "nodes"
# The quantities of each kind: the field's name → the key in the observation.
_COUNTS = {"available": "available", "ready": "ready", "total": "replicas", "updated": "updated", "desired": "desired"}
_QUANTITIES: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(WORKLOADS, _COUNTS),
    "hpa": {"current": "current", "desired": "desired"},
    "service": {"ready": "ready", "serving": "serving", "total": "all"},
    NODES: {"ready": "ready", "schedulable": "schedulable", "total": "total"},
}
_SERIES = {**dict.fromkeys(WORKLOADS, "workloads"), "hpa": "autoscalers", "service": "endpoints", NODES: NODES}
_CONDITION = re.compile(r"\s*(>=|<=|==|>|<)\s*(?:(\d+)|desired(?:\s*([+-])\s*(\d+))?)\s*")


def _subject(value: str) -> str:
    return value if value == NODES else reference("service", "hpa", *WORKLOADS)(value)


def _condition(value: str) -> str:
    _Condition.parse(value)
    return value.strip()


Subject = Annotated[str, AfterValidator(_subject)]
Condition = Annotated[str, AfterValidator(_condition)]


@dataclass(frozen=True, slots=True)
class _Condition:
    """A parsed condition: ``comparison`` is >=, <= or ==; a ``relative`` limit is added to the desired number."""

    comparison: str
    limit: int
    relative: bool

    @classmethod
    def parse(cls, text: str) -> _Condition:
        """Parse a condition. Counts are integers, so ``> 2`` becomes ``>= 3``. Raises ValueError."""
        found = _CONDITION.fullmatch(text)
        if not found:
            raise ValueError(f"found {text!r}, expected a condition such as '>= 2', '== 0' or '<= desired + 1'")
        sign, number, plus, more = found.groups()
        limit = int(number) if number else int(more or 0) * (-1 if plus == "-" else 1)
        strict = {">": 1, "<": -1}.get(sign, 0)
        return cls(f"{sign}=" if strict else sign, limit + strict, number is None)

    def limit_at(self, desired: int) -> int:
        return desired + self.limit if self.relative else self.limit


@dataclass(frozen=True, slots=True)
class _State:
    """A number of the subject and its limit, both in force from an instant on."""

    at: float
    number: Reported
    limit: int
    why: str = ""

    def verdict(self, comparison: str) -> Verdict:
        return verdict_on(self.number, comparison, self.limit)

    def margin(self, comparison: str) -> int:
        """Return the distance of the number from the limit on its good side."""
        above = (at_least(self.number) or 0) - self.limit
        return -abs(above) if comparison == "==" else above if comparison == ">=" else -above


def _quantity(what: str) -> Any:  # noqa: ANN401 - as pydantic.Field
    return Field(
        default=None, description=f"{what}: a condition such as '>= 2', '== 0' or, for workloads, '<= desired + 1'"
    )


class Invariant(LiveObjective):
    """All given conditions hold at every observation of ``of`` in the phases, and at the start of each phase."""

    kind: ClassVar[str] = "invariant"
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo", "available": ">= 2", "total": "<= desired + 1"}

    of: Subject = Field(description="a workload, service/NAME (its endpoints), hpa/NAME, or nodes")
    available: Condition | None = _quantity("available replicas of a workload")
    ready: Condition | None = _quantity("ready replicas, ready endpoints of a Service, or Ready nodes")
    total: Condition | None = _quantity("all replicas, endpoints or nodes")
    updated: Condition | None = _quantity("replicas of a workload with the current pod template")
    desired: Condition | None = _quantity("desired replicas of a workload or an autoscaler")
    current: Condition | None = _quantity("current replicas of an autoscaler")
    serving: Condition | None = _quantity("serving endpoints of a Service")
    schedulable: Condition | None = _quantity("schedulable nodes")
    phases: Phases = Field(DISRUPTED, description="the phases when the conditions must hold")

    @model_validator(mode="after")
    def _conditions_fit(self) -> Self:
        kind, known = self._kind, _QUANTITIES[self._kind]
        wrong = [name for name, _ in self._conditions if name not in known]
        if wrong or not self._conditions:
            found = ", ".join(wrong) or "no condition"
            raise ValueError(f"found {found} for {self.of}, expected one or more of {', '.join(known)}")
        relative = [name for name, condition in self._conditions if condition.relative]
        if relative and kind not in WORKLOADS:
            raise ValueError(f"found a condition on {relative[0]} relative to desired, which only a workload has")
        return self

    @property
    def title(self) -> str:
        conditions = ", ".join(f"{name} {getattr(self, name)}" for name, _ in self._conditions)
        return f"{self.of}: {conditions} at every moment"

    @property
    def checks_baseline(self) -> bool:
        return True

    @property
    def checks_control(self) -> bool:
        return True

    def unready(self, timeline: Timeline) -> str:
        if self.of == NODES or self._kind == "service":
            return ""
        keys = [_QUANTITIES[self._kind][name] for name, _ in self._conditions]
        return unknown_now(timeline, _SERIES[self._kind], self.of, keys)

    def breached(self, timeline: Timeline, due: Due) -> str:
        del due  # one observation is enough
        parts = self._parts(timeline, self.phases)
        return next((part.reason for part in parts if part.verdict is Verdict.BROKEN), "")

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        windows = timeline.window(phases or self.phases)
        if not windows:
            return inconclusive(f"the run did not reach any of the phases {', '.join(phases or self.phases)}")
        parts = self._parts(timeline, phases or self.phases)
        if not parts:
            return inconclusive(f"{self.of} was never observed")
        finding = combined(parts)
        # A violation that was seen stays one whatever was missed; only HELD needs every state.
        if finding.verdict is Verdict.HELD and states_lost(timeline, _SERIES[self._kind], windows[0].start):
            return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{finding.reason}, {MISSED_STATES}")
        return finding

    @property
    def _kind(self) -> str:
        return self.of.partition("/")[0]

    @property
    def _conditions(self) -> list[tuple[str, _Condition]]:
        names = dict.fromkeys(name for kind in _QUANTITIES.values() for name in kind)
        written = [(name, getattr(self, name)) for name in names]
        return [(name, _Condition.parse(text)) for name, text in written if text is not None]

    def _parts(self, timeline: Timeline, phases: Sequence[str]) -> list[Finding]:
        found = [
            (name, condition, self._states(timeline, phases, name, condition)) for name, condition in self._conditions
        ]
        return [self._part(name, condition, states) for name, condition, states in found if states]

    def _part(self, name: str, condition: _Condition, states: Sequence[_State]) -> Finding:
        comparison = condition.comparison
        verdicts = [state.verdict(comparison) for state in states]
        verdict, written = worst(verdicts), getattr(self, name)
        # A violated condition is reported at its first violation, a condition that holds at its smallest margin.
        decisive = next(state for state, found in zip(states, verdicts, strict=True) if found is verdict)
        if verdict is Verdict.INCONCLUSIVE:
            unknown = f"{name} of {self.of} is unknown at {when(decisive.at)}{decisive.why}"
            return inconclusive(f"{unknown}, {written} required at every moment")
        if verdict is Verdict.HELD:
            decisive = min(states, key=lambda state: state.margin(comparison))
        count = at_least(decisive.number) or 0
        reason = f"{self.of} had {count} {name} at {when(decisive.at)}"
        if verdict is Verdict.BROKEN:
            reason += f", {written} required at every moment{decisive.why}"
        else:
            reason += f", the closest to {written} in {len(states)} observations"
        # An equality has no good side, so there is no limit to compute a margin.
        equal = comparison == "=="
        return Finding.exact(
            verdict,
            reason,
            count,
            limit=None if equal else decisive.limit,
            unit="",
            comparison="" if equal else comparison,
            samples=len(states),
        )

    def _states(self, timeline: Timeline, phases: Sequence[str], name: str, condition: _Condition) -> list[_State]:
        seen = self._counts(timeline, _QUANTITIES[self._kind][name])
        # A number in force at the end of a phase is also in force at the start of the next one, but counts once.
        found: dict[int, _State] = {}
        for phase in timeline.window(phases):
            # The watch may start with the baseline, so the first number may arrive after its start.
            now = (
                in_force(seen, phase.start, phase.end)
                if phase.name == BASELINE
                else between(seen, self.of, phase.start, phase.end)
            )
            # By identity: a CountSample contains a mapping, so it has no hash.
            found.update((id(count), _state(count, condition)) for count in now)
        return sorted(found.values(), key=lambda state: state.at)

    def _counts(self, timeline: Timeline, key: str) -> list[CountSample]:
        series = _SERIES[self._kind]
        if self.of == NODES:
            return list(_nodes(timeline.observations(NODES), key))
        if self._kind == "service":
            found = values(timeline, series, self.of.partition("/")[2])
            return [CountSample(seen.at, _endpoints(self.of, seen.value, key)) for seen in found]
        return counts(statuses(timeline, series, self.of), series, key)


def _state(count: CountSample, condition: _Condition) -> _State:
    number, desired = count.number, 0
    if condition.relative and count.status and not count.status.gone:
        wanted = count.status.count("desired")
        number, desired = (wanted, 0) if isinstance(wanted, Unknown) else (number, wanted)
    return _State(count.at, number, condition.limit_at(desired), why(replace(count, number=number)))


def _nodes(observations: Iterable[Observation], key: str) -> Iterator[CountSample]:
    nodes: dict[str, Mapping[str, Any]] = {}
    for seen in observations:
        if seen.error is None and isinstance(seen.value, Mapping):
            nodes[seen.subject] = seen.value
            if seen.value.get("gone"):
                del nodes[seen.subject]
            yield CountSample(seen.at, len(nodes) if key == "total" else _nodes_that_are(key, nodes))


def _nodes_that_are(key: str, nodes: Mapping[str, Mapping[str, Any]]) -> Reported:
    count = sum(bool(node.get(key)) for node in nodes.values())
    silent = sorted(name for name, node in nodes.items() if node.get("unknown")) if key == "ready" else []
    # A node that does not report is not Ready in Kubernetes, so it does not help to meet a lower limit. It may be
    # running nevertheless, so the number is unknown for an upper limit.
    return Unknown(f"the kubelet of {', '.join(silent)} does not report", count) if silent else count


def _endpoints(of: str, value: Mapping[str, Any], key: str) -> Reported:
    if value.get("gone"):
        return Unknown(f"{of} no longer has an EndpointSlice", 0)
    return len(value.get(key) or ())
