"""The control plane's programs and their settings, including all timings that experiments depend on."""

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

# Shorter than Kubernetes' defaults, so that an experiment takes tens of seconds instead of minutes.
CONTROLLER_TIMINGS = {
    # Default 15 s: the interval of an autoscaler's decisions.
    "horizontal-pod-autoscaler-sync-period": "5s",
    # Default 5 min: how long the CPU of a young pod is ignored unless it is ready.
    "horizontal-pod-autoscaler-cpu-initialization-period": "10s",
    # Default 30 s: for this long after its start, an unready pod counts as never ready.
    "horizontal-pod-autoscaler-initial-readiness-delay": "5s",
    # Default 50 s: a node without heartbeats for this long becomes NotReady.
    "node-monitor-grace-period": "20s",
    # Default 5 s: the interval of this check.
    "node-monitor-period": "2s",
    # Default 15 s: the interval for processing claims again after a missed event.
    "pvclaimbinder-sync-period": "5s",
}
# Default 10 s. Kubernetes requires node-monitor-grace-period to be several times as long as this.
NODE_STATUS_PERIOD = "4s"


def etcd(plan: Plan, namespaces: Namespaces) -> Program:
    """Return etcd, on the control plane's loopback only.

    Without TLS: its only client is the API server on the same node, whose hundred connections would each need a TLS
    handshake at the start.
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
        # Without fsync, only a power cut of the machine loses data, not a killed process. Slow disks would stall etcd.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    })  # fmt: skip


def api_server(plan: Plan, namespaces: Namespaces, state: ClusterState) -> Program:
    """Return the API server, on all addresses of the control plane's network."""
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
        # The default begins with the host name, which no DNS server of the cluster resolves.
        "kubelet-preferred-address-types": "InternalIP,Hostname",
        "service-account-issuer": f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        "service-account-key-file": f"{PKI}/service-account.pub",
        "service-account-signing-key-file": f"{PKI}/service-account.key",
        # For aggregated APIs such as metrics-server, with the names and headers that kubeadm uses.
        "requestheader-client-ca-file": f"{PKI}/front-proxy-ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": f"{PKI}/front-proxy-client.crt",
        "proxy-client-key-file": f"{PKI}/front-proxy-client.key",
        # Dial aggregated APIs by pod addresses: Service addresses work only after kube-proxy has started on this node.
        "enable-aggregator-routing": "true",
        "profiling": "false",
    })  # fmt: skip


def controller_manager(plan: Plan, namespaces: Namespaces) -> Program:
    """Return the controller manager: a single instance without leader election, which would only delay the start."""
    kubeconfig = f"{CONFIG}/{CONTROLLER_MANAGER}.kubeconfig"
    return _program(plan, namespaces, CONTROLLER_MANAGER, {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "leader-elect": "false",
        # The plan sets the pod CIDRs, and host-local on each node assigns addresses from them.
        "allocate-node-cidrs": "false",
        "cluster-cidr": CLUSTER_CIDR,
        "service-cluster-ip-range": SERVICE_CIDR,
        "use-service-account-credentials": "true",
        "root-ca-file": f"{PKI}/ca.crt",
        "service-account-private-key-file": f"{PKI}/service-account.key",
        "cluster-signing-cert-file": f"{PKI}/ca.crt",
        "cluster-signing-key-file": f"{PKI}/ca.key",
        "profiling": "false",
        # Defaults 20 and 30: at the start, the first requests of forty controllers would queue for seconds.
        "kube-api-qps": "300",
        "kube-api-burst": "600",
        **CONTROLLER_TIMINGS,
    })  # fmt: skip


def scheduler(plan: Plan, namespaces: Namespaces) -> Program:
    """Return the scheduler, a single instance."""
    kubeconfig = f"{CONFIG}/{SCHEDULER}.kubeconfig"
    return _program(plan, namespaces, SCHEDULER, {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "leader-elect": "false",
        "profiling": "false",
        # Defaults 50 and 100, raised for the same reason as those of the controller manager.
        "kube-api-qps": "300",
        "kube-api-burst": "600",
    })  # fmt: skip


def registry(plan: Plan, namespaces: Namespaces) -> Program:
    """Return the image registry. It handles the pulls from all registries, so an unknown image fails at once."""
    command = namespaces.enter(
        f"{BIN}/crane", "registry", "serve", f"--address=:{REGISTRY_PORT}", f"--disk={REGISTRY_FOLDER}"
    )
    return Program(CONTROL_PLANE, REGISTRY, command, group(plan.cluster, CONTROL_PLANE, SYSTEM_GROUP))


def _program(plan: Plan, namespaces: Namespaces, name: str, flags: dict[str, str]) -> Program:
    command = namespaces.enter(f"{BIN}/{name}", *(f"--{flag}={value}" for flag, value in flags.items()))
    return Program(CONTROL_PLANE, name, command, group(plan.cluster, CONTROL_PLANE, SYSTEM_GROUP))
