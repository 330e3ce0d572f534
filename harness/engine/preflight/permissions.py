"""The required and optional permissions of a run, collected from the modules that make the API calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.cluster import capabilities
from harness.cluster.kube import services
from harness.cluster.kube.permissions import Permission, within
from harness.cluster.kube.resources import Resource
from harness.cluster.protocol import Capability
from harness.engine.steps import (
    alert_watch,
    credentials,
    deploy,
    diagnostics,
    existing,
    load,
    metrics_watch,
    reach,
    run,
)
from harness.experiment.declaration import Experiment
from harness.experiment.live import kinds
from harness.experiment.load_place import Place
from harness.probes.standard import standard_probes
from harness.prometheus import discovery
from harness.safety.guard import blast, replacement
from harness.safety.halt import order
from harness.safety.leases import lease
from harness.safety.undo import cluster_copy

Permissions = frozenset[Permission]


def needed_by_session() -> Permissions:
    """Return the permissions that every session needs."""
    return order.PERMISSIONS | lease.PERMISSIONS


def useful_to_session(prometheus_url: str = "") -> Permissions:
    """Return the optional permissions of a session: to record the nodes, and to discover Prometheus."""
    return run.PERMISSIONS | (frozenset() if prometheus_url else discovery.PERMISSIONS)


def needed_for(
    experiment: Experiment,
    wanted: Iterable[Capability] = (),
    known: Sequence[Resource] = (),
    place: Place | None = "machine",
) -> Permissions:
    """Return the permissions that one experiment needs in addition to those of the session.

    ``wanted`` are the capabilities it requires, ``known`` the custom resources of its workload that the cluster serves,
    ``place`` is where its load is generated.
    """
    # The pods of the load have a separate namespace, even if the workload's is an existing one.
    in_cluster = load.CLUSTER_PERMISSIONS if place == "cluster" else frozenset()
    return in_cluster | _placed(frozenset().union(*_parts(experiment, frozenset(wanted), known)), experiment)


def useful_for(
    experiment: Experiment, wanted: Iterable[Capability] = (), place: Place | None = "machine"
) -> Permissions:
    """Return the optional permissions of one experiment: without them fewer observations and diagnostics are kept."""
    watched = (probe.permissions for probe in standard_probes() if probe.optional)
    useful = diagnostics.PERMISSIONS.union(metrics_watch.useful_for(experiment.workload.objects), *watched)
    if experiment.existing:
        # Also to compare the objects before and after; a kind that may not be listed is named in a note.
        useful |= kinds.STATE_PERMISSIONS
    placed = _placed(useful, experiment) | metrics_watch.useful_elsewhere(experiment.workload.objects)
    return placed - needed_for(experiment, wanted, (), place)


def _placed(permissions: Permissions, experiment: Experiment) -> Permissions:
    """Return the permissions where the experiment needs them: in its existing namespace only, if it runs in one."""
    return within(permissions, experiment.existing) if experiment.existing else permissions


def _parts(experiment: Experiment, wanted: frozenset[Capability], known: Sequence[Resource]) -> Iterator[Permissions]:
    if experiment.existing:
        yield existing.PERMISSIONS
    else:
        yield deploy.PERMISSIONS
        yield deploy.needed_for(experiment.deployed, disruptive=experiment.disruptive, known=known)
    if experiment.live and (copied := experiment.live.copied):
        yield within(kinds.PERMISSIONS | kinds.reading_secrets(copied.secrets), copied.namespace)
        if experiment.unread:
            # Without a cluster the objects are unknown: any of the kinds that are copied.
            yield deploy.needed_for(kinds.any_object())
    # Needed by every experiment: even its namespace is an entry in the undo journal.
    yield cluster_copy.PERMISSIONS
    watching = standard_probes(experiment.workload.objects)
    yield from (probe.permissions for probe in watching if not probe.optional)
    yield from (probe.permissions for probe in experiment.probes)
    for declared in experiment.every_load.values():
        # A locustfile serves no metrics, so nothing is created for Prometheus.
        plain = experiment.existing or declared.locustfile
        yield services.PERMISSIONS if plain else load.PERMISSIONS
    if experiment.prober:
        yield services.PERMISSIONS
    yield alert_watch.needed_for(experiment.objectives)
    yield credentials.needed_for(experiment.targets)
    yield reach.needed_for(experiment.targets)
    if experiment.faults:
        yield blast.PERMISSIONS
        # Without a cluster the objects of a live workload are unknown: any kind of controller.
        yield replacement.needed_for(kinds.any_object() if experiment.unread else experiment.workload.objects)
    yield from (fault.permissions for fault in experiment.faults)
    yield from (needed for capability, needed in capabilities.PERMISSIONS.items() if capability in wanted)
