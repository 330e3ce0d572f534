"""Check, before a phase begins, that Prometheus scrapes every target that the objectives' queries read.

Prometheus discovers a new pod late: its discovery manager applies changes every 5 s, which is not configurable, and
skips one update while scrape pools still stop the targets of deleted pods. So a ready pod may have no series for ten
seconds. If the phase began earlier, what the pod counts until then would be lost.

Until a pod is scraped, no series relates it to a query. The pods to wait for are therefore found in steps: the targets
that have series of a query, the workloads of their pods, and all ready pods of those workloads. If a query has no
series yet (an error counter has none before the first error), the gate waits for all workloads of the namespace that
have any target.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.model.timeline import Timeline
from harness.probes.base import ProbeContext
from harness.probes.prometheus.health import GAP
from harness.prometheus.answers import PrometheusError, QueryRefused, Target, escape
from harness.prometheus.promql import Reading, Selector

if TYPE_CHECKING:
    # Not imported at run time: it loads an HTTP client, which commands without a cluster do not need.
    from harness.prometheus.client import Prometheus

# Seconds, plus two scrape intervals. A target that is not scraped by then has a problem that waiting will not solve.
SCRAPED_WITHIN = 30.0
# Replaces $window before the phase has a length. The value does not matter, only whether there is a result.
_WINDOW = "60s"
# Prometheus adds the labels job and instance of the target to every series that it scrapes.
_SOURCES = "up and on(job, instance) count by(job, instance) ({})"
# Seconds since the last scrape of each pod's target, if that scrape succeeded.
_AGES = 'time() - timestamp(up{{namespace="{}",pod!=""}}) and up == 1'
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """A query, which may contain ``$namespace`` and ``$window``. ``needs_series``: without series it has no value."""

    query: str
    needs_series: bool = True


class ScrapeGate:
    """Finds the targets of the given queries that are not scraped yet."""

    def __init__(self, prometheus: Prometheus, wanted: Sequence[Wanted]) -> None:
        self._prometheus = prometheus
        self._wanted = tuple(dict.fromkeys(wanted))

    def seconds(self, namespace: str) -> float:
        """Return how many seconds to wait for the first scrapes at most."""
        try:
            return SCRAPED_WITHIN + 2 * self._prometheus.scrape_interval(namespace)
        except PrometheusError:
            return SCRAPED_WITHIN

    def missing(self, context: ProbeContext) -> list[str]:
        """Return one phrase for each target that is not scraped, with Prometheus' scrape error if there is one.

        Empty if all targets are scraped. If Prometheus does not answer, the only phrase is the error.
        """
        try:
            return self._missing(context)
        except PrometheusError as error:
            return [str(error)]

    def _missing(self, context: ProbeContext) -> list[str]:
        namespace, timeline = context.namespace, context.timeline
        now = timeline.offset(context.clock.monotonic())
        scraped: dict[str, float] = {}
        for sample in self._prometheus.instant(_AGES.format(escape(namespace))):
            pod = sample.labels.get("pod", "")
            # A pod may have several targets, such as one for each port.
            scraped[pod] = max(now - sample.value, scraped.get(pod, -math.inf))
        oldest = now - GAP * self._prometheus.scrape_interval(namespace)
        targets = _of_namespace(self._targets(), namespace)
        pods = _pods(timeline)
        late: dict[str, str] = {}
        for wanted in self._wanted:
            expected, problem = self._expected(wanted, pods, namespace, {*scraped, *targets})
            for name in expected:
                if scraped.get(name, -math.inf) < max(oldest, pods[name].since):
                    late[name] = f"{name} ({_why(targets.get(name, ()))})"
            if problem and not late:
                late[wanted.query] = problem
        return list(late.values())

    def _expected(
        self, wanted: Wanted, pods: Mapping[str, _Pod], namespace: str, targeted: set[str]
    ) -> tuple[list[str], str]:
        """Return the pods that must be scraped, and a problem of the query itself, or an empty text."""
        query = wanted.query.replace("$namespace", escape(namespace)).replace("$window", _WINDOW)
        selectors = Reading(query, 0).selectors
        sources = [
            sample.labels
            for text in dict.fromkeys(one.text for one in selectors)
            for sample in self._prometheus.instant(_SOURCES.format(text))
        ]
        own = {labels.get("pod", "") for labels in sources if labels.get("namespace") == namespace}
        owners = {pods[name].owner for name in own & pods.keys()} - {""}
        if owners:
            return _ready(pods, owners, selectors, namespace), ""
        if sources or not any(_reads(one, namespace) for one in selectors):
            # Targets outside of this experiment existed before it, so there is nothing to wait for.
            return [], ""
        others = {pods[name].owner for name in targeted & pods.keys()} - {""}
        if not others:
            return [], f"no target in namespace {namespace}, which the query reads: {wanted.query}"
        expected = _ready(pods, others, selectors, namespace)
        if wanted.needs_series and not self._prometheus.instant(query):
            return expected, f"no series yet: {wanted.query}"
        return expected, ""

    def _targets(self) -> list[Target]:
        try:
            return self._prometheus.targets()
        except QueryRefused:
            # Servers that only store data, such as Thanos or Mimir, have no targets.
            return []


def summary(missing: Sequence[str]) -> str:
    """Return the first missing targets, and the number of the others."""
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return ", ".join(missing[:_SHOWN]) + more


def _of_namespace(targets: Iterable[Target], namespace: str) -> Mapping[str, Sequence[Target]]:
    found: dict[str, list[Target]] = defaultdict(list)
    for target in targets:
        if target.labels.get("namespace") == namespace and target.labels.get("pod"):
            found[target.labels["pod"]].append(target)
    return found


def _why(targets: Sequence[Target]) -> str:
    if not targets:
        return "not found by Prometheus yet"
    errors = [target.error for target in targets if target.error]
    return f"last scrape failed: {errors[0]}" if errors else "not scraped since it became ready"


@dataclass(slots=True)
class _Pod:
    """A pod as last observed. ``since`` is when the pod with the current UID was first observed, since a StatefulSet
    reuses the names of lost pods."""

    owner: str
    uid: str
    since: float
    stays: bool


def _pods(timeline: Timeline) -> dict[str, _Pod]:
    found: dict[str, _Pod] = {}
    for seen in timeline.observations("pods"):
        if seen.error is not None:
            continue
        value = seen.value
        before, uid = found.get(seen.subject), value.get("uid", "")
        since = before.since if before and before.uid == uid else seen.at
        stays = bool(value.get("ready")) and not value.get("deleting") and value.get("event") != "DELETED"
        found[seen.subject] = _Pod(value["owner"], uid, since, stays)
    return found


def _ready(pods: Mapping[str, _Pod], owners: set[str], selectors: Sequence[Selector], namespace: str) -> list[str]:
    """Return the pods of these workloads that are ready, not being deleted, and may be selected by a selector."""
    names = sorted(name for name, pod in pods.items() if pod.owner in owners and pod.stays)
    labels = [{"namespace": namespace, "pod": name} for name in names]
    return [one["pod"] for one in labels if any(selector.may_select(one) for selector in selectors)]


def _reads(selector: Selector, namespace: str) -> bool:
    """Return whether a selector has the namespace in its matchers, by the label that pod targets usually have."""
    return any(label == "namespace" and sign == "=" and value == namespace for label, sign, value in selector.matchers)
