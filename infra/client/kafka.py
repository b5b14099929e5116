"""The settings of every Kafka client of this project, and the only place that handles their
security.

A file of librdkafka's properties (its CONFIGURATION.md), named by CDC_KAFKA_PROPERTIES, has the
login. Each process reads it from its path, so no secret is on a command line, in a message or in a
result. Settings that a client needs for its work override the file.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata  # type: ignore[attr-defined]

from infra.client.access import KAFKA_PROPERTIES
from infra.client.msk import MskError, with_tokens

#: The largest message that librdkafka allows (its option message.max.bytes).
LARGEST_MESSAGE_BYTES = 1_000_000_000
#: The harness itself decides where clients connect and what they read.
RESERVED = frozenset(
    (
        "bootstrap.servers",
        "metadata.broker.list",
        "group.id",
        "group.instance.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "auto.offset.reset",
        "partitioner",
        "transactional.id",
        "plugin.library.paths",
    )
)
#: Java's names for properties that librdkafka names differently.
JAVAS = {
    "sasl.jaas.config": "write sasl.username and sasl.password",
    "ssl.truststore.location": "write ssl.ca.location, with the certificates as PEM",
    "ssl.truststore.password": "leave it out: ssl.ca.location is PEM",
    "ssl.truststore.type": "leave it out: ssl.ca.location is PEM",
    "ssl.truststore.certificates": "write ssl.ca.pem",
    "ssl.keystore.type": "leave it out: ssl.keystore.location is PKCS#12",
    "sasl.client.callback.handler.class": "write sasl.oauthbearer.method=oidc, or aws-msk-iam",
    "sasl.login.callback.handler.class": "write sasl.oauthbearer.method=oidc, or aws-msk-iam",
}
_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_PATHS = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.crl.location")


class KafkaPropertiesError(ValueError):
    """A file of properties that cannot be used; one mistake in each line, without values."""


def kafka_settings(
    bootstrap: str, own: Mapping[str, object] | None = None, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """The settings of a client: the user's properties, overridden by those that this client needs.

    Raises KafkaPropertiesError.
    """
    try:
        user = with_tokens(user_properties(environ), environ)
    except MskError as error:
        raise KafkaPropertiesError(f"{environ[KAFKA_PROPERTIES]}: {error}") from error
    return {**user, "bootstrap.servers": bootstrap, **(own or {})}


class KafkaTroubles:
    """A client's own reports about its connections (`error_cb`), which give a timeout its reason.

    If a broker refuses a login or a certificate, the client retries for ever, and its caller would
    see only that nothing answered.
    """

    def __init__(self) -> None:
        self._said: dict[int, str] = {}

    def __call__(self, error: KafkaError) -> None:
        """Note a report of the client."""
        self._said.setdefault(error.code(), error.str())

    @property
    def final(self) -> bool:
        """Whether retrying is useless, because a login or a certificate was refused."""
        return bool(set(self._said) & set(_REMEDIES))

    def metadata(self, client: AdminClient, limit_s: float) -> ClusterMetadata:
        """The brokers and topics that a client with these troubles sees.

        Raises KafkaException when the time is over, or at once if retrying is useless.
        """
        ends_s = time.monotonic() + limit_s
        while True:
            left_s = ends_s - time.monotonic()
            try:
                return client.list_topics(timeout=max(0.1, min(1.0, left_s)))
            except KafkaException:
                client.poll(0)
                if self.final or left_s <= 1.0:
                    raise

    def why(self, error: KafkaError, environ: Mapping[str, str] = os.environ) -> str:
        """The reason behind an error, with the remedy for problems of access."""
        named = environ.get(KAFKA_PROPERTIES)
        where = f"in {named}" if named else f"in a file that {KAFKA_PROPERTIES} names"
        for code, remedy in _REMEDIES.items():
            if code in self._said or error.code() == code:
                return f"{self._said.get(code) or error.str()}; {remedy} {where}"
        said = self._said.get(KafkaError._TRANSPORT, "") or error.str()
        if error.code() == KafkaError._TRANSPORT:
            # A listener that demands TLS simply hangs up on a client without it.
            return f"{said}; check the address, and security.protocol {where}"
        return said


_REMEDIES = {
    KafkaError._AUTHENTICATION: "check sasl.mechanism, sasl.username and sasl.password",
    KafkaError._SSL: "check security.protocol and ssl.ca.location",
}


def user_properties(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The properties in the file that CDC_KAFKA_PROPERTIES names; empty if it names none."""
    named = environ.get(KAFKA_PROPERTIES)
    if not named:
        return {}
    try:
        text = Path(named).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise KafkaPropertiesError(
            f"{KAFKA_PROPERTIES}={named} cannot be read; name a file that can"
        ) from error
    found, mistakes = parse_properties(text, environ)
    if mistakes:
        raise KafkaPropertiesError("\n".join(f"{named}: {mistake}" for mistake in mistakes))
    for name in _PATHS:
        if name in found:
            found[name] = str(Path(named).absolute().parent / found[name])
    return found


def parse_properties(text: str, environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Lines of NAME=VALUE; `${env:NAME}` in a value stands for a variable. Pure.

    Returns the properties, and every mistake.
    """
    found: dict[str, str] = {}
    mistakes: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(("#", "!")):
            continue
        name, sign, value = (part.strip() for part in line.partition("="))
        if not sign or not name:
            mistakes.append(f"line {number} is not NAME=VALUE")
        elif name in JAVAS:
            mistakes.append(f"{name} is Java's; {JAVAS[name]}")
        elif name in RESERVED:
            mistakes.append(f"{name} is decided by the harness; leave it out")
        elif name in found:
            mistakes.append(f"{name} stands there twice; leave one out")
        else:
            missing = [name for name in _REFERENCE.findall(value) if name not in environ]
            mistakes += [f"{name} needs the variable {one}; set it" for one in missing]
            found[name] = _REFERENCE.sub(lambda match: environ.get(match[1], ""), value)
    return found, mistakes


def property_mistakes(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Mistakes in the user's properties, including librdkafka's own; contacts no server."""
    if not environ.get(KAFKA_PROPERTIES):
        return []
    try:
        settings = kafka_settings("", {"log_level": 0}, environ)
    except KafkaPropertiesError as error:
        return str(error).splitlines()
    # Without an address a client only reads its settings.
    del settings["bootstrap.servers"]
    try:
        AdminClient(settings)
    except KafkaException as error:
        return [f"{environ[KAFKA_PROPERTIES]}: {error.args[0].str()}"]
    return []
