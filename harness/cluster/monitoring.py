"""Brings metrics-server and Prometheus to a cluster that has none, from the manifests that the local cluster uses."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from harness.clock import Clock
from harness.cluster import addons
from harness.cluster.capabilities import served_by_api
from harness.cluster.local.progress import Progress
from harness.cluster.protocol import Capability, Cluster
from harness.cluster.resources import DEPLOYMENTS, NODES
from harness.errors import ApiError, CapabilityMissing, ClusterBroken, TimedOut
from harness.waiting import wait_until

READY_SECONDS = 120.0
METRICS_SERVER = "metrics-server"
# The first NodePort of any range that clusters of ours use; the default range begins with it too.
PROMETHEUS_NODE_PORT = 30000
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_PLACES = {METRICS_SERVER: "kube-system", "prometheus": "monitoring"}


def install(cluster: Cluster, wanted: Collection[str], clock: Clock, progress: Progress) -> set[str]:
    """Install ``metrics-server``, ``prometheus`` or both, and wait until they are ready. The names of those installed.

    What this cluster has no image for, or does not allow, is left out and told. Raises ClusterBroken when one that was
    installed does not become ready.
    """
    installed = {addon for addon in wanted if _apply(cluster, addon, progress)}
    try:
        # They start at the same time, so that waiting for one after the other costs nothing.
        for addon in sorted(installed):
            wait_until(f"{addon} ready", partial(_look, cluster, addon), READY_SECONDS, clock)
        if METRICS_SERVER in installed:
            # The API server looks for itself, some seconds later, and answers for the metrics only then.
            wait_until("metrics to be served", partial(_served, cluster), READY_SECONDS, clock)
    except (ApiError, TimedOut) as error:
        raise ClusterBroken(f"{' and '.join(sorted(installed))} could not be installed: {error}") from error
    return installed


def _apply(cluster: Cluster, addon: str, progress: Progress) -> bool:
    try:
        values = {
            f"{addon.replace('-', '_')}_image": cluster.image(addon),
            "control_plane": _steady_node(cluster),
            # The kubelets' certificates of kind and kubeadm are signed by nobody.
            "kubelet_insecure": "true",
            "kubelet_trust": addons.TRUST_ANY,
            "prometheus_node_port": str(PROMETHEUS_NODE_PORT),
        }
        for body in addons.render(addon, values):
            cluster.api.apply(body)
    except CapabilityMissing:
        return False
    except ApiError as error:
        if error.status != 403:
            raise ClusterBroken(f"{addon} could not be installed: {error}") from error
        progress(f"{addon} is not installed, which is not allowed here: {error}")
        return False
    return True


def _steady_node(cluster: Cluster) -> str:
    """Where experiments do not reach: a control plane's node, else the first of all."""
    nodes = cluster.api.list(NODES).items
    nodes.sort(key=lambda node: _CONTROL_PLANE not in node["metadata"].get("labels", {}))
    return str(nodes[0]["metadata"].get("labels", {}).get("kubernetes.io/hostname", nodes[0]["metadata"]["name"]))


def _look(cluster: Cluster, addon: str) -> tuple[bool | None, str]:
    status = cluster.api.get(DEPLOYMENTS, addon, _PLACES[addon]).get("status", {})
    return (True if status.get("readyReplicas") else None), f"{status.get('readyReplicas', 0)} replicas ready"


def _served(cluster: Cluster) -> tuple[bool | None, str]:
    return (True if Capability.METRICS_SERVER in served_by_api(cluster.api) else None), "not yet"
