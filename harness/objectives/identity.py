"""Identity: a StatefulSet's pods come back as themselves: the same name and volumes, a DNS record that is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from harness.objective import Finding, Objective
from harness.objectives._fields import Limit, StatefulSetRef
from harness.objectives._findings import combined, inconclusive, never, within
from harness.observation import Interval, Observation, Timeline, Victim
from harness.quantities import show_seconds
from harness.recovery import Origin, origin_of
from harness.recovery.gaps import watch_open_ended
from harness.recovery.pods import pods_of
from harness.verdict import Verdict


class Identity(Objective):
    """Every pod name of the baseline is there at the end, with the same claims bound to the same volumes and a DNS
    record that leads to the pod; those that the fault hit are new pods, ready ``within`` a time of the injection."""

    kind: ClassVar[str] = "identity"

    of: StatefulSetRef
    within: Limit | None = Field(None, description="from the injection to the last replaced pod being ready")

    @property
    def title(self) -> str:
        return f"identity of the pods of {self.of}"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # compared are the last look before the fault and the last one of the run
        origin = origin_of(timeline, "injected")
        if isinstance(origin, str):
            return inconclusive(origin)
        looks = [seen for seen in timeline.observations("identity") if self._is_member(seen.subject)]
        before = {seen.subject: seen for seen in looks if seen.at < origin.disrupted.low and seen.error is None}
        if not before:
            return inconclusive(f"no pod of {self.of} was looked at before the fault")
        after = {seen.subject: seen for seen in looks if seen.at >= origin.disrupted.high}
        if not after:
            errors = [seen.error for seen in timeline.observations("identity", self.of) if seen.error]
            return inconclusive(
                f"no pod of {self.of} was looked at after the fault: {', '.join(errors[-1:]) or 'no look'}"
            )
        hit = [victim for injection in timeline.injections for victim in injection.victims if victim.name in before]
        parts = [_same(before[name], after.get(name)) for name in sorted(before)]
        parts += [_replaced(victim, after.get(victim.name)) for victim in hit]
        if self.within is not None:
            parts += [self._in_time(timeline, origin, victim, self.within) for victim in hit]
        return replace(_spoken(parts, len(before), len(hit)), samples=len(before))

    def _is_member(self, pod: str) -> bool:
        stem, _, ordinal = pod.rpartition("-")
        return stem == self.of.removeprefix("statefulset/") and ordinal.isdigit()

    def _in_time(self, timeline: Timeline, origin: Origin, victim: Victim, limit: float) -> Finding:
        what, since = f"{victim.name} was ready again as a new pod", "the fault"
        events = pods_of(timeline, self.of)
        later = (pod for pod in events if pod.at >= origin.disrupted.low)
        back = next((pod for pod in later if pod.name == victim.name and pod.uid != victim.uid and pod.ready), None)
        if back is not None:
            low = min(back.since, back.at) if back.since is not None else back.at
            return within(what, origin.length(Interval(low, back.at)), limit, since)
        if not events or watch_open_ended(timeline, "pods"):
            return inconclusive(f"the pods of {self.of} were not watched, so their return was not timed")
        return never(what, origin.until - origin.disrupted.high, limit, since)


def _same(before: Observation, after: Observation | None) -> Finding:
    name = before.subject
    if after is None:
        return Finding(Verdict.BROKEN, f"{name} did not come back")
    if after.error is not None or not isinstance(after.value, Mapping):
        return inconclusive(f"{name} could not be looked at after the fault: {after.error or 'no value'}")
    was, now = _claims(before.value), _claims(after.value)
    if was != now:
        return Finding(Verdict.BROKEN, f"{name} had the volumes {_show(was)} and came back with {_show(now)}")
    dns, address = after.value.get("dns"), after.value.get("ip")
    if dns is None or not address:
        why = (
            f"its DNS record was not looked up: {after.value.get('dns_error', '')}" if address else "it has no address"
        )
        return inconclusive(f"{name}: {why}")
    if address not in dns:
        found = ", ".join(dns) or "no address"
        return Finding(Verdict.BROKEN, f"the DNS record of {name} leads to {found}, the pod is at {address}")
    return Finding(Verdict.HELD, f"{name} is there with {_show(now)} and DNS to {address}")


def _replaced(victim: Victim, after: Observation | None) -> Finding:
    uid = after.value.get("uid") if after is not None and isinstance(after.value, Mapping) else None
    if uid == victim.uid:
        return inconclusive(f"{victim.name} is still the same pod: no return was shown")
    return Finding(Verdict.HELD, f"{victim.name} is a new pod")


def _spoken(parts: list[Finding], pods: int, hit: int) -> Finding:
    finding = combined(parts)
    if finding.verdict is not Verdict.HELD:
        return finding
    # The times, if any were asked for, stand last: the slowest return gives the numbers.
    slowest = max(parts, key=lambda part: part.observed if part.observed is not None else -1.0)
    took = f" {show_seconds(slowest.observed)} after the fault" if slowest.observed is not None else ""
    reason = f"all {pods} pods kept their names, volumes and DNS records; {hit} of them came back as new pods{took}"
    return replace(slowest, reason=reason, detail=finding.detail)


def _claims(value: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {volume: tuple(bound) for volume, bound in (value.get("claims") or {}).items()}


def _show(claims: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{volume} ({' on '.join(bound)})" for volume, bound in sorted(claims.items())) or "no volume"
