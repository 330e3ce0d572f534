"""The webhook of the Vertical Pod Autoscaler: the API server can trust it, and without it pods are still created."""

from __future__ import annotations

import base64

from cryptography import x509

from harness.cluster.local.vertical_autoscaler import webhook


def test_webhook_has_a_certificate_for_its_service() -> None:
    secret, config = webhook("autoscaler")
    served = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["serverCert.pem"]))
    names = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (hook,) = config["webhooks"]
    service = hook["clientConfig"]["service"]
    assert names.get_values_for_type(x509.DNSName) == [f"{service['name']}.{service['namespace']}.svc"]
    authority = x509.load_pem_x509_certificate(base64.b64decode(hook["clientConfig"]["caBundle"]))
    served.verify_directly_issued_by(authority)


def test_pods_are_created_without_the_webhook() -> None:
    assert webhook("autoscaler")[1]["webhooks"][0]["failurePolicy"] == "Ignore"
