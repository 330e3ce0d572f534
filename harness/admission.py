"""Whether an experiment may begin now: how long it may take, the time of day, and what else is going wrong already."""

from __future__ import annotations

from harness.cluster.api import KubeApi, Object
from harness.errors import ApiError, ClusterRefused
from harness.experiment import Experiment
from harness.guard.policy import Alerts, is_ours
from harness.probes.prometheus import Prometheus, PrometheusError, escape
from harness.run import Run

_SHOWN = 5
_NOBODY_TO_ASK = (
    "whether alerts fire is to be asked first (refuseAlerts), and no Prometheus was found: name one with "
    "--prometheus-url, or lift it with refuseAlerts: null in the guard's file"
)


def admit(run: Run, experiment: Experiment) -> None:
    """Raises ClusterRefused with everything that the guard has against beginning now; ApiError when the cluster cannot
    be asked where a kind of object belongs that is none of Kubernetes' own."""
    seconds = sum(experiment.phases.model_dump().values())
    refusals = run.policy.start_refusals(run.clock.wall(), seconds) + run.policy.safety_refusals(experiment.safety)
    if not experiment.disruptive:
        found = experiment.workload.beyond_namespace(lambda item: _is_cluster_wide(run.cluster.api, item))
        refusals += map(str, found)
    if run.policy.refuse_alerts:
        refusals += _alerts(run, run.policy.refuse_alerts)
    if refusals:
        raise ClusterRefused(f"the guard refuses {experiment.title}: {'; '.join(refusals)}")


def _is_cluster_wide(api: KubeApi, item: Object) -> bool:
    try:
        return not api.discover(item["apiVersion"], item["kind"]).namespaced
    except ApiError as error:
        # What the cluster does not know it will not take; a definition in the same workload is refused itself.
        if error.not_found:
            return False
        raise


def _alerts(run: Run, wanted: Alerts) -> list[str]:
    if run.prometheus is None:
        # On a cluster of ours nobody else is in trouble; on any other, not to know is no leave to add to it.
        return [] if is_ours(run.cluster.provider) else [_NOBODY_TO_ASK]
    return _firing(run.prometheus, wanted)


def _firing(prometheus: Prometheus, wanted: Alerts) -> list[str]:
    matchers = [f'alertstate="firing",severity=~"{"|".join(wanted.severity)}"']
    matchers += [f'{name}="{escape(value)}"' for name, value in wanted.matchers.items()]
    try:
        firing = prometheus.instant(f"ALERTS{{{','.join(matchers)}}}")
    except PrometheusError as error:
        return [f"whether alerts fire could not be asked: {error}"]
    names = sorted({f"{alert.labels.get('alertname')} ({alert.labels.get('severity')})" for alert in firing})
    return [f"alerts fire: {', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}"] if names else []
