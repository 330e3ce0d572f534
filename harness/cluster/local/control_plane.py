"""The control plane's programs and their settings: the one place for every timing that experiments depend on."""

from __future__ import annotations

from harness.cluster.local.cgroups import group
from harness.cluster.local.credentials import PKI
from harness.cluster.local.namespaces import BIN, CONFIG, SYSTEM_GROUP, Namespaces
from harness.cluster.local.plan import (
    API_PORT,
    CLUSTER_CIDR,
    CLUSTER_DOMAIN,
    CONTROL_PLANE,
    REGISTRY_PORT,
    SERVICE_CIDR,
    Plan,
)
from harness.cluster.local.processes import Program
from harness.cluster.local.state import ClusterState

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
REGISTRY = "registry"
REGISTRY_FOLDER = "/var/lib/registry"

# Shorter than upstream's defaults, so that an experiment takes tens of seconds and not minutes.
CONTROLLER_TIMINGS = {
    # Default 15 s: how often an autoscaler looks.
    "horizontal-pod-autoscaler-sync-period": "5s",
    # Default 5 min: how long the CPU of a young pod is ignored unless it is ready.
    "horizontal-pod-autoscaler-cpu-initialization-period": "10s",
    # Default 30 s: within this of its start an unready pod counts as never ready.
    "horizontal-pod-autoscaler-initial-readiness-delay": "5s",
    # Default 50 s: a silent node becomes NotReady.
    "node-monitor-grace-period": "20s",
    # Default 5 s: how often silence is checked.
    "node-monitor-period": "2s",
    # Default 15 s: a claim that missed its event is looked at again.
    "pvclaimbinder-sync-period": "5s",
}
NODE_STATUS_PERIOD = "4s"


def etcd(plan: Plan, namespaces: Namespaces) -> Program:
    """The store, on the control plane's loopback only.

    Without TLS: it serves the one API server beside it, whose hundred clients would all shake hands at the start.
    """
    return _program(plan, namespaces, ETCD, {
        "name": plan.control_plane.name,
        "data-dir": "/var/lib/etcd",
        "listen-client-urls": "http://127.0.0.1:2379",
        "advertise-client-urls": "http://127.0.0.1:2379",
        "listen-peer-urls": "http://127.0.0.1:2380",
        "initial-advertise-peer-urls": "http://127.0.0.1:2380",
        "initial-cluster": f"{plan.control_plane.name}=http://127.0.0.1:2380",
        "listen-metrics-urls": "http://127.0.0.1:2381",
        # Killed processes lose nothing without fsync, only a power cut would; slow disks would stall the cluster.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    })  # fmt: skip


def api_server(plan: Plan, namespaces: Namespaces, state: ClusterState) -> Program:
    """The API server, on all addresses of the control plane's network."""
    low, high = state.node_ports
    return _program(plan, namespaces, API_SERVER, {
        "advertise-address": plan.control_plane.address,
        "secure-port": str(API_PORT),
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "service-cluster-ip-range": SERVICE_CIDR,
        "service-node-port-range": f"{low}-{high}",
        "etcd-servers": "http://127.0.0.1:2379",
        "client-ca-file": f"{PKI}/ca.crt",
        "tls-cert-file": f"{PKI}/apiserver.crt",
        "tls-private-key-file": f"{PKI}/apiserver.key",
        "kubelet-certificate-authority": f"{PKI}/ca.crt",
        "kubelet-client-certificate": f"{PKI}/apiserver-kubelet-client.crt",
        "kubelet-client-key": f"{PKI}/apiserver-kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP,Hostname",
        "service-account-issuer": f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        "service-account-key-file": f"{PKI}/service-account.pub",
        "service-account-signing-key-file": f"{PKI}/service-account.key",
        "requestheader-client-ca-file": f"{PKI}/front-proxy-ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": f"{PKI}/front-proxy-client.crt",
        "proxy-client-key-file": f"{PKI}/front-proxy-client.key",
        # Aggregated APIs by their pods' addresses: there is no route from here to a Service's before kube-proxy runs.
        "enable-aggregator-routing": "true",
        "profiling": "false",
    })  # fmt: skip


def controller_manager(plan: Plan, namespaces: Namespaces) -> Program:
    """The controllers, a single instance: electing a leader would only delay the start."""
    kubeconfig = f"{CONFIG}/{CONTROLLER_MANAGER}.kubeconfig"
    return _program(plan, namespaces, CONTROLLER_MANAGER, {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "leader-elect": "false",
        # The plan fixes the pod ranges, and the nodes give out addresses from them (host-local).
        "allocate-node-cidrs": "false",
        "cluster-cidr": CLUSTER_CIDR,
        "service-cluster-ip-range": SERVICE_CIDR,
        "use-service-account-credentials": "true",
        "root-ca-file": f"{PKI}/ca.crt",
        "service-account-private-key-file": f"{PKI}/service-account.key",
        "cluster-signing-cert-file": f"{PKI}/ca.crt",
        "cluster-signing-key-file": f"{PKI}/ca.key",
        "profiling": "false",
        # Defaults 20 and 30: its forty controllers' first lists and tokens would queue for seconds at the start.
        "kube-api-qps": "300",
        "kube-api-burst": "600",
        **CONTROLLER_TIMINGS,
    })  # fmt: skip


def scheduler(plan: Plan, namespaces: Namespaces) -> Program:
    """The scheduler, a single instance."""
    kubeconfig = f"{CONFIG}/{SCHEDULER}.kubeconfig"
    return _program(plan, namespaces, SCHEDULER, {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "leader-elect": "false",
        "profiling": "false",
        "kube-api-qps": "300",
        "kube-api-burst": "600",
    })  # fmt: skip


def registry(plan: Plan, namespaces: Namespaces) -> Program:
    """The image registry: every reference that a node asks for is looked up here, so a bad one fails at once."""
    command = namespaces.enter(
        f"{BIN}/crane", "registry", "serve", f"--address=:{REGISTRY_PORT}", f"--disk={REGISTRY_FOLDER}"
    )
    return Program(CONTROL_PLANE, REGISTRY, command, group(plan.cluster, CONTROL_PLANE, SYSTEM_GROUP))


def _program(plan: Plan, namespaces: Namespaces, name: str, flags: dict[str, str]) -> Program:
    command = namespaces.enter(f"{BIN}/{name}", *(f"--{flag}={value}" for flag, value in flags.items()))
    return Program(CONTROL_PLANE, name, command, group(plan.cluster, CONTROL_PLANE, SYSTEM_GROUP))
