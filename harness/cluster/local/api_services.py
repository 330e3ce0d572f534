"""API services: APIs that the API server passes on to a Service of the cluster."""

from __future__ import annotations

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import API_SERVICES


def api_service(name: str, namespace: str, service: str, authority: str = "") -> Object:
    """Return the API service ``VERSION.GROUP`` that a Service answers on its port 443.

    ``authority`` signs its certificate (PEM, in base64). Without one the API server trusts any certificate.
    """
    version, _, group = name.partition(".")
    trust = {"caBundle": authority} if authority else {"insecureSkipTLSVerify": True}
    return {
        "apiVersion": API_SERVICES.group_version,
        "kind": API_SERVICES.kind,
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"namespace": namespace, "name": service},
            **trust,
        },
    }
