"""Installs metrics-server and Prometheus in a cluster without them, from the manifests that the local cluster uses."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from harness.cluster import addons
from harness.cluster.capabilities import served_by_api
from harness.cluster.images import BUILD_HINT, is_published
from harness.cluster.kube.resources import DEPLOYMENTS, NODES
from harness.cluster.protocol import Capability, Cluster
from harness.common.clock import Clock
from harness.common.errors import ApiError, CapabilityMissing, ClusterBroken, TimedOut
from harness.common.progress import Progress
from harness.common.waiting import wait_until

READY_SECONDS = 120.0
METRICS_SERVER = "metrics-server"
# The first NodePort of every range that owned clusters use, and of Kubernetes' default range.
PROMETHEUS_NODE_PORT = 30000
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_PLACES = {METRICS_SERVER: "kube-system", "prometheus": "monitoring"}


def install(cluster: Cluster, wanted: Collection[str], clock: Clock, progress: Progress) -> set[str]:
    """Install ``metrics-server``, ``prometheus`` or both, and wait until they are ready; return the names installed.

    An addon without an image for this cluster is skipped, and so is one that the cluster forbids, with a message.
    Raises ClusterBroken when an installed addon is not ready within ``READY_SECONDS``.
    """
    installed = {addon for addon in wanted if _apply(cluster, addon, progress)}
    try:
        # They start in parallel, so waiting for one after the other takes no longer.
        for addon in sorted(installed):
            wait_until(f"{addon} ready", partial(_look, cluster, addon), READY_SECONDS, clock)
        if METRICS_SERVER in installed:
            # The API server serves the metrics only after its own availability check, some seconds later.
            wait_until("metrics to be served", partial(_served, cluster), READY_SECONDS, clock)
    except (ApiError, TimedOut) as error:
        pulled = any(is_published(cluster.image(addon)) for addon in installed)
        hint = f"; {BUILD_HINT}" if pulled else ""
        raise ClusterBroken(f"{' and '.join(sorted(installed))} could not be installed: {error}{hint}") from error
    return installed


def _apply(cluster: Cluster, addon: str, progress: Progress) -> bool:
    try:
        values = {
            f"{addon.replace('-', '_')}_image": cluster.image(addon),
            "control_plane": steady_node(cluster),
            # kind and kubeadm give kubelets self-signed certificates.
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
        progress(f"{addon} was not installed, permission denied: {error}")
        return False
    return True


def steady_node(cluster: Cluster) -> str:
    """Return the name of a node that experiments do not target: a control plane's, or else the first of all."""
    nodes = cluster.api.list(NODES).items
    nodes.sort(key=lambda node: _CONTROL_PLANE not in node["metadata"].get("labels", {}))
    # The manifests select the node by this label, whose value may differ from the node's name.
    return str(nodes[0]["metadata"].get("labels", {}).get("kubernetes.io/hostname", nodes[0]["metadata"]["name"]))


def _look(cluster: Cluster, addon: str) -> tuple[bool | None, str]:
    status = cluster.api.get(DEPLOYMENTS, addon, _PLACES[addon]).get("status", {})
    return (True if status.get("readyReplicas") else None), f"{status.get('readyReplicas', 0)} replicas ready"


def _served(cluster: Cluster) -> tuple[bool | None, str]:
    return (True if Capability.METRICS_SERVER in served_by_api(cluster.api) else None), "not yet"
