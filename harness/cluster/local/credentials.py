"""The certificates and kubeconfigs of a cluster's components, and their places on the nodes."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

from harness.cluster.local.namespaces import CONFIG
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.pki import Authority, Certificate, key_pair
from harness.cluster.local.plan import API_PORT, API_SERVICE_ADDRESS, CLUSTER_DOMAIN, Node, Plan

PKI = CONFIG / "pki"
LOOPBACK = "127.0.0.1"


def context_name(cluster: str) -> str:
    """Return the kubeconfig context of a local cluster; its prefix is on the guard's allow-list."""
    return f"local-{cluster}"


class Credentials:
    """Creates the authorities and writes the files of every component. Holds private keys, so use it only at boot."""

    def __init__(self, plan: Plan, paths: ClusterPaths) -> None:
        self._plan = plan
        self._paths = paths
        self._cluster = Authority("kubernetes")
        # As Kubernetes' documentation demands, not the authority of ordinary clients: their certificates must not be
        # valid for the front proxy.
        self._front_proxy = Authority("front-proxy")

    def write(self, api_port: int) -> None:
        """Write all files, including the user's kubeconfig."""
        for node in self._plan.nodes:
            self._write_node(node)
        self._write_control_plane()
        # Kubernetes binds this group to the role cluster-admin.
        administrator = self._cluster.issue("kubernetes-admin", groups=["system:masters"])
        server = f"https://{LOOPBACK}:{api_port}"
        _write(self._paths.kubeconfig, self._kubeconfig(context_name(self._plan.cluster), server, administrator))

    def _write_node(self, node: Node) -> None:
        folder = self._paths.node(node.role).config
        server = f"https://{self._plan.control_plane.address}:{API_PORT}"
        _write(folder / "pki/ca.crt", self._cluster.pem.certificate)
        # The Node authorizer requires this form of the name and this group.
        kubelet = self._cluster.issue(f"system:node:{node.name}", ["system:nodes"], [node.name, node.address])
        _write_pair(folder / "pki/kubelet", kubelet)
        _write(folder / "kubelet.kubeconfig", self._kubeconfig(node.name, server, kubelet))
        proxy = self._cluster.issue("system:kube-proxy", ["system:node-proxier"])
        _write(folder / "kube-proxy.kubeconfig", self._kubeconfig("kube-proxy", server, proxy))

    def _write_control_plane(self) -> None:
        node = self._plan.control_plane
        folder = self._paths.node(node.role).config
        local = f"https://{LOOPBACK}:{API_PORT}"
        # Pods verify the API server by the names and the address of its Service.
        service = [
            f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", f".default.svc.{CLUSTER_DOMAIN}")
        ]
        addresses = [node.name, "localhost", LOOPBACK, node.address, API_SERVICE_ADDRESS, *service]
        _write_pair(folder / "pki/ca", self._cluster.pem)
        _write(folder / "pki/front-proxy-ca.crt", self._front_proxy.pem.certificate)
        _write_pair(folder / "pki/apiserver", self._cluster.issue("kube-apiserver", addresses=addresses))
        to_kubelet = self._cluster.issue("kube-apiserver-kubelet-client", ["system:masters"])
        _write_pair(folder / "pki/apiserver-kubelet-client", to_kubelet)
        _write_pair(folder / "pki/front-proxy-client", self._front_proxy.issue("front-proxy-client"))
        tokens = key_pair()
        _write(folder / "pki/service-account.key", tokens.private)
        _write(folder / "pki/service-account.pub", tokens.public)
        for name in ("kube-controller-manager", "kube-scheduler"):
            _write(folder / f"{name}.kubeconfig", self._kubeconfig(name, local, self._cluster.issue(f"system:{name}")))

    def _kubeconfig(self, name: str, server: str, user: Certificate) -> bytes:
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [
                {
                    "name": name,
                    "cluster": {"server": server, "certificate-authority-data": _data(self._cluster.pem.certificate)},
                }
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": _data(user.certificate),
                        "client-key-data": _data(user.key),
                    },
                }
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
        return yaml.safe_dump(content, sort_keys=False).encode()


def _data(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def _write_pair(stem: Path, pair: Certificate) -> None:
    _write(stem.with_name(f"{stem.name}.crt"), pair.certificate)
    _write(stem.with_name(f"{stem.name}.key"), pair.key)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Created with mode 0600: with a later chmod, others could read the file in between.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
