"""What a run needs to be allowed, and what it goes without: gathered from what its parts declare beside their calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness import arrange, diagnostics, lease, run, target_load, undo_copy
from harness.cluster import capabilities, services
from harness.cluster.permissions import Permission
from harness.cluster.protocol import Capability
from harness.experiment import Experiment
from harness.guard import blast
from harness.halt import order
from harness.probes import prometheus_discovery
from harness.probes.standard import standard_probes

Permissions = frozenset[Permission]


def needed_by_session() -> Permissions:
    """What every session needs, whatever its experiments are."""
    return order.PERMISSIONS | lease.PERMISSIONS


def useful_to_session(prometheus_url: str = "") -> Permissions:
    """What a session goes without where it is not allowed: nodes in its record, and a Prometheus that it finds."""
    return run.PERMISSIONS | (frozenset() if prometheus_url else prometheus_discovery.PERMISSIONS)


def needed_for(experiment: Experiment, wanted: Iterable[Capability] = ()) -> Permissions:
    """What one experiment needs besides; ``wanted`` are the capabilities that it asks the cluster for."""
    return frozenset().union(*_parts(experiment, frozenset(wanted)))


def useful_for(experiment: Experiment, wanted: Iterable[Capability] = ()) -> Permissions:
    """What one experiment goes without where it is not allowed: less is seen of the cluster, and less evidence kept."""
    watched = (probe.permissions for probe in standard_probes() if probe.optional)
    return diagnostics.PERMISSIONS.union(*watched) - needed_for(experiment, wanted)


def _parts(experiment: Experiment, wanted: frozenset[Capability]) -> Iterator[Permissions]:
    yield arrange.PERMISSIONS
    yield arrange.needed_for(experiment.workload.objects, disruptive=experiment.disruptive)
    # The namespace alone is an effect that stands in the journal.
    yield undo_copy.PERMISSIONS
    yield from (probe.permissions for probe in standard_probes() if not probe.optional)
    yield from (probe.permissions for probe in experiment.probes)
    if experiment.load:
        yield target_load.PERMISSIONS
    if experiment.prober:
        yield services.PERMISSIONS
    if experiment.faults:
        yield blast.PERMISSIONS
    yield from (fault.permissions for fault in experiment.faults)
    yield from (needed for capability, needed in capabilities.PERMISSIONS.items() if capability in wanted)
