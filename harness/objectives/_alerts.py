"""What was seen of an alert: the looks at Prometheus and at Alertmanager, in order, and the gaps between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from harness.model.quantities import show_seconds
from harness.model.timeline import Interval, Timeline

PROMETHEUS: Final = "alerts"
ALERTMANAGER: Final = "alertmanager"
_SERVERS = {PROMETHEUS: "Prometheus", ALERTMANAGER: "Alertmanager"}
# Seconds without an answer, or one evaluation if that is longer: an alert fires for at least one evaluation. A busy
# machine takes seconds to answer. A gap widens the bounds of a time, but hides an alert that fired briefly.
GAP, GAP_OF_SILENT = 10.0, 5.0
# The number of evaluations after which a rule counts as no longer evaluated.
_STALLED = 2.5


@dataclass(frozen=True, slots=True)
class Look:
    """One answer of a server: its state is that of some time between ``asked`` and ``at``, both on the timeline."""

    asked: float
    at: float
    value: Mapping[str, Any]

    @property
    def alerts(self) -> list[Mapping[str, Any]]:
        """The alerts of this name that have the required labels."""
        return [each for each in self.value.get("alerts") or () if each.get("matches")]

    @property
    def others(self) -> list[Mapping[str, Any]]:
        """The alerts of this name with other labels."""
        return [each for each in self.value.get("alerts") or () if not each.get("matches")]

    @property
    def rules(self) -> list[Mapping[str, Any]]:
        """The rules of this name; always empty for Alertmanager."""
        return list(self.value.get("rules") or ())

    def has(self, *states: str) -> bool:
        """Return whether an alert is in one of these states."""
        return any(each.get("state") in states for each in self.alerts)


@dataclass(frozen=True, slots=True)
class Looks:
    """All looks of one alert at one server. ``errors`` are the failed ones, with their times."""

    series: str
    good: Sequence[Look]
    errors: Sequence[tuple[float, str]]

    @classmethod
    def of(cls, timeline: Timeline, series: str, title: str) -> Looks:
        """Read the looks of the objective with this title."""
        good, errors = list[Look](), list[tuple[float, str]]()
        for seen in timeline.observations(series, title):
            if seen.error is None and isinstance(seen.value, Mapping):
                good.append(Look(float(seen.value.get("asked", seen.at)), seen.at, seen.value))
            else:
                errors.append((seen.at, seen.error or "no answer"))
        return cls(series, sorted(good, key=lambda look: look.at), errors)

    @property
    def server(self) -> str:
        """The name of the server for messages."""
        return _SERVERS[self.series]

    def between(self, start: float, end: float) -> list[Look]:
        """Return the looks that began at ``start`` or later and ended by ``end``."""
        return [look for look in self.good if look.asked >= start and look.at <= end]

    @property
    def evaluation(self) -> float:
        """The longest evaluation interval of the rules in seconds; 0 if unknown."""
        return max((float(rule.get("interval") or 0) for look in self.good for rule in look.rules), default=0.0)

    @property
    def scrape(self) -> float:
        """The scrape interval in seconds; 0 if unknown."""
        return max((float(look.value.get("scrape") or 0) for look in self.good), default=0.0)

    def unseen(self, start: float, end: float, allowed: float) -> str:
        """Return why the server was not observed throughout ``start`` to ``end``, or an empty text.

        ``allowed`` is the longest time between two answers in seconds."""
        inside = [look for look in self.good if look.at >= start and look.asked <= end]
        last = [error for at, error in self.errors if start <= at <= end][-1:]
        why = f": {last[0]}" if last else ""
        times = [start, *(look.at for look in inside if look.at <= end), end]
        longest = max((later - earlier, earlier, later) for earlier, later in pairwise(times))
        if not inside or longest[0] > allowed:
            return f"{self.server} was not observed from {show_seconds(longest[1])} to {show_seconds(longest[2])}{why}"
        return self._stalled(inside, max(allowed, _STALLED * self.evaluation))

    def _stalled(self, inside: Sequence[Look], allowed: float) -> str:
        """Return why the rule was not evaluated for longer than ``allowed`` seconds, or an empty text."""
        since, last = inside[0].at, _evaluated(inside[0])
        for look in inside[1:]:
            if _evaluated(look) != last:
                since, last = look.at, _evaluated(look)
            elif look.rules and look.asked - since > allowed:
                return f"the rule was not evaluated from {show_seconds(since)} to {show_seconds(look.asked)}"
        return ""

    def first(self, wanted: Callable[[Look], bool], since: float) -> Interval | None:
        """Return when ``wanted`` first became true after ``since``: between the last look without it and the first
        with it."""
        before = since
        for look in self.good:
            if look.at < since:
                continue
            if wanted(look):
                return Interval(before, look.at)
            before = max(since, look.asked)
        return None

    def last(self, wanted: Callable[[Look], bool], since: float) -> Interval | None:
        """Return when ``wanted`` last ceased to be true after ``since``.

        None if it never was true, or still was in the last look."""
        found = [number for number, look in enumerate(self.good) if look.at >= since and wanted(look)]
        if not found or found[-1] + 1 == len(self.good):
            return None
        return Interval(self.good[found[-1]].asked, self.good[found[-1] + 1].at)


def _evaluated(look: Look) -> float:
    return min((float(rule.get("evaluated") or 0) for rule in look.rules), default=0.0)


def labels_of(alerts: Sequence[Mapping[str, Any]]) -> str:
    """Return the labels of alerts without their name, for messages."""
    return "; ".join(dict.fromkeys(", ".join(_pairs(each.get("labels") or {})) for each in alerts))


def _pairs(labels: Mapping[str, str]) -> Iterator[str]:
    return (f"{name}={value}" for name, value in sorted(labels.items()) if name != "alertname")
