"""Whether an experiment may begin now: how long it may take, the time of day, and what else is going wrong already."""

from __future__ import annotations

from harness.errors import ClusterRefused
from harness.experiment import Experiment
from harness.guard.policy import Alerts
from harness.probes.prometheus import Prometheus, PrometheusError, escape
from harness.run import Run

_SHOWN = 5


def admit(run: Run, experiment: Experiment) -> None:
    """Raises ClusterRefused with everything that the guard has against beginning now."""
    seconds = sum(experiment.phases.model_dump().values())
    refusals = run.policy.start_refusals(run.clock.wall(), seconds) + run.policy.safety_refusals(experiment.safety)
    if run.prometheus and run.policy.refuse_alerts:
        refusals += _alerts(run.prometheus, run.policy.refuse_alerts)
    if refusals:
        raise ClusterRefused(f"the guard refuses {experiment.title}: {'; '.join(refusals)}")


def _alerts(prometheus: Prometheus, wanted: Alerts) -> list[str]:
    matchers = [f'alertstate="firing",severity=~"{"|".join(wanted.severity)}"']
    matchers += [f'{name}="{escape(value)}"' for name, value in wanted.matchers.items()]
    try:
        firing = prometheus.instant(f"ALERTS{{{','.join(matchers)}}}")
    except PrometheusError as error:
        return [f"whether alerts fire could not be asked: {error}"]
    names = sorted({f"{alert.labels.get('alertname')} ({alert.labels.get('severity')})" for alert in firing})
    return [f"alerts fire: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}"] if names else []
