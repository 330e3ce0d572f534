"""Where the images of a workload come from, and which published images stand for those that the harness builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class HarnessImages(StrEnum):
    """Where a cluster that can pull gets the harness's images: ``${image:NAME}`` and the add-ons."""

    AUTO = "auto"
    BUILD = "build"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What the user chose. ``load`` has archives and references to bring into the nodes, see ``--load-image``."""

    load: tuple[str, ...] = ()
    harness: HarnessImages = HarnessImages.AUTO


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where a cluster gets one image. ``missing`` is why it cannot get it; ``where`` is then empty.

    ``on_nodes`` is whether a copy is or will be on every node, so that a pod needs no pull.
    """

    reference: str
    where: str
    missing: str = ""
    on_nodes: bool = False

    def __str__(self) -> str:
        return f"{self.reference}: {self.where or self.missing}"


# By the harness's name. Versions are those of the programs that the harness builds. A digest is given where several
# public repositories record the same one for an index of all platforms; elsewhere the run records what was pulled.
PUBLISHED: Mapping[str, str] = {
    "podinfo": "ghcr.io/stefanprodan/podinfo:6.9.2",
    "agnhost": "registry.k8s.io/e2e-test-images/agnhost:2.63.0",
    "busybox": "docker.io/library/busybox:1.37.0"
    "@sha256:9532d8c39891ca2ecde4d30d7710e01fb739c87a8b9299685c63704296b16028",
    "etcd": "gcr.io/etcd-development/etcd:v3.7.3",
    "metrics-server": "registry.k8s.io/metrics-server/metrics-server:v0.9.0",
    "alertmanager": "quay.io/prometheus/alertmanager:v0.31.1",
    "argo-rollouts": "quay.io/argoproj/argo-rollouts:v1.10.0",
    "vpa-recommender": "registry.k8s.io/autoscaling/vpa-recommender:1.8.1",
    "vpa-updater": "registry.k8s.io/autoscaling/vpa-updater:1.8.1",
    "vpa-admission-controller": "registry.k8s.io/autoscaling/vpa-admission-controller:1.8.1",
    "keda-operator": "ghcr.io/kedacore/keda:2.21.0",
    "keda-metrics-apiserver": "ghcr.io/kedacore/keda-metrics-apiserver:2.21.0",
    "redis": "docker.io/library/redis:7.0.15",
    # The harness uses no newer option of it; its images have commits as tags.
    "stress-ng": "ghcr.io/colinianking/stress-ng:e2f96874f951a72c1c83ff49098661f0e013ac40",
    "prometheus": "quay.io/prometheus/prometheus:v3.13.0"
    "@sha256:c6b27ea434f8389bfe233fbc7be381cf50587c286e871bc842008f5a1b1908a7",
}
BUILD_HINT = (
    "where the nodes cannot pull it, build it on this machine with --harness-images=build (kind), or push the "
    "harness's images to a registry and name it with --images"
)


def is_published(reference: str) -> bool:
    """Return whether a reference is one of ``PUBLISHED``, whatever its tag."""
    repository = reference.partition("@")[0].rpartition(":")[0]
    return any(each.partition("@")[0].rpartition(":")[0] == repository for each in PUBLISHED.values())
