"""Wait for the first scrapes of Prometheus, so that no phase starts before its queries have data of every pod."""

from __future__ import annotations

from collections.abc import Sequence

from harness.common.errors import Inconclusive
from harness.common.timeouts import SCRAPES_LOOK_EVERY
from harness.engine.steps.live import LiveExperiment
from harness.experiment.abort import AbortCondition
from harness.model.phase_names import BASELINE
from harness.objectives.base import Objective
from harness.probes.prometheus.query import wanted
from harness.probes.prometheus.ready import ScrapeGate, Wanted, summary
from harness.prometheus.client import Prometheus


def gate_of(
    prometheus: Prometheus | None,
    objectives: Sequence[Objective],
    phase: str = BASELINE,
    conditions: Sequence[AbortCondition] = (),
) -> ScrapeGate | None:
    """Return the gate for the queries of the objectives in a phase and of abort conditions, or None without queries."""
    # A query of an abort condition may return no series: then the condition is not met.
    aborts = [Wanted(condition.query, needs_series=False) for condition in conditions]
    queries = [*wanted(objectives, phase), *aborts]
    return ScrapeGate(prometheus, queries) if prometheus and queries else None


def wait_scraped(live: LiveExperiment, gate: ScrapeGate | None) -> None:
    """Wait until Prometheus scrapes every target that the queries of ``gate`` read.

    Raises Inconclusive with the missing targets and their last errors after ``gate.seconds``."""
    missing = live.unscraped(gate)
    if gate is None or not missing:
        return
    most, started = gate.seconds(live.namespace), live.now
    live.progress(f"waiting up to {most:g} s for the first scrapes of Prometheus: {summary(missing)}")
    while missing:
        if live.now - started > most:
            reason = "Prometheus does not scrape every target that objectives or abort conditions read"
            raise Inconclusive(f"{reason}, {most:g} s after the workload was ready: {summary(missing)}")
        live.wait(SCRAPES_LOOK_EVERY)
        missing = live.unscraped(gate)
