"""The Vertical Pod Autoscaler, with times that are short enough for an experiment.

By default its recommender looks once a minute, trusts its bounds after a day, and recommends at least 250 MiB; its
updater looks once a minute.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from harness.cluster.kube.client import Object
from harness.cluster.local.pki import Authority

RECOMMENDER, UPDATER, ADMISSION = "vpa-recommender", "vpa-updater", "vpa-admission-controller"
PROGRAMS = (RECOMMENDER, UPDATER, ADMISSION)
_DEPLOYMENTS = tuple(f"{name.removeprefix('vpa-')}-deployment" for name in PROGRAMS)
_FILES = ("vpa-v1-crd-gen", "vpa-rbac", *_DEPLOYMENTS, "admission-controller-service")
MANIFESTS = tuple(f"deploy/{name}.yaml" for name in _FILES)
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    RECOMMENDER: (
        "--recommender-interval=5s",
        # Pods without an autoscaler are not kept in memory.
        "--memory-saver=true",
        # The bounds around the target are as narrow after half a minute as they otherwise are after a week.
        "--confidence-interval-cpu=5s",
        "--confidence-interval-memory=5s",
        # The newest sample of CPU, one every ten seconds, counts as much as all before it.
        "--cpu-histogram-decay-half-life=10s",
        "--pod-recommendation-min-cpu-millicores=10",
        "--pod-recommendation-min-memory-mb=16",
    ),
    UPDATER: ("--updater-interval=5s",),
    # Registered with the other objects instead: the program waits ten seconds before it does so.
    ADMISSION: ("--register-webhook=false",),
}
# As in the manifests of its module.
_SERVICE, _SECRET, _WEBHOOK = "vpa-webhook", "vpa-tls-certs", "vpa-webhook-config"


def webhook(namespace: str) -> list[Object]:
    """Return the webhook that changes the requests of new pods, and the certificate for it."""
    authority = Authority("vpa-webhook")
    name = f"{_SERVICE}.{namespace}.svc"
    served = authority.issue(name, addresses=[name])
    files = {
        "caCert.pem": authority.pem.certificate,
        "serverCert.pem": served.certificate,
        "serverKey.pem": served.key,
    }
    encoded = {file: base64.b64encode(content).decode() for file, content in files.items()}
    rules = [
        {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]},
        {
            "apiGroups": ["autoscaling.k8s.io"],
            "apiVersions": ["*"],
            "resources": ["verticalpodautoscalers"],
            "operations": ["CREATE", "UPDATE"],
        },
    ]
    hook = {
        "name": "vpa.k8s.io",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        # As its own registration has it: without the webhook pods are created with the requests of their template.
        "failurePolicy": "Ignore",
        "timeoutSeconds": 5,
        "rules": rules,
        "clientConfig": {
            "service": {"namespace": namespace, "name": _SERVICE},
            "caBundle": encoded["caCert.pem"],
        },
    }
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": _SECRET}, "data": encoded},
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": _WEBHOOK},
            "webhooks": [hook],
        },
    ]
