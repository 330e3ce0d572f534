"""The operators that the experiments of a session need, installed in an owned cluster that lacks them."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster.addons.install import steady_node
from harness.cluster.kube.client import Object
from harness.cluster.kube.completeness import is_complete
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.resources import API_SERVICES, DEPLOYMENTS, NAMESPACES
from harness.cluster.local.operators import Operator, operator_objects, operators_for
from harness.cluster.protocol import Cluster
from harness.common.clock import Clock
from harness.common.errors import CapabilityMissing, ClusterBroken, Inconclusive, TimedOut
from harness.common.progress import Progress
from harness.common.timeouts import API_SERVED
from harness.common.waiting import wait_until
from harness.engine.steps import deploy
from harness.engine.steps.apply_order import Stages


def install_operators(cluster: Cluster, objects: Iterable[Object], clock: Clock, progress: Progress) -> None:
    """Install the operators that the objects of all workloads need, and wait until they run.

    Only in an owned cluster: elsewhere experiments without their operator are skipped, with the reason. An operator
    without an image for this cluster is left out too. Raises ClusterBroken, ApiError.
    """
    wanted = operators_for(objects)
    if not wanted or cluster.ownership is Ownership.FOREIGN:
        return
    for operator in wanted:
        try:
            _install(cluster, operator, clock, progress)
        except CapabilityMissing as error:
            progress(f"continuing without {operator.name}: {error}")
        except Inconclusive as error:
            raise ClusterBroken(f"{operator.name} could not be installed: {error}") from error


def _install(cluster: Cluster, operator: Operator, clock: Clock, progress: Progress) -> None:
    api, place = cluster.api, operator.name
    found = [api.find(DEPLOYMENTS, program, place) for program in operator.programs]
    if all(item and is_complete(item) for item in found):
        return
    images = {program: cluster.image(program) for program in operator.programs}
    cluster.bring_images(list(images.values()), progress)
    stages = Stages.of(operator_objects(operator, images, steady_node(cluster), progress))
    progress(f"installing {operator.name}")
    api.apply({"apiVersion": NAMESPACES.group_version, "kind": NAMESPACES.kind, "metadata": {"name": place}})
    deploy.apply_workload(api, place, stages.definitions)
    deploy.wait_defined(api, stages.definitions, clock)
    deploy.apply_workload(api, place, stages.usual)
    # Webhooks too, before the wait: complete Deployments show a later run that nothing is missing.
    deploy.apply_workload(api, place, stages.late)
    deploy.wait_for_workload(api, place, stages.usual, clock)
    for item in stages.late:
        if item["kind"] == API_SERVICES.kind:
            _wait_available(cluster, item["metadata"]["name"], clock)


def _wait_available(cluster: Cluster, service: str, clock: Clock) -> None:
    """Wait until the API server reaches an API service: without one of them it deletes no namespace."""

    def look() -> tuple[bool | None, str]:
        found = cluster.api.get(API_SERVICES, service)
        conditions = (found.get("status") or {}).get("conditions") or [{}]
        return (True if holds(found, "Available") else None), str(conditions[0].get("message", ""))

    try:
        wait_until(service, look, API_SERVED, clock)
    except TimedOut as error:
        why = f"apiservice/{service} was not available within {API_SERVED:g} s: {error.last}"
        raise Inconclusive(why) from error
