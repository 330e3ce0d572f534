"""KEDA, with certificates that are there before its programs start.

Its operator would make them itself, but the kubelet shows a new Secret in a running pod up to a minute later, and the
pod of the adapter cannot start without it. Both programs serve and call each other with one certificate.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import EXTERNAL_METRICS_API
from harness.cluster.local.api_services import api_service
from harness.cluster.local.pki import Authority

OPERATOR, ADAPTER = "keda-operator", "keda-metrics-apiserver"
PROGRAMS = (OPERATOR, ADAPTER)
KINDS = frozenset(
    ("keda.sh/v1alpha1", kind)
    for kind in ("ScaledObject", "ScaledJob", "TriggerAuthentication", "ClusterTriggerAuthentication")
)
_DEFINITIONS = (
    "keda.sh_scaledobjects",
    "keda.sh_scaledjobs",
    "keda.sh_triggerauthentications",
    "keda.sh_clustertriggerauthentications",
    # The operator does not start without them.
    "eventing.keda.sh_cloudeventsources",
    "eventing.keda.sh_clustercloudeventsources",
)
MANIFESTS = (
    *(f"config/crd/bases/{name}.yaml" for name in _DEFINITIONS),
    "config/service_account/service_account.yaml",
    "config/rbac/role.yaml",
    "config/rbac/role_binding.yaml",
    "config/manager/manager.yaml",
    "config/manager/service.yaml",
    "config/metrics-server/role.yaml",
    "config/metrics-server/role_binding.yaml",
    "config/metrics-server/deployment.yaml",
    "config/metrics-server/service.yaml",
)
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    # One replica needs no election, which would take up to 15 s after a restart.
    OPERATOR: ("--enable-cert-rotation=false", "--leader-elect=false"),
}
# As in the manifests of its module.
_SECRET = "kedaorg-certs"  # noqa: S105 - a name


def external_metrics(namespace: str) -> list[Object]:
    """Return the certificate of both programs, and the API service that trusts it."""
    authority = Authority("keda")
    services = [f"{name}.{namespace}.svc" for name in PROGRAMS]
    served = authority.issue(OPERATOR, addresses=[*services, *(f"{name}.cluster.local" for name in services)])
    files = {"ca.crt": authority.pem.certificate, "tls.crt": served.certificate, "tls.key": served.key}
    encoded = {file: base64.b64encode(content).decode() for file, content in files.items()}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": _SECRET}, "data": encoded},
        api_service(EXTERNAL_METRICS_API, namespace, ADAPTER, authority=encoded["ca.crt"]),
    ]
