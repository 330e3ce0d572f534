"""Check whether a cluster has everything that an experiment needs, before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.cluster.kube.autoscalers import metric_kinds
from harness.cluster.kube.client import Object
from harness.cluster.kube.grants import granted_by
from harness.cluster.kube.permissions import Permission, defined_by, denied
from harness.cluster.kube.resources import VERTICAL_AUTOSCALERS, Resource
from harness.cluster.kube.services import NODE_PORT
from harness.cluster.protocol import Capability, Cluster
from harness.common.errors import CapabilityMissing
from harness.engine.preflight.facts import Facts
from harness.engine.preflight.images import Images
from harness.engine.preflight.permissions import needed_for, useful_for
from harness.engine.steps import alert_watch
from harness.engine.steps.cluster_load import runner_image
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.experiment.load_place import Place, is_generated_here, load_place, one_place
from harness.experiment.manifests import Workload, images_in
from harness.experiment.target_checks import out_of_reach
from harness.experiment.target_checks import unreachable as why_not
from harness.experiment.workload_checks.conflicts import scaled_twice
from harness.probes.prometheus.query import SCRAPES_PER_WINDOW, SERIES, windows
from harness.prometheus.client import Prometheus, PrometheusError
from harness.traffic.target.declaration import Target

_METRIC_SOURCES = {
    "Resource": Capability.METRICS_SERVER,
    "ContainerResource": Capability.METRICS_SERVER,
    "External": Capability.EXTERNAL_METRICS,
    "Pods": Capability.CUSTOM_METRICS,
    "Object": Capability.CUSTOM_METRICS,
}


def missing(run: Run, facts: Facts, experiment: Experiment) -> list[str]:
    """Return one short text for everything that the cluster lacks for an experiment. Raises ApiError."""
    place = run.load_place(experiment)
    wanted = required_capabilities(experiment, place)
    lacking = wanted - run.cluster.capabilities() if wanted else set()
    known, unknown = _custom_resources(facts, experiment)
    others = [
        *dict.fromkeys(_unreachable(experiment, place)),
        *_images(run.cluster, experiment),
        *_prometheus(run.prometheus, experiment),
        *alert_watch.lacking(run, experiment.objectives),
    ]
    if place == "cluster" and not run.runner_image and (why := run.cluster.no_runner_image()):
        if one_place(experiment, lambda load: load_place(load, experiment.workload, run.load_from)) == "machine":
            # Either would do: a nodePort that this machine can dial, or an image for pods.
            lacking |= {Capability.LOAD_BALANCED_SERVICE}
        others.append(f"the load must be generated in the cluster: {why}")
    return [*map(str, sorted(lacking)), *unknown, *others, *_forbidden(run, experiment, known)]


def require(run: Run, experiment: Experiment) -> None:
    """Raise CapabilityMissing with everything that is missing, InputError with all images that are not available."""
    lacking = missing(run, Facts.of(run, experiment), experiment)
    if lacking:
        raise CapabilityMissing("; ".join(lacking))
    Images.of(run.cluster, experiment).require()
    place = run.load_place(experiment)
    if place == "cluster":
        # Now, since it may take a while to make, and an error must come before anything is deployed.
        runner_image(run)
    unseen = _denied(run, experiment, useful_for(experiment, place=place))
    if unseen:
        run.progress(f"{experiment.title}: optional permissions denied, continuing without: {', '.join(unseen)}")
    for conflict in scaled_twice(experiment.deployed):
        run.progress(f"{experiment.title}: {conflict}")


def permissions(experiment: Experiment, place: Place | None = None) -> frozenset[Permission]:
    """Return all permissions of an experiment: the ones it needs and the optional ones.

    ``place`` is where its load is generated; None to decide it by the experiment alone.
    """
    if place is None:
        place = one_place(experiment, lambda load: load_place(load, experiment.workload))
    wanted = required_capabilities(experiment, place)
    # The rules of the workload's own roles instead of "escalate", which would allow the run to grant any permission.
    granted = (rules or {other} for other, rules in granted_by(experiment.deployed).items())
    return needed_for(experiment, wanted, (), place).union(useful_for(experiment, wanted, place), *granted)


def required_capabilities(experiment: Experiment, place: Place | None = "machine") -> set[Capability]:
    """Return the capabilities that the cluster must have for an experiment with its load generated at ``place``."""
    return set(_capabilities(experiment, place))


def _custom_resources(facts: Facts, experiment: Experiment) -> tuple[list[Resource], list[str]]:
    """Return the custom resources of the workload that the cluster serves, and a text for each one it does not serve.

    Kinds that the workload itself defines are left out."""
    defined = {(found.group_version, found.kind) for found in defined_by(experiment.deployed)}
    others = {each: resource for each, resource in facts.kinds.items() if each not in defined}
    unknown = [
        f"the cluster has no {kind} in {api_version}: install its CustomResourceDefinition"
        for (api_version, kind), resource in others.items()
        if resource is None
    ]
    return [resource for resource in others.values() if resource], unknown


def _forbidden(run: Run, experiment: Experiment, known: Sequence[Resource]) -> Iterator[str]:
    place = run.load_place(experiment)
    needed = needed_for(experiment, required_capabilities(experiment, place), known, place)
    yield from (f"permission denied: {permission}" for permission in _denied(run, experiment, needed))
    for other, rules in granted_by(experiment.deployed).items():
        if _denied(run, experiment, {other}):
            lacking = _denied(run, experiment, rules) if rules else []
            if lacking or not rules:
                grants = f", but the workload's roles grant it: {', '.join(lacking)}" if lacking else ""
                yield f"permission denied: {other}{grants}"


def _denied(run: Run, experiment: Experiment, wanted: Iterable[Permission]) -> list[str]:
    return denied(run.cluster.api, wanted, run.namespace_of(experiment), run.granted)


def _dialled(experiment: Experiment, place: Place | None) -> tuple[Target, ...]:
    """Return the targets that are dialled from this machine."""
    if place != "cluster":
        return experiment.targets
    own = (load.target for load in experiment.every_load.values() if is_generated_here(load))
    return (*own, *(probing.aim.target for probing in experiment.prober))


def _unreachable(experiment: Experiment, place: Place | None) -> Iterator[str]:
    """Yield why this machine cannot reach a target; for the target of a locustfile also why the load is not moved."""
    own = [load.target for load in experiment.every_load.values() if load.locustfile]
    for target in _dialled(experiment, place):
        why = (out_of_reach if target in own else why_not)(target, experiment.workload)
        if why:
            yield why


def _capabilities(experiment: Experiment, place: Place | None) -> Iterator[Capability]:
    if any(_uses_node_port(target, experiment.workload) for target in _dialled(experiment, place)):
        yield Capability.LOAD_BALANCED_SERVICE
    for fault in experiment.faults:
        yield from fault.requires
    # What runs in an existing namespace has what it needs.
    for item in experiment.deployed:
        spec = item.get("spec") or {}
        if any(_wants_default_class(claim) for claim in _claims(item, spec)):
            yield Capability.DYNAMIC_VOLUMES
        if item["kind"] == VERTICAL_AUTOSCALERS.kind:
            yield Capability.METRICS_SERVER
    for kind in metric_kinds(experiment.deployed):
        if kind in _METRIC_SOURCES:
            yield _METRIC_SOURCES[kind]


def _uses_node_port(target: Target, workload: Workload) -> bool:
    namespace, through, _ = target.through
    name = target.name if target.kind == "service" else "" if namespace else through
    # Another Service may have its own address, as may an Ingress: that is only certain once it runs.
    service = workload.find(f"service/{name}") if name else None
    return service is not None and service["spec"].get("type") == NODE_PORT


def _claims(item: Object, spec: Object) -> list[Object]:
    if item["kind"] == "PersistentVolumeClaim":
        return [item]
    return list(spec.get("volumeClaimTemplates") or []) if item["kind"] == "StatefulSet" else []


def _wants_default_class(claim: Object) -> bool:
    # An empty name is not the default class: it selects a manually created volume.
    return (claim.get("spec") or {}).get("storageClassName") is None


def _images(cluster: Cluster, experiment: Experiment) -> Iterator[str]:
    names = set(experiment.workload.images())
    for fault in experiment.faults:
        names.update(images_in(fault.model_dump(by_alias=True, exclude_unset=True)))
    for name in sorted(names):
        try:
            cluster.image(name)
        except CapabilityMissing as error:
            yield str(error)


def _prometheus(prometheus: Prometheus | None, experiment: Experiment) -> Iterator[str]:
    querying = [objective for objective in experiment.objectives if objective.kind == SERIES]
    if prometheus is None and experiment.abort:
        yield f"no Prometheus found, needed for the abort condition {experiment.abort[0].name}"
    if not querying:
        return
    if prometheus is None:
        yield f"no Prometheus found, needed for {' and '.join(objective.title for objective in querying)}"
        return
    try:
        least = SCRAPES_PER_WINDOW * prometheus.scrape_interval()
    except PrometheusError as error:
        yield f"the cluster's Prometheus does not answer: {error}"
        return
    for name in sorted({name for objective in querying for name in windows(objective)}):
        length = experiment.phases.measured(name)
        if length < least:
            yield f"Prometheus scrapes too rarely for a {name} of {length:g} s: at least {least:g} s needed"
