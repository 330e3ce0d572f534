"""The programs that the local cluster is made of: from which module each is built, and its version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

KUBERNETES = "k8s.io/kubernetes"
COMPONENT_VERSION = "k8s.io/component-base/version"


@dataclass(frozen=True, slots=True)
class Component:
    """One program. ``stamps`` are linker variables; ``{version}``, ``{major}`` and ``{minor}`` are filled in.

    ``folder`` is the one of its ``go.mod``, below :func:`modules_folder`. A package that begins with ``./`` is our own.
    """

    name: str
    package: str
    module: str
    stamps: tuple[str, ...] = ()
    folder: str = "."
    # Set where the version of the program differs from that of its module.
    version: str = ""
    # Built separately: its stamps would reach other programs that link the same package.
    alone: bool = False


# Without stamps the programs report v0.0.0-master+…, which kubeadm and clients that compare versions do not accept.
KUBERNETES_STAMPS = (
    f"{COMPONENT_VERSION}.gitVersion=v{{version}}",
    f"{COMPONENT_VERSION}.gitMajor={{major}}",
    f"{COMPONENT_VERSION}.gitMinor={{minor}}",
    f"{COMPONENT_VERSION}.gitTreeState=clean",
)


def _kubernetes(name: str) -> Component:
    return Component(name, f"{KUBERNETES}/cmd/{name}", KUBERNETES, KUBERNETES_STAMPS)


def _vertical_autoscaler(name: str) -> Component:
    module = "k8s.io/autoscaler/vertical-pod-autoscaler"
    return Component(f"vpa-{name}", f"{module}/pkg/{name}", module, folder="vpa")


def _keda(name: str, folder: str) -> Component:
    module = "github.com/kedacore/keda/v2"
    return Component(name, f"{module}/cmd/{folder}", module, (f"{module}/version.Version={{version}}",), folder="keda")


COMPONENTS = (
    _kubernetes("kube-apiserver"),
    # Not a distribution's etcd 3.4: without its newer features the API server's watch cache answers clients that watch
    # from another collection's resourceVersion with 504 "Too large resource version".
    Component("etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"),
    Component("etcdctl", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdctl/v3"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubelet"),
    _kubernetes("kube-proxy"),
    _kubernetes("kubectl"),
    Component("crane", "github.com/google/go-containerregistry/cmd/crane", "github.com/google/go-containerregistry"),
    Component("agnhost", f"{KUBERNETES}/test/images/agnhost", KUBERNETES, KUBERNETES_STAMPS),
    # The module's version is that of a commit (a pseudo-version); the program's source has 6.9.2 at that commit.
    Component(
        "podinfo", "github.com/stefanprodan/podinfo/cmd/podinfo", "github.com/stefanprodan/podinfo", version="6.9.2"
    ),
    # Our own main package: the stock one links every plug-in, and with them the SDKs of three clouds.
    Component("coredns", "./coredns", "github.com/coredns/coredns"),
    Component(
        "metrics-server",
        "sigs.k8s.io/metrics-server/cmd/metrics-server",
        "sigs.k8s.io/metrics-server",
        ("k8s.io/client-go/pkg/version.gitVersion=v{version}",),
        alone=True,
    ),
    # Prometheus 3.x is released as module version 0.3xx.
    Component(
        "prometheus",
        "github.com/prometheus/prometheus/cmd/prometheus",
        "github.com/prometheus/prometheus",
        ("github.com/prometheus/common/version.Version={version}",),
        version="3.13.0",
    ),
    Component("storage-provisioner", "./storage", "k8s.io/client-go", version="1.0.0"),
)
# For kind without an image registry: what its node image needs beyond the above, and kind itself.
FOR_KIND = (
    _kubernetes("kubeadm"),
    Component("kind", "sigs.k8s.io/kind", "sigs.k8s.io/kind", folder="kind"),
)
# For experiments with a Helm chart, on machines without Helm. Built only when such an experiment is loaded.
FOR_CHARTS = (
    Component(
        "helm",
        "helm.sh/helm/v3/cmd/helm",
        "helm.sh/helm/v3",
        ("helm.sh/helm/v3/internal/version.version=v{version}",),
        folder="helm",
    ),
)
# For experiments with their own one. Built only when such an experiment runs.
ON_DEMAND = (
    # Not a later release: from 0.32 on the program embeds files of its web interface that its Go module does not have.
    Component(
        "alertmanager",
        "github.com/prometheus/alertmanager/cmd/alertmanager",
        "github.com/prometheus/alertmanager",
        ("github.com/prometheus/common/version.Version={version}",),
        folder="alertmanager",
    ),
    Component("probe-target", ".", "resilience-harness/probe-target", folder="probe-target", version="1.2.0"),
    Component("metrics-proxy", ".", "resilience-harness/metrics-proxy", folder="metrics-proxy", version="1.0.0"),
    Component("custom-metrics", ".", "resilience-harness/custom-metrics", folder="custom-metrics", version="1.0.0"),
    # Not a later release: 1.10.2 needs a newer Go than the other components.
    Component(
        "argo-rollouts",
        "github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
        "github.com/argoproj/argo-rollouts",
        ("github.com/argoproj/argo-rollouts/utils/version.version=v{version}",),
        folder="rollouts",
    ),
    *(_vertical_autoscaler(name) for name in ("recommender", "updater", "admission-controller")),
    _keda("keda-operator", "operator"),
    _keda("keda-metrics-apiserver", "adapter"),
)
# The harness's programs have a module each, so that a change in one rebuilds only that one.
OWN = (
    Component("calibration", ".", "resilience-harness/calibration", folder="calibration", version="1.0.0"),
    Component("cpu-burner", ".", "resilience-harness/cpu-burner", folder="cpu-burner", version="1.0.0"),
)


def modules_folder() -> Path:
    """Where the ``go.mod`` of the components lies."""
    return Path(str(resources.files("harness.cluster.local") / "components"))


def module_versions(go_mod: str) -> dict[str, str]:
    """The version of every module that a ``go.mod`` requires, without its ``v``."""
    required = re.finditer(r"^\s*(?:require\s+)?([\w./~-]+)\s+v([\w.+-]+)", go_mod, re.MULTILINE)
    # Go adds the suffix to versions from v2 of modules without a go.mod.
    return {match[1]: match[2].removesuffix("+incompatible") for match in required}


def versions(components: Sequence[Component] = COMPONENTS) -> dict[str, str]:
    """The version of every component by its name."""
    found = {}
    for component in components:
        text = (modules_folder() / component.folder / "go.mod").read_text()
        found[component.name] = component.version or module_versions(text)[component.module]
    return found
