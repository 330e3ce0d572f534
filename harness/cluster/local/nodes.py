"""A node's kubelet and kube-proxy, and the files that they and containerd read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.cluster.local import cgroups, containerd
from harness.cluster.local.cgroups import group
from harness.cluster.local.control_plane import NODE_STATUS_PERIOD
from harness.cluster.local.credentials import PKI
from harness.cluster.local.namespaces import BIN, CONFIG, SYSTEM_GROUP, Namespaces
from harness.cluster.local.network import cni_text
from harness.cluster.local.paths import NodePaths
from harness.cluster.local.plan import CLUSTER_CIDR, CLUSTER_DOMAIN, DNS_ADDRESS, REGION, Node, Plan
from harness.cluster.local.processes import Program

KUBELET = "kubelet"
KUBE_PROXY = "kube-proxy"
CONTROL_PLANE_TAINT = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
CAP_SYS_RESOURCE = 24


def kubelet_config(cluster: str, node: Node, cgroup_v1: bool) -> dict[str, Any]:
    """The ``KubeletConfiguration`` of a node."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{PKI}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{PKI}/kubelet.crt",
        "tlsPrivateKeyFile": f"{PKI}/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{containerd.SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{group(cluster, node.role)}",
        # Version 1 is refused by default since 1.35.
        "failCgroupV1": not cgroup_v1,
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [DNS_ADDRESS],
        "resolvConf": f"{CONFIG}/resolv.conf",
        # The default below /usr cannot be written here.
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "registerWithTaints": [CONTROL_PLANE_TAINT] if node.is_control_plane else [],
        "nodeStatusUpdateFrequency": NODE_STATUS_PERIOD,
        "failSwapOn": False,
        "serializeImagePulls": False,
        "oomScoreAdj": 0,
        # The disk is the machine's, whose fullness says nothing about the node: never evict or collect for it.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "logging": {"flushFrequency": "1s"},
    }


def kube_proxy_config(node: Node) -> dict[str, Any]:
    """The ``KubeProxyConfiguration`` of a node."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node.name,
        "clientConnection": {"kubeconfig": f"{CONFIG}/kube-proxy.kubeconfig"},
        "clusterCIDR": CLUSTER_CIDR,
        # Zero leaves the machine-wide connection tracking limits as they are: they are not this node's to write.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "oomScoreAdj": 0,
    }


def node_labels(node: Node) -> dict[str, str]:
    """The labels that a node registers itself with."""
    return {"topology.kubernetes.io/zone": node.zone, "topology.kubernetes.io/region": REGION}


def write_files(plan: Plan, node: Node, paths: NodePaths, pause_image: str) -> None:
    """Write every configuration file of a node except its credentials."""
    folder = paths.config
    files = {
        "containerd.toml": containerd.config(pause_image, snapshotter(paths.root), may_lower_oom_score()),
        "registries/_default/hosts.toml": containerd.registry_hosts(plan.registry),
        "cni/10-pods.conflist": cni_text(node),
        "kubelet.json": json.dumps(kubelet_config(plan.cluster, node, cgroups.is_v1()), indent=2),
        "kube-proxy.json": json.dumps(kube_proxy_config(node), indent=2),
        # Names outside of the cluster do not resolve: nothing out there can be reached.
        "resolv.conf": f"nameserver {DNS_ADDRESS}\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def kubelet(cluster: str, node: Node, namespaces: Namespaces) -> Program:
    """The kubelet of a node."""
    labels = ",".join(f"{key}={value}" for key, value in node_labels(node).items())
    command = namespaces.enter(
        f"{BIN}/{KUBELET}",
        f"--config={CONFIG}/kubelet.json",
        f"--kubeconfig={CONFIG}/kubelet.kubeconfig",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels={labels}",
        # Default 10 s: how fresh the CPU and memory numbers are that autoscalers and Prometheus see.
        "--housekeeping-interval=5s",
    )
    return Program(node.role, KUBELET, command, group(cluster, node.role, SYSTEM_GROUP))


def kube_proxy(cluster: str, node: Node, namespaces: Namespaces) -> Program:
    """The kube-proxy of a node."""
    command = namespaces.enter(f"{BIN}/{KUBE_PROXY}", f"--config={CONFIG}/kube-proxy.json")
    return Program(node.role, KUBE_PROXY, command, group(cluster, node.role, SYSTEM_GROUP))


def may_lower_oom_score() -> bool:
    """Whether this process, and so every container, may be given a negative OOM score (CAP_SYS_RESOURCE)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return False


def snapshotter(folder: Path, mountinfo: str | None = None) -> str:
    """``overlayfs``, or ``native`` where the folder lies on an overlay already, which cannot carry another."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    best, kind = "", ""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4]
        inside = folder.is_relative_to(mount)
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return "native" if kind == "overlay" else "overlayfs"
