"""The certificates: signed by their authority, for the addresses and uses that they are meant for."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness.cluster.local.pki import Authority, key_pair


def test_certificate_is_signed_by_its_authority_and_fits_its_key() -> None:
    authority = Authority("kubernetes")
    issued = authority.issue("system:node:a", ["system:nodes"], ["a", "198.18.0.11"])
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pem.certificate))
    key = load_pem_private_key(issued.key, None)
    assert key.public_key() == certificate.public_key()


def test_a_servers_certificate_carries_its_names_and_addresses() -> None:
    issued = Authority("kubernetes").issue("kube-apiserver", addresses=["kubernetes.default", "198.19.0.1"])
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes.default"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["198.19.0.1"]


def test_a_clients_certificate_cannot_serve_and_names_its_groups() -> None:
    issued = Authority("kubernetes").issue("admin", groups=["system:masters"])
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    groups = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert [group.value for group in groups] == ["system:masters"]


def test_the_key_pair_for_tokens_belongs_together() -> None:
    pair = key_pair()
    assert load_pem_private_key(pair.private, None).public_key() == load_pem_public_key(pair.public)
