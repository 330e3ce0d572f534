"""What a run needs to be allowed: gathered from what its parts declare beside the calls that they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness import arrange, diagnostics, lease, run, target_load, undo_copy
from harness.cluster import capabilities
from harness.cluster.permissions import Permission
from harness.cluster.protocol import Capability
from harness.experiment import Experiment
from harness.halt import order
from harness.probes import prometheus_discovery
from harness.probes.standard import standard_probes

Permissions = frozenset[Permission]


def needed_by_session(prometheus_url: str = "") -> Permissions:
    """What every session needs, whatever its experiments are."""
    looking: Permissions = frozenset() if prometheus_url else prometheus_discovery.PERMISSIONS
    return order.PERMISSIONS | lease.PERMISSIONS | run.PERMISSIONS | looking


def needed_for(experiment: Experiment, wanted: Iterable[Capability] = ()) -> Permissions:
    """What one experiment needs besides; ``wanted`` are the capabilities that it asks the cluster for."""
    return frozenset().union(*_parts(experiment, frozenset(wanted)))


def _parts(experiment: Experiment, wanted: frozenset[Capability]) -> Iterator[Permissions]:
    yield arrange.PERMISSIONS
    yield arrange.needed_for(experiment.workload.objects)
    yield diagnostics.PERMISSIONS
    yield from (probe.permissions for probe in standard_probes())
    yield from (probe.permissions for probe in experiment.probes)
    if experiment.load:
        yield target_load.PERMISSIONS
    if experiment.faults:
        yield undo_copy.PERMISSIONS
    yield from (fault.permissions for fault in experiment.faults)
    yield from (needed for capability, needed in capabilities.PERMISSIONS.items() if capability in wanted)
