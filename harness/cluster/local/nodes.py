"""A node's kubelet and kube-proxy, and the configuration files for them and containerd."""

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
# Bytes. Experiments of databases need about a third of it on one node.
WORKER_MEMORY = 3 * 1024**3
CONTROL_PLANE_TAINT = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
# Its number in linux/capability.h, and so its bit in CapEff.
CAP_SYS_RESOURCE = 24


def kubelet_config(cluster: str, node: Node, cgroup_v1: bool, memory: int | None = None) -> dict[str, Any]:
    """Return the ``KubeletConfiguration`` of a node; ``memory`` are the bytes of the machine, by default this one's."""
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
        # Since Kubernetes 1.35 the default refuses control groups of version 1.
        "failCgroupV1": not cgroup_v1,
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [DNS_ADDRESS],
        "resolvConf": f"{CONFIG}/resolv.conf",
        # The default is below /usr, which is read-only on a node.
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "registerWithTaints": [CONTROL_PLANE_TAINT] if node.is_control_plane else [],
        "nodeStatusUpdateFrequency": NODE_STATUS_PERIOD,
        # The machine may use swap, and a node cannot switch it off for itself alone.
        "failSwapOn": False,
        # By default a node pulls one image at a time.
        "serializeImagePulls": False,
        "oomScoreAdj": 0,
        # The disk is shared with the machine, so its usage is unrelated to the node: no evictions or image GC for it.
        "evictionHard": {
            # The kubelet looks every ten seconds. By default it begins 100 Mi before the kernel kills.
            "memory.available": "400Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        # By default a node takes no pods of the lowest class for five minutes after its memory was short.
        "evictionPressureTransitionPeriod": "10s",
        "systemReserved": _reserved(node, machine_memory() if memory is None else memory),
        "imageGCHighThresholdPercent": 100,
        "logging": {"flushFrequency": "1s"},
    }


def _reserved(node: Node, memory: int) -> dict[str, str]:
    """Return what a node keeps from its pods: of a worker all but WORKER_MEMORY of the machine's memory."""
    # Nodes share the machine. The pods of a worker get the memory of a small one, as the limit of their control group,
    # so that memory can run short on that node alone.
    spare = 0 if node.is_control_plane else max(0, memory - WORKER_MEMORY)
    return {"memory": str(spare)} if spare else {}


def machine_memory() -> int:
    """Return the bytes of this machine's memory, as the kubelet reads them."""
    text = Path("/proc/meminfo").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemTotal:"))


def kube_proxy_config(node: Node) -> dict[str, Any]:
    """Return the ``KubeProxyConfiguration`` of a node."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node.name,
        "clientConnection": {"kubeconfig": f"{CONFIG}/kube-proxy.kubeconfig"},
        "clusterCIDR": CLUSTER_CIDR,
        # Zero keeps the connection tracking limits, which are settings of the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        # The default of -999 needs CAP_SYS_RESOURCE.
        "oomScoreAdj": 0,
    }


def node_labels(node: Node) -> dict[str, str]:
    """Return the labels that a node registers with."""
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
        # Names outside the cluster do not resolve: nodes reach nothing outside.
        "resolv.conf": f"nameserver {DNS_ADDRESS}\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def kubelet(cluster: str, node: Node, namespaces: Namespaces) -> Program:
    """Return the kubelet of a node."""
    labels = ",".join(f"{key}={value}" for key, value in node_labels(node).items())
    command = namespaces.enter(
        f"{BIN}/{KUBELET}",
        f"--config={CONFIG}/kubelet.json",
        f"--kubeconfig={CONFIG}/kubelet.kubeconfig",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels={labels}",
        # Default 10 s: the interval of the CPU and memory measurements for autoscalers and Prometheus.
        "--housekeeping-interval=5s",
    )
    return Program(node.role, KUBELET, command, group(cluster, node.role, SYSTEM_GROUP))


def kube_proxy(cluster: str, node: Node, namespaces: Namespaces) -> Program:
    """Return the kube-proxy of a node."""
    command = namespaces.enter(f"{BIN}/{KUBE_PROXY}", f"--config={CONFIG}/kube-proxy.json")
    return Program(node.role, KUBE_PROXY, command, group(cluster, node.role, SYSTEM_GROUP))


def may_lower_oom_score() -> bool:
    """Return whether this process, and so every container, may get a negative OOM score (CAP_SYS_RESOURCE)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return False


def snapshotter(folder: Path, mountinfo: str | None = None) -> str:
    """Return ``overlayfs``, or ``native`` if the folder is on an overlay, which does not support another overlay."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    best, kind = "", ""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4]
        inside = folder.is_relative_to(mount)
        # Of several mounts on the same folder, the last one hides the others.
        if inside and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return "native" if kind == "overlay" else "overlayfs"
