"""Identity: a StatefulSet's pods return with the same names and volumes, and with DNS records that are correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from harness.model.finding import Finding
from harness.model.quantities import show_seconds
from harness.model.timeline import Interval, Observation, Timeline, Victim
from harness.model.verdict import Verdict
from harness.objectives._fields import Count, Limit, StatefulSetRef
from harness.objectives._findings import combined, inconclusive, never, within
from harness.objectives._members import ordinal_of
from harness.objectives.base import Objective
from harness.objectives.recovery import Origin, origin_of
from harness.objectives.recovery.gaps import watch_open_ended
from harness.objectives.recovery.pods import pods_of


class Identity(Objective):
    """Every pod name of the baseline exists at the end, with the same volumes and a correct DNS record.

    The claims are bound to the same volumes, and the DNS record has the pod's address. The hostname, where the image
    can print it, is the pod's name. The victims have been replaced by new pods, which are ready ``within`` a time limit
    and at the end. With ``firstOrdinal`` the names are numbered from there on without a gap.

    If the watch on pods was interrupted for a while, it reports the pods that exist afterwards, and earlier ones do not
    count. Pods without container statuses are not ready.
    """

    kind: ClassVar[str] = "identity"
    example: ClassVar[Mapping[str, Any]] = {"of": "statefulset/etcd", "within": "60s"}

    of: StatefulSetRef = Field(description="the StatefulSet, such as statefulset/etcd")
    within: Limit | None = Field(
        default=None,
        description="the time limit from the injection until every victim's new pod is ready (default: none)",
    )
    first_ordinal: Count | None = Field(
        default=None, description="the number of the first pod, which others follow without a gap (default: not judged)"
    )

    @property
    def title(self) -> str:
        return f"identity of the pods of {self.of}"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # compares the last observation before the fault with the last one of the run
        origin = origin_of(timeline, "injected")
        if isinstance(origin, str):
            return inconclusive(origin)
        looks = [seen for seen in timeline.observations("identity") if ordinal_of(self.of, seen.subject) is not None]
        before = {seen.subject: seen for seen in looks if seen.at < origin.disrupted.low and seen.error is None}
        if not before:
            return inconclusive(f"no pod of {self.of} was observed before the fault")
        after = {seen.subject: seen for seen in looks if seen.at >= origin.disrupted.high}
        if not after:
            errors = [seen.error for seen in timeline.observations("identity", self.of) if seen.error]
            return inconclusive(
                f"no pod of {self.of} was observed after the fault: {', '.join(errors[-1:]) or 'no observation'}"
            )
        hit = [victim for injection in timeline.injections for victim in injection.victims if victim.name in before]
        gone = {pod.name: pod for pod in pods_of(timeline, self.of)}
        # An observation of a pod that was deleted later does not show the state at the end.
        for name, last in gone.items():
            if last.gone and name in after and after[name].at < last.at:
                del after[name]
        parts = [_same(before[name], after.get(name)) for name in sorted(before)]
        parts += [_replaced(victim, after.get(victim.name)) for victim in hit]
        if self.first_ordinal is not None:
            parts.append(self._numbered(sorted(before), self.first_ordinal))
        if self.within is not None:
            parts += [self._in_time(timeline, origin, victim, self.within) for victim in hit]
        return replace(_summarised(parts, before, after), samples=len(before))

    def _numbered(self, names: Sequence[str], first: int) -> Finding:
        stem = self.of.partition("/")[2]
        expected = {f"{stem}-{ordinal}" for ordinal in range(first, first + len(names))}
        verdict = Verdict.HELD if set(names) == expected else Verdict.BROKEN
        reason = f"the pods are {', '.join(names)}, and must be numbered from {first} on"
        return Finding(verdict=verdict, reason=reason)

    def _in_time(self, timeline: Timeline, origin: Origin, victim: Victim, limit: float) -> Finding:
        what, since = f"{victim.name} was ready again as a new pod", "the fault"
        events = pods_of(timeline, self.of)
        later = (pod for pod in events if pod.at >= origin.disrupted.low)
        back = next((pod for pod in later if pod.name == victim.name and pod.uid != victim.uid and pod.ready), None)
        last = next((pod for pod in reversed(events) if pod.name == victim.name), None)
        # What is down at the end has not recovered, however soon it was ready once (docs/decisions/04-verdicts.md).
        if back is not None and last is not None and not last.ready:
            if watch_open_ended(timeline, "pods"):
                return inconclusive(f"the watch on pods was interrupted before {victim.name} was ready again")
            finding = never(what, origin.until - origin.disrupted.high, limit, since)
            return replace(finding, reason=f"{finding.reason}; it was ready once, but is not when last seen")
        if back is not None:
            low = min(back.since, back.at) if back.since is not None else back.at
            finding = within(what, origin.length(Interval(low, back.at)), limit, since)
            if finding.verdict is Verdict.HELD and watch_open_ended(timeline, "pods"):
                missed = "but the watch on pods was interrupted afterwards, so it may not be ready at the end"
                return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{finding.reason}, {missed}")
            return finding
        if not events or watch_open_ended(timeline, "pods"):
            return inconclusive(f"the pods of {self.of} were not watched, so their return was not measured")
        return never(what, origin.until - origin.disrupted.high, limit, since)


def _same(before: Observation, after: Observation | None) -> Finding:
    name = before.subject
    if after is None:
        return Finding(verdict=Verdict.BROKEN, reason=f"{name} did not come back")
    if after.error is not None or not isinstance(after.value, Mapping):
        return inconclusive(f"{name} could not be observed after the fault: {after.error or 'no value'}")
    was, now = _claims(before.value), _claims(after.value)
    if was != now:
        reason = f"{name} had the volumes {_show(was)} and came back with {_show(now)}"
        return Finding(verdict=Verdict.BROKEN, reason=reason)
    hostname = after.value.get("hostname")
    if hostname is not None and hostname != name:
        return Finding(verdict=Verdict.BROKEN, reason=f"{name} has the hostname {hostname}")
    return _resolved(name, after.value, now)


def _resolved(name: str, value: Mapping[str, Any], claims: Mapping[str, tuple[str, ...]]) -> Finding:
    dns, address = value.get("dns"), value.get("ip")
    if dns is None or not address:
        why = f"its DNS record was not looked up: {value.get('dns_error', '')}" if address else "it has no address"
        return inconclusive(f"{name}: {why}")
    if address not in dns:
        found = ", ".join(dns) or "no address"
        reason = f"the DNS record of {name} has {found}, the pod has {address}"
        return Finding(verdict=Verdict.BROKEN, reason=reason)
    return Finding(verdict=Verdict.HELD, reason=f"{name} exists with {_show(claims)} and a DNS record of {address}")


def _replaced(victim: Victim, after: Observation | None) -> Finding:
    if _field(after, "uid") == victim.uid:
        return inconclusive(f"{victim.name} is still the same pod, so it was not replaced")
    return Finding(verdict=Verdict.HELD, reason=f"{victim.name} is a new pod")


def _field(look: Observation | None, key: str) -> str | None:
    return look.value.get(key) if look is not None and isinstance(look.value, Mapping) else None


def _summarised(parts: list[Finding], before: Mapping[str, Observation], after: Mapping[str, Observation]) -> Finding:
    finding = combined(parts)
    if finding.verdict is not Verdict.HELD:
        return finding
    # With a time limit, the numbers of the finding are those of the slowest pod.
    slowest = max(parts, key=lambda part: part.observed if part.observed is not None else -1.0)
    took = f" {show_seconds(slowest.observed)} after the fault" if slowest.observed is not None else ""
    new = sum(_field(before[name], "uid") != _field(after.get(name), "uid") for name in before)
    hostnames = ", hostnames" if all(_field(after.get(name), "hostname") for name in before) else ""
    kept = f"all {len(before)} pods kept their names{hostnames}, volumes and DNS records"
    return replace(slowest, reason=f"{kept}; {new} of them came back as new pods{took}", detail=finding.detail)


def _claims(value: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {volume: tuple(bound) for volume, bound in (value.get("claims") or {}).items()}


def _show(claims: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{volume} ({' on '.join(bound)})" for volume, bound in sorted(claims.items())) or "no volume"
