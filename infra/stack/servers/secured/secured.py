"""The parts of a secured process stack: its users, their passwords, and each server's settings.

Kafka asks for SCRAM over TLS, the registry for a password over TLS (`registry_door`), Kafka Connect
for a client's certificate, PostgreSQL for SCRAM over TLS (`postgres_door`). Kafka Connect logs in
to Kafka by PLAIN, because PLAIN's users are in the broker's own file; SCRAM's users can only be
made while the broker is up.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from msgspec.json import encode

from infra.client.access import HttpAccess
from infra.stack.servers.password import write_private
from infra.stack.servers.port import HOST, Ports
from infra.stack.servers.secured.certificate import StackCertificates, make_certificates
from infra.stack.servers.secured.postgres_door import PostgresDoorSettings
from infra.stack.servers.secured.registry_door import RegistryDoorSettings
from infra.stack.servers.settings import ServerSettings, render_properties

USER = "locust-cdc"
#: Kafka Connect's own login to Kafka.
WORKER = "connect"
_ITERATIONS = 8192
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Secured:
    """One secured stack's users, files and ports."""

    certificates: StackCertificates
    ports: Ports
    user_password: str = field(repr=False)
    worker_password: str = field(repr=False)
    registry_password: str = field(repr=False)
    store_password: str = field(repr=False)

    @property
    def directory(self) -> Path:
        """The directory of all its files."""
        return self.certificates.directory

    @property
    def kafka_properties(self) -> Path:
        """The client properties that this project's clients read (infra.client.kafka)."""
        return self.directory / "kafka.properties"

    @property
    def registry_file(self) -> Path:
        """The password for the registry."""
        return self.directory / "registry.password"

    @property
    def registry_door(self) -> Path:
        """The settings of the registry's door."""
        return self.directory / "registry-door.json"

    @property
    def postgres_door(self) -> Path:
        """The settings of PostgreSQL's door."""
        return self.directory / "postgres-door.json"

    def write(self) -> None:
        """Write the files for clients and servers; no other account can read them."""
        client = {
            "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": USER,
            "sasl.password": self.user_password,
            "ssl.ca.location": str(self.certificates.authority),
        }
        write_private(self.kafka_properties, render_properties(client))
        write_private(self.registry_file, self.registry_password)
        shown = str(self.certificates.server)
        ports, behind = self.ports, f"http://{HOST}:{self.ports.registry_inner}"
        door = RegistryDoorSettings(ports.registry, behind, shown, USER, self.registry_password)
        write_private(self.registry_door, encode(door))
        front = PostgresDoorSettings(ports.postgres, ports.postgres_inner, shown)
        write_private(self.postgres_door, encode(front))

    def registry_access(self) -> HttpAccess:
        """How clients log in to the registry."""
        ca = str(self.certificates.authority)
        return HttpAccess(user=USER, password_file=str(self.registry_file), ca=ca)

    def connect_access(self) -> HttpAccess:
        """How clients log in to Kafka Connect."""
        ca, shown = str(self.certificates.authority), str(self.certificates.client)
        return HttpAccess(ca=ca, certificate=shown)

    def kafka(self) -> ServerSettings:
        """The broker's settings, in addition to those of an open stack."""
        ports = self.ports
        listeners = f"CLIENT://{HOST}:{ports.kafka},INTERNAL://{HOST}:{ports.kafka_internal}"
        return {
            "listeners": f"{listeners},CONTROLLER://{HOST}:{ports.controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": "CLIENT:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL",
            "inter.broker.listener.name": "INTERNAL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
            "listener.name.client.scram-sha-512.sasl.jaas.config": _SCRAM,
            "listener.name.client.plain.sasl.jaas.config": (
                f'{_PLAIN} user_{WORKER}="{self.worker_password}";'
            ),
            # Only a holder of one of this stack's certificates may speak to the broker as a broker.
            "listener.name.internal.ssl.client.auth": "required",
            "listener.name.controller.ssl.client.auth": "required",
            **self._tls(),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificates.server),
        }

    def connect(self, registry_url: str) -> ServerSettings:
        """The worker's settings, in addition to those of an open stack."""
        found = {
            "listeners": f"https://{HOST}:{self.ports.connect}",
            "rest.advertised.listener": "https",
            "listeners.https.ssl.client.auth": "required",
            "listeners.https.ssl.keystore.type": "PKCS12",
            "listeners.https.ssl.keystore.location": str(self.certificates.server_store),
            "listeners.https.ssl.keystore.password": self.store_password,
            "listeners.https.ssl.truststore.type": "PKCS12",
            "listeners.https.ssl.truststore.location": str(self.certificates.trust_store),
            "listeners.https.ssl.truststore.password": self.store_password,
        }
        login = f'{_PLAIN} username="{WORKER}" password="{self.worker_password}";'
        for prefix in ("", "producer.", "consumer.", "admin."):
            found |= {
                f"{prefix}security.protocol": "SASL_SSL",
                f"{prefix}sasl.mechanism": "PLAIN",
                f"{prefix}sasl.jaas.config": login,
                **{f"{prefix}{name}": text for name, text in self._tls().items()},
            }
        for side in ("key", "value"):
            found |= {
                f"{side}.converter.{name}": text
                for name, text in {
                    "apicurio.registry.url": f"{registry_url}/apis/registry/v2",
                    "apicurio.auth.username": USER,
                    "apicurio.auth.password": self.registry_password,
                    "apicurio.registry.request.ssl.truststore.location": str(
                        self.certificates.trust_store
                    ),
                    "apicurio.registry.request.ssl.truststore.type": "PKCS12",
                    "apicurio.registry.request.ssl.truststore.password": self.store_password,
                }.items()
            }
        return found

    def _tls(self) -> ServerSettings:
        return {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificates.authority),
        }

    def let_user_in(self) -> None:
        """Make SCRAM's user, through the broker's own listener; a repetition changes nothing."""
        shown = str(self.certificates.client)
        admin = AdminClient(
            {
                "bootstrap.servers": f"{HOST}:{self.ports.kafka_internal}",
                "security.protocol": "ssl",
                "ssl.ca.location": str(self.certificates.authority),
                "ssl.certificate.location": shown,
                "ssl.key.location": shown,
                "log_level": 0,
            }
        )
        login = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        wanted = UserScramCredentialUpsertion(USER, login, self.user_password.encode())
        asked = admin.alter_user_scram_credentials([wanted], request_timeout=TIMEOUT_S)
        asked[USER].result(TIMEOUT_S)


def make_secured(directory: Path, ports: Ports) -> Secured:
    """New users, passwords and certificates, written into an existing directory."""
    words = [secrets.token_hex(24) for _ in range(4)]
    made = Secured(make_certificates(directory, words[3]), ports, *words)
    made.write()
    return made
