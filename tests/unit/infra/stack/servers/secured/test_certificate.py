"""Certificates of a secured stack: who may read them, and what they are good for."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import pkcs12

from infra.stack.servers.secured.certificate import StackCertificates, make_certificates

STORE = "store-password"


@pytest.fixture
def made(tmp_path: Path) -> StackCertificates:
    return make_certificates(tmp_path, STORE)


def test_no_other_account_can_read_any_of_them(made: StackCertificates) -> None:
    assert {path.stat().st_mode & 0o777 for path in made.directory.iterdir()} == {0o600}


def test_the_authority_signs_servers_for_loopback_alone(made: StackCertificates) -> None:
    context = ssl.create_default_context(cafile=str(made.authority))
    shown = x509.load_pem_x509_certificates(made.server.read_bytes())[0]
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert context.cert_store_stats()["x509_ca"] == 1
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_clients_certificate_is_no_servers(made: StackCertificates) -> None:
    shown = x509.load_pem_x509_certificates(made.client.read_bytes())[0]
    usage = shown.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value

    assert x509.oid.ExtendedKeyUsageOID.SERVER_AUTH not in usage


def test_javas_store_has_the_same_certificate(made: StackCertificates) -> None:
    sealed = pkcs12.load_pkcs12(made.server_store.read_bytes(), STORE.encode())
    shown = x509.load_pem_x509_certificates(made.server.read_bytes())[0]

    assert sealed.cert is not None
    assert sealed.cert.certificate == shown


def test_two_stacks_do_not_trust_each_other(tmp_path: Path, made: StackCertificates) -> None:
    (tmp_path / "other").mkdir()
    other = make_certificates(tmp_path / "other", STORE)
    shown = x509.load_pem_x509_certificates(other.server.read_bytes())[0]
    authority = x509.load_pem_x509_certificate(made.authority.read_bytes())

    with pytest.raises((InvalidSignature, ValueError)):  # of another key, or of another name
        shown.verify_directly_issued_by(authority)
