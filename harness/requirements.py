"""What an experiment asks of a cluster, held against what the cluster can do, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator

from harness.access import needed_for, useful_for
from harness.cluster.api import Object
from harness.cluster.permissions import Permission, denied
from harness.cluster.protocol import Capability
from harness.errors import CapabilityMissing
from harness.experiment import Experiment
from harness.manifests import images_in
from harness.probes.prometheus import PrometheusError
from harness.probes.prometheus_query import SCRAPES_PER_WINDOW, SERIES, windows
from harness.run import Run

_OWN_METRICS = {"Resource", "ContainerResource"}


def missing(run: Run, experiment: Experiment) -> list[str]:
    """What this cluster cannot do for an experiment, in a few words each; empty when it can do all. Raises ApiError."""
    wanted = capabilities_asked(experiment)
    lacking = sorted(wanted - run.cluster.capabilities()) if wanted else []
    return [*map(str, lacking), *_images(run, experiment), *_prometheus(run, experiment), *_forbidden(run, experiment)]


def require(run: Run, experiment: Experiment) -> None:
    """Raises CapabilityMissing with everything that is missing."""
    lacking = missing(run, experiment)
    if lacking:
        raise CapabilityMissing("; ".join(lacking))
    unseen = denied(run.cluster.api, useful_for(experiment), run.namespace_of(experiment), run.granted)
    if unseen:
        run.progress(f"{experiment.title}: goes without what is not allowed: {', '.join(unseen)}")


def permissions(experiment: Experiment) -> frozenset[Permission]:
    """What the API server should allow for an experiment: what it needs, and what it makes use of."""
    wanted = capabilities_asked(experiment)
    return needed_for(experiment, wanted) | useful_for(experiment, wanted)


def capabilities_asked(experiment: Experiment) -> set[Capability]:
    """What an experiment asks the cluster to be able to do."""
    return set(_capabilities(experiment))


def _forbidden(run: Run, experiment: Experiment) -> Iterator[str]:
    namespace = run.namespace_of(experiment)
    needed = needed_for(experiment, capabilities_asked(experiment))
    for permission in denied(run.cluster.api, needed, namespace, run.granted):
        yield f"may not {permission}"


def _capabilities(experiment: Experiment) -> Iterator[Capability]:
    if experiment.load:
        yield Capability.LOAD_BALANCED_SERVICE
    for fault in experiment.faults:
        yield from fault.requires
    for item in experiment.workload.objects:
        spec = item.get("spec") or {}
        if any(_wants_default_class(claim) for claim in _claims(item, spec)):
            yield Capability.DYNAMIC_VOLUMES
        if item["kind"] == "HorizontalPodAutoscaler":
            kinds = {metric.get("type") for metric in spec.get("metrics") or [{"type": "Resource"}]}
            if kinds & _OWN_METRICS:
                yield Capability.METRICS_SERVER


def _claims(item: Object, spec: Object) -> list[Object]:
    if item["kind"] == "PersistentVolumeClaim":
        return [item]
    return list(spec.get("volumeClaimTemplates") or []) if item["kind"] == "StatefulSet" else []


def _wants_default_class(claim: Object) -> bool:
    # An empty name is a wish too: for a volume that somebody has made by hand.
    return (claim.get("spec") or {}).get("storageClassName") is None


def _images(run: Run, experiment: Experiment) -> Iterator[str]:
    asked = set(experiment.workload.images())
    for fault in experiment.faults:
        asked.update(images_in(fault.model_dump(by_alias=True, exclude_unset=True)))
    for name in sorted(asked):
        try:
            run.cluster.image(name)
        except CapabilityMissing as error:
            yield str(error)


def _prometheus(run: Run, experiment: Experiment) -> Iterator[str]:
    asking = [objective for objective in experiment.objectives if objective.kind == SERIES]
    if run.prometheus is None and experiment.abort:
        yield f"no Prometheus, which the abort condition {experiment.abort[0].name} would have to be asked of"
    if not asking:
        return
    if run.prometheus is None:
        yield f"no Prometheus, which {' and '.join(objective.title for objective in asking)} would have to be asked of"
        return
    try:
        least = SCRAPES_PER_WINDOW * run.prometheus.scrape_interval()
    except PrometheusError as error:
        yield f"its Prometheus does not answer: {error}"
        return
    for name in sorted({name for objective in asking for name in windows(objective)}):
        length = experiment.phases.length(name)
        # The recovery's length is a maximum: how long it was is known when it is over.
        if length < least:
            yield f"its Prometheus scrapes too rarely for a {name} of {length:g} s: {least:g} s would be needed"
