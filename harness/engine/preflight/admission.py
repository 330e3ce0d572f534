"""Check whether the guard allows an experiment to start now: its duration, the time of day, and firing alerts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress

from harness.cluster.kube.ownership import Ownership
from harness.common.errors import ClusterRefused
from harness.engine.preflight.facts import Facts
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.experiment.forecast.forecast import forecast
from harness.experiment.timing import later
from harness.prometheus.client import Prometheus, PrometheusError, escape
from harness.safety.guard.hosts import host_refusal, resolve
from harness.safety.guard.policy import Alerts, Policy

_SHOWN = 5
_NO_PROMETHEUS = (
    "no Prometheus found to check for firing alerts (refuseAlerts): set --prometheus-url, or turn the check off with "
    "refuseAlerts: null in the guard file"
)


def admit(run: Run, experiment: Experiment) -> None:
    """Check that an experiment may start, before anything is deployed.

    Raises ClusterRefused with all reasons of the guard, ApiError if the cluster does not answer.
    """
    facts = Facts.of(run, experiment)
    found = [*start_refusals(facts, experiment), *alert_refusals(run)]
    found += [text for text in _foreseen(facts, experiment, lambda: run.random(experiment.draw)) if text not in found]
    if found:
        raise ClusterRefused(f"the guard refuses {experiment.title}: {'; '.join(found)}")


def start_refusals(facts: Facts, experiment: Experiment) -> list[str]:
    """Return the reasons of the guard against starting now that depend neither on the victims nor on alerts."""
    policy, safety = facts.policy, experiment.safety
    refusals = policy.start_refusals(facts.now, experiment.phases.total) + policy.safety_refusals(safety)
    refusals += facts.refused
    refusals += _hosts(experiment, policy)
    if not experiment.disruptive:
        refusals += map(str, experiment.workload.beyond_namespace(facts.is_cluster_wide))
    return refusals


def _hosts(experiment: Experiment, policy: Policy) -> Iterator[str]:
    """Yield why load and probes may not be sent to the hosts of the experiment's URLs."""
    for name in dict.fromkeys(target.name for target in experiment.targets if target.kind == "url"):
        # A name that cannot be resolved is reported when the load starts.
        addresses: list[str] = []
        with suppress(OSError):
            addresses = resolve(name)
        if refusal := host_refusal(policy.hosts, name, addresses):
            yield refusal


def alert_refusals(run: Run) -> list[str]:
    """Query Prometheus for firing alerts, and return the reasons of the guard against starting while they fire."""
    wanted = run.policy.refuse_alerts
    if wanted is None:
        return []
    if run.prometheus is None:
        # An owned cluster runs only experiments, so no incident can be made worse.
        return [] if run.cluster.ownership is Ownership.OWNED else [_NO_PROMETHEUS]
    return _firing(run.prometheus, wanted)


def _foreseen(facts: Facts, experiment: Experiment, rng: Callable[[], random.Random]) -> tuple[str, ...]:
    """Return the refusals that are already certain before the workload runs."""
    workload, faults, safety = experiment.workload, experiment.faults, experiment.safety
    found = forecast(
        workload,
        faults,
        safety,
        facts.policy,
        namespace=facts.namespace,
        rng=rng,
        later=later(experiment.timings),
    )
    return found.refused


def _firing(prometheus: Prometheus, wanted: Alerts) -> list[str]:
    matchers = [f'alertstate="firing",severity=~"{"|".join(wanted.severity)}"']
    matchers += [f'{name}="{escape(value)}"' for name, value in wanted.matchers.items()]
    try:
        firing = prometheus.instant(f"ALERTS{{{','.join(matchers)}}}")
    except PrometheusError as error:
        return [f"could not query Prometheus for firing alerts: {error}"]
    names = sorted({f"{alert.labels.get('alertname')} ({alert.labels.get('severity')})" for alert in firing})
    return [f"firing alerts: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}"] if names else []
