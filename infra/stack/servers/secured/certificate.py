"""Certificates of one secured stack: its own authority, made at the stack's start and removed with
it.

Only the stack's user can read the files, and no key leaves the stack's directory. Java gets PKCS#12
where it cannot read PEM.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.stack.servers.password import write_private
from infra.stack.servers.port import HOST

#: How long certificates are valid; a stack that lives longer must be started again.
LASTS = timedelta(days=30)
#: How much earlier than now certificates become valid, because a container's clock may differ.
EARLIER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class StackCertificates:
    """The places of one stack's certificates."""

    directory: Path

    @property
    def authority(self) -> Path:
        """The certificate of the authority, which clients trust; no secret."""
        return self.directory / "ca.pem"

    @property
    def server(self) -> Path:
        """Key and certificate of every server of the stack."""
        return self.directory / "server.pem"

    @property
    def server_store(self) -> Path:
        """The same for Java (PKCS#12)."""
        return self.directory / "server.p12"

    @property
    def trust_store(self) -> Path:
        """The authority for Java (PKCS#12)."""
        return self.directory / "trust.p12"

    @property
    def client(self) -> Path:
        """Key and certificate of a client, which servers ask for."""
        return self.directory / "client.pem"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs certificates; `valid` is the begin and the end of their validity."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    valid: tuple[datetime, datetime]

    def sign(self, name: str, key: ec.EllipticCurvePrivateKey, *, server: bool) -> x509.Certificate:
        """A certificate for a server on loopback, or for a client."""
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        # Brokers are also each other's clients and show the same certificate there.
        usages = [usage, ExtendedKeyUsageOID.CLIENT_AUTH] if server else [usage]
        places = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
        builder = _builder(_name(name), self.name, key, self.valid)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if server:
            builder = builder.add_extension(x509.SubjectAlternativeName(places), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
        return builder.sign(self.key, hashes.SHA256())

    def own(self) -> x509.Certificate:
        """The authority's own certificate."""
        builder = _builder(self.name, self.name, self.key, self.valid)
        builder = builder.add_extension(x509.BasicConstraints(True, 0), critical=True)
        return builder.sign(self.key, hashes.SHA256())


def new_issuer(valid: tuple[datetime, datetime] | None = None) -> Issuer:
    """A new authority."""
    now = datetime.now(UTC)
    return Issuer(
        _name(f"locust-cdc stack {secrets.token_hex(4)}"),
        _key(),
        valid or (now - EARLIER, now + LASTS),
    )


def make_certificates(directory: Path, store_password: str) -> StackCertificates:
    """Make all certificates of one stack and write them into an existing directory."""
    issuer, made = new_issuer(), StackCertificates(directory)
    authority = issuer.own()
    write_private(made.authority, _pem(authority))
    server, client = _key(), _key()
    shown = issuer.sign("locust-cdc server", server, server=True)
    write_private(made.server, key_pem(server) + _pem(shown) + _pem(authority))
    mine = issuer.sign("locust-cdc client", client, server=False)
    write_private(made.client, key_pem(client) + _pem(mine) + _pem(authority))
    sealed = BestAvailableEncryption(store_password.encode())
    write_private(
        made.server_store,
        pkcs12.serialize_key_and_certificates(b"server", server, shown, [authority], sealed),
    )
    write_private(made.trust_store, java_trust_store([authority], store_password))
    return made


def java_trust_store(trusted: Sequence[x509.Certificate], password: str) -> bytes:
    """Authorities as Java reads them (PKCS#12); it opens no store without a password."""
    entries = [
        pkcs12.PKCS12Certificate(one, f"ca{number}".encode()) for number, one in enumerate(trusted)
    ]
    return pkcs12.serialize_java_truststore(entries, BestAvailableEncryption(password.encode()))


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as PEM, without a password: the file's rights protect it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    valid: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
    )
