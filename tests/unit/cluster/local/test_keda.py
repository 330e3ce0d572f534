"""The certificate of KEDA: the API server trusts its adapter, and the adapter and the operator trust each other."""

from __future__ import annotations

import base64

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from harness.cluster.local.keda import external_metrics


def decoded(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(text))


def test_one_certificate_serves_for_both_programs() -> None:
    secret, _ = external_metrics("place")
    served = decoded(secret["data"]["tls.crt"])
    names = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {
        # As the API server calls the adapter, and the adapter the operator.
        "keda-metrics-apiserver.place.svc",
        "keda-operator.place.svc.cluster.local",
    } <= set(names.get_values_for_type(x509.DNSName))
    usages = served.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    served.verify_directly_issued_by(decoded(secret["data"]["ca.crt"]))


def test_api_server_trusts_the_adapter() -> None:
    secret, service = external_metrics("place")
    spec = service["spec"]
    assert service["metadata"]["name"] == f"{spec['version']}.{spec['group']}" == "v1beta1.external.metrics.k8s.io"
    assert spec["service"] == {"namespace": "place", "name": "keda-metrics-apiserver"}
    decoded(secret["data"]["tls.crt"]).verify_directly_issued_by(decoded(spec["caBundle"]))
