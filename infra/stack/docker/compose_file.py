"""The compose file, made from the same settings as the process stack (`python -m infra.stack
compose render`).

Everything here is pure: settings in, text out. Two things differ from the process stack. Servers
bind to all addresses inside their containers, and to 127.0.0.1 only outside; and neighbours are
reached by service name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from infra.stack.artifacts.java import HEAP_MB, LOG4J
from infra.stack.artifacts.version import VERSIONS
from infra.stack.servers import settings
from infra.stack.servers.port import HOST, WELL_KNOWN
from infra.stack.servers.settings import Listener, ServerSettings

#: infra/compose; the files in it that `render` writes are committed, and a test keeps them up to
#: date.
DIRECTORY = Path(__file__).resolve().parent / "files"
INSIDE = "0.0.0.0"
CONTROLLER_PORT = 9093
INTERNAL_PORT = 29092
MANAGEMENT_PORT = 9000
POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = f"apache/kafka:{VERSIONS['kafka']}"
REGISTRY_IMAGE = (
    f"apicurio/apicurio-registry:{VERSIONS['schema-registry'].removeprefix('apicurio ')}"
)
#: The address of PostgreSQL inside the network, for Kafka Connect.
POSTGRES_INSIDE = f"postgres:{WELL_KNOWN['postgres']}"
HEADER = """# Written by `python -m infra.stack compose render` from infra.stack.servers.settings.
# A test compares the two.
# `python -m infra.stack up --kind compose` fills the build context that Kafka Connect needs,
# starts and proves it all.
"""


def postgres_settings() -> ServerSettings:
    """PostgreSQL in its container."""
    return settings.postgres(Listener(INSIDE, WELL_KNOWN["postgres"], HOST))


def kafka_settings() -> ServerSettings:
    """Kafka in its container, with a second listener for its neighbours."""
    client = Listener(INSIDE, WELL_KNOWN["kafka"], HOST)
    internal = Listener(INSIDE, INTERNAL_PORT, "kafka")
    return settings.kafka(client, CONTROLLER_PORT, "/var/lib/kafka/data", internal)


def registry_settings() -> ServerSettings:
    """The schema registry in its container."""
    return settings.registry(Listener(INSIDE, WELL_KNOWN["schema-registry"], HOST), MANAGEMENT_PORT)


def connect_settings() -> ServerSettings:
    """Kafka Connect in its container."""
    listener = Listener(INSIDE, WELL_KNOWN["connect"], "connect")
    registry = f"http://schema-registry:{WELL_KNOWN['schema-registry']}"
    return settings.connect(listener, f"kafka:{INTERNAL_PORT}", registry)


def environment(prefix: str, values: ServerSettings) -> ServerSettings:
    """Settings as environment variables, in the notation of Kafka's and Quarkus' images.

    None of Kafka's names here contains a dash or an underscore, so one rule serves both images.
    """
    return {
        prefix + "".join(c if c.isalnum() else "_" for c in name).upper(): text
        for name, text in values.items()
    }


def services() -> dict[str, object]:
    """All services by name."""
    flags = [
        part for name, value in postgres_settings().items() for part in ("-c", f"{name}={value}")
    ]
    return {
        "postgres": {
            "image": POSTGRES_IMAGE,
            "command": ["postgres", *flags],
            # No password: the port is published on loopback only, as the process stack's is.
            "environment": {
                "POSTGRES_HOST_AUTH_METHOD": "trust",
                "POSTGRES_INITDB_ARGS": "-E UTF8 --no-locale",
            },
            "ports": [_published("postgres")],
        },
        "kafka": {
            "image": KAFKA_IMAGE,
            "environment": {
                "KAFKA_HEAP_OPTS": _heap("kafka"),
                **environment("KAFKA_", kafka_settings()),
            },
            "ports": [_published("kafka")],
        },
        "schema-registry": {
            "image": REGISTRY_IMAGE,
            "environment": {
                "JAVA_TOOL_OPTIONS": _heap("schema-registry"),
                **environment("", registry_settings()),
            },
            "ports": [_published("schema-registry")],
        },
        "connect": {
            "build": {
                "context": "connect",
                "additional_contexts": {"jars": "../../.stack/compose/jars"},
                "args": {"KAFKA_IMAGE": KAFKA_IMAGE},
            },
            "environment": {"JAVA_TOOL_OPTIONS": _heap("connect")},
            "depends_on": ["kafka", "schema-registry", "postgres"],
            "ports": [_published("connect")],
        },
    }


def _published(name: str) -> str:
    return f"{HOST}:{WELL_KNOWN[name]}:{WELL_KNOWN[name]}"


def _heap(name: str) -> str:
    return f"-Xmx{HEAP_MB[name]}m -Xms32m -XX:+UseSerialGC"


def rendered() -> dict[str, str]:
    """Every rendered file, by its path below infra/compose."""
    compose = {"name": "locust-cdc", "services": services()}
    return {
        "docker-compose.yml": HEADER + "".join(f"{line}\n" for line in _yaml(compose)),
        "connect/connect.properties": settings.render_properties(connect_settings()),
        "connect/log4j2.xml": LOG4J,
    }


def _yaml(data: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """Mappings, lists of text and text as block YAML; text has JSON's quotes, which YAML also
    reads.
    """
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from _yaml(value, indent + "  ")
        elif isinstance(value, list):
            yield f"{indent}{name}:"
            yield from (f"{indent}  - {json.dumps(item)}" for item in value)
        else:
            yield f"{indent}{name}: {json.dumps(value)}"
