"""Starts a local cluster, in the order of its dependencies.

All heavy work is in other processes, so one thread starts as much as possible before each wait:
namespaces → network → (store, API server, registry, container runtimes, gateway) → API ready → (controllers, nodes,
kubelets, addons, proxies) → nodes and addons Ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from harness.cluster import addons
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.transport import HttpTransport
from harness.cluster.local import (
    cgroups,
    containerd,
    control_plane,
    gateway,
    network,
    nodes,
    registry,
    sockets,
    unpacked,
)
from harness.cluster.local.credentials import Credentials, context_name
from harness.cluster.local.images import ImageSet
from harness.cluster.local.inventory import Inventory, programs_of
from harness.cluster.local.loaded_images import LoadedImages
from harness.cluster.local.namespaces import HOLDER, READY, SYSTEM_GROUP, Namespaces, node_holder, switch_holder
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import API_PORT, DNS_ADDRESS, GATEWAY, SWITCH, Node
from harness.cluster.local.readiness import Readiness
from harness.cluster.local.state import LOOPBACK, ClusterState
from harness.common.clock import Clock
from harness.common.progress import Progress

# metrics-server starts first, since it needs two scrapes before it is ready.
ADDONS = ("metrics-server", "dns", "prometheus", "storage")


class Boot:
    """Starts the programs of one cluster: all programs of a new cluster, or those that ended."""

    def __init__(self, state: ClusterState, paths: ClusterPaths, clock: Clock, progress: Progress) -> None:
        self._state = state
        self._plan = state.plan
        self._paths = paths
        self._clock = clock
        self._progress = progress
        self._images = ImageSet(Path(state.images))
        self._programs = programs_of(state.name, paths)
        self._readiness = Readiness(self._programs, clock, progress)
        self._nodes: dict[str, Namespaces] = {}

    def run(self) -> None:
        """Boot the cluster and wait until it is ready. Raises ClusterBroken with the failed program and its log."""
        self._make_groups()
        self._open_namespaces()
        self._write_files()
        self._start_foundation()
        api = self._wait_for_api()
        self._start_cluster(api)
        self._readiness.cluster(api, self._plan)
        api.close()

    def restart(self, ended: Sequence[tuple[str, str]]) -> None:
        """Start programs, given as (node, name), that ended in a booted cluster. Raises ClusterBroken."""
        # Without ``readiness``, whose waits fail because of the programs that ended and are not started yet.
        holders = {node.role: self._programs.pid(node.role, HOLDER) for node in self._plan.nodes}
        self._nodes = {role: Namespaces(holder) for role, holder in holders.items() if holder is not None}
        for role, name in ended:
            self._start(role, name)
        # The registry keeps manifests in memory only, so they are lost when it ends.
        self._readiness.local("the image registry", self._publish_images)
        api = self._wait_for_api()
        self._readiness.cluster(api, self._plan)
        api.close()

    def _make_groups(self) -> None:
        for role in [SWITCH, GATEWAY, *(node.role for node in self._plan.nodes)]:
            cgroups.make(cgroups.group(self._plan.cluster, role), SYSTEM_GROUP)

    def _open_namespaces(self) -> None:
        # All holders are started before the first wait, since they set up their namespaces at the same time.
        self._programs.start(switch_holder(self._plan.cluster))
        for node in self._plan.nodes:
            paths = self._paths.node(node.role)
            self._programs.start(node_holder(self._plan.cluster, node, paths, Path(self._state.binaries)))
        for node in self._plan.nodes:
            self._readiness.local(
                f"the file system of {node.name}", (self._paths.node(node.role).config / READY).exists
            )
            self._nodes[node.role] = self._namespaces(node.role)
        network.connect(self._plan, self._namespaces(SWITCH), self._nodes)
        self._progress(f"network of {len(self._plan.nodes)} nodes")

    def _namespaces(self, role: str) -> Namespaces:
        self._readiness.local(f"the namespaces of {role}", lambda: self._programs.pid(role, HOLDER) is not None)
        return Namespaces(self._programs.pid(role, HOLDER) or 0)

    def _write_files(self) -> None:
        Credentials(self._plan, self._paths).write(self._state.api_port)
        pause = self._images.reference("pause")
        prepared = unpacked.folder_of(Path(self._state.images), nodes.snapshotter(self._paths.root))
        for node in self._plan.nodes:
            paths = self._paths.node(node.role)
            nodes.write_files(self._plan, node, paths, pause)
            unpacked.give(prepared, paths.var)
        registry.link_blobs(self._images, self._paths.node(self._plan.control_plane.role))

    def _start_foundation(self) -> None:
        control = self._plan.control_plane.role
        for name in (control_plane.ETCD, control_plane.API_SERVER, control_plane.REGISTRY):
            self._start(control, name)
        for node in self._plan.nodes:
            self._start(node.role, containerd.NAME)
        self._start(GATEWAY, gateway.NAME)
        self._readiness.local("the image registry", self._publish_images)
        self._start_kubelets()

    def _start_kubelets(self) -> None:
        """Start the kubelets as soon as the API server listens.

        It accepts connections seconds before it answers. A kubelet started at this moment initializes in the meantime
        and then gets its answer at once; a kubelet whose connection is refused would back off for seconds.
        """
        control = self._nodes[self._plan.control_plane.role]
        address = (LOOPBACK, API_PORT)
        self._readiness.local("the API server to listen", lambda: sockets.listens(control.network, address))
        for node in self._plan.nodes:
            socket = self._nodes[node.role].file(containerd.SOCKET)
            self._readiness.local(f"containerd on {node.name}", socket.exists)
            self._start(node.role, nodes.KUBELET)

    def _start(self, role: str, name: str) -> None:
        self._programs.start(Inventory(self._state, self._paths, self._nodes).program(role, name))

    def _publish_images(self) -> bool:
        try:
            control = self._nodes[self._plan.control_plane.role]
            registry.publish(self._images, control)
            LoadedImages(self._plan, self._paths).publish(control)
        # The registry was only just started: refused connections are expected until it listens.
        except ConnectionError:
            return False
        return True

    def _wait_for_api(self) -> KubeApi:
        transport = HttpTransport.from_kubeconfig(self._paths.kubeconfig, context_name(self._plan.cluster))
        self._readiness.api_server(transport)
        self._progress("API server ready")
        return KubeApi(transport, self._clock)

    def _start_cluster(self, api: KubeApi) -> None:
        for name in (control_plane.CONTROLLER_MANAGER, control_plane.SCHEDULER):
            self._start(self._plan.control_plane.role, name)
        for node in self._plan.nodes:
            api.apply(node_object(node))
        apply_all(api, addon_objects(self._state, self._images))
        for node in self._plan.nodes:
            self._start(node.role, nodes.KUBE_PROXY)
        self._progress("controllers, kubelets and addons started")


def node_object(node: Node) -> dict[str, Any]:
    """Return the Node object with what its kubelet may not set: the role label and the pod CIDR.

    The Node is created by this object or by the kubelet, whichever is first. So both have everything that affects
    scheduling.
    """
    # A kubelet rejects node-role.kubernetes.io labels in --node-labels, and NodeRestriction does so in the API.
    role = nodes.CONTROL_PLANE_TAINT["key"] if node.is_control_plane else "node-role.kubernetes.io/worker"
    labels = {**nodes.node_labels(node), "kubernetes.io/hostname": node.name, role: ""}
    spec: dict[str, Any] = {"podCIDR": node.pod_cidr, "podCIDRs": [node.pod_cidr]}
    if node.is_control_plane:
        spec["taints"] = [nodes.CONTROL_PLANE_TAINT]
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name, "labels": labels}, "spec": spec}


def addon_objects(state: ClusterState, images: ImageSet) -> list[dict[str, Any]]:
    """Return all objects of all addons, in the order to apply them."""
    values = addon_values(state, images)
    return [body for name in ADDONS for body in addons.render(name, values)]


def apply_all(api: KubeApi, bodies: Sequence[dict[str, Any]]) -> None:
    """Apply objects, those of different API groups in parallel, since each call may be slow on a busy machine.

    Namespaces are applied first. The rest may be created in any order: controllers retry missing references.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for body in bodies:
        if body["kind"] == "Namespace":
            api.apply(body)
        else:
            groups.setdefault(body["apiVersion"], []).append(body)
    # A client per thread: a KubeApi is for one thread only.
    with ThreadPoolExecutor(len(groups)) as pool:
        for done in [pool.submit(_apply_group, api.clone(), group) for group in groups.values()]:
            done.result()


def _apply_group(api: KubeApi, bodies: Sequence[dict[str, Any]]) -> None:
    with closing(api):
        for body in bodies:
            api.apply(body)


def addon_values(state: ClusterState, images: ImageSet) -> dict[str, str]:
    """Return the values of the addons' placeholders for a local cluster."""
    pictured = ("coredns", "metrics-server", "prometheus", "storage-provisioner")
    return {
        **{f"{name.replace('-', '_')}_image": images.reference(name) for name in pictured},
        "control_plane": state.plan.control_plane.name,
        "dns_address": DNS_ADDRESS,
        # The kubelets' serving certificates are signed by the cluster's authority. On kind clusters they are
        # self-signed.
        "kubelet_insecure": "false",
        "kubelet_trust": addons.TRUST_AUTHORITY,
        "prometheus_node_port": str(state.prometheus_port),
    }
