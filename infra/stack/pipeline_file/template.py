"""Writes a commented pipeline file: empty, or from a connector, or from Debezium Server's
properties. Pure.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import msgspec

from infra.mariadb.address import PORT, MariadbAddress
from infra.stack.debezium.connector import what_is_read
from infra.stack.endpoints import Endpoints
from infra.stack.pipeline_file.section import SECTIONS, Section

#: Known values, by section and key.
KnownValues = Mapping[str, Mapping[str, str]]
#: The lines of a file about which nothing is known: an example for each section, commented out.
EXAMPLES: KnownValues = {
    "source": {"dsn": "host=127.0.0.1 port=5432 user=bench dbname=shop"},
    "kafka": {"bootstrap": "127.0.0.1:9092"},
    "registry": {"url": "http://127.0.0.1:8081"},
    "connect": {"url": "http://127.0.0.1:8083"},
    "tap": {"kind": "webhook", "place": "8080"},
}
#: Sinks of Debezium Server, and the transports that stand for them.
_TRANSPORTS = {
    "http": "http",
    "kafka": "kafka",
    "redis": "redis",
    "kinesis": "kinesis",
    "pubsub": "pubsub",
    "nats-jetstream": "nats",
    "jdbc": "postgres",
}
COLUMNS = 100
_BLANKS = " \t\f"
_LINE_END = re.compile(r"\r\n|\r|\n")
#: A name ends at the first blank, `=` or `:` without a backslash before it.
_PROPERTY = re.compile(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)
#: SCHEMA.TABLE without a sign that means more in a regular expression.
_TABLE = re.compile(r"[^\\^$*+?()\[\]{}|.]+\.[^\\^$*+?()\[\]{}|.]+")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)


def commented(known: KnownValues) -> str:
    """A file with every key and its purpose; keys without a known value are commented out."""
    head = (
        "# A pipeline in one file: docs/pipeline.md. A section is there where the pipeline has it."
    )
    parts = [head, *(_section(name, kind, known) for name, kind in SECTIONS.items())]
    return "\n".join([*parts, _options(known.get("options", {}))])


def _options(known: Mapping[str, str]) -> str:
    purpose = "# Any of docs/options.md, as on the command line.\n"
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in known.items()]
    return purpose + "".join(["[options]\n", *lines] if lines else ["# [options]\n# rate = 500\n"])


def _section(name: str, kind: type[Section], known: KnownValues) -> str:
    there = name in known
    title = f"[[{name}]]" if name == "tap" else f"[{name}]"
    purpose = str(kind.__doc__).partition("\n")[0]
    lines = [f"# {purpose}", title if there else f"# {title}"]
    for item in msgspec.structs.fields(kind):
        value = known.get(name, {}).get(item.name)
        lines += textwrap.wrap(
            description(item.type), COLUMNS, initial_indent="#   ", subsequent_indent="#   "
        )
        shown = value if value is not None else EXAMPLES.get(name, {}).get(item.name, "")
        line = f"{item.name} = {json.dumps(shown, ensure_ascii=False)}"
        lines.append(line if value is not None else f"# {line}")
    return "\n".join(lines) + "\n"


def description(kind: object) -> str:
    """The purpose of a key, from its declaration."""
    return str(msgspec.json.schema(kind).get("description", ""))


def of_connector(name: str, config: Mapping[str, str], connect_url: str) -> KnownValues:
    """The facts about a pipeline in a Debezium connector's configuration; never its password."""
    if _is_mariadb(config):
        return _of_mariadb(config, "http")
    known: dict[str, dict[str, str]] = {
        "source": _source(config),
        "capture": {"kind": "debezium", "connector": name, **_capture(config)},
        "connect": {"url": connect_url},
    }
    tables = _tables(config)
    if tables:
        known["source"]["table"] = tables[0]
        known["kafka"] = {"bootstrap": "", "topic": f"{config.get('topic.prefix', '')}.{tables[0]}"}
    registry = config.get("value.converter.schema.registry.url")
    if registry:
        known["registry"] = {"url": registry}
    if servers := config.get("producer.override.bootstrap.servers"):
        known.setdefault("kafka", {})["bootstrap"] = servers
    return known


def with_servers(known: KnownValues, endpoints: Endpoints) -> KnownValues:
    """The same, with the addresses that a found stack knows: how this machine reaches the servers,
    which a connector's configuration does not say. A pipeline on MariaDB needs none of them.
    """
    if known.get("source", {}).get("kind") == "mariadb":
        return known
    servers = {
        "source": {"dsn": endpoints.postgres_dsn},
        "kafka": {
            "bootstrap": endpoints.kafka_bootstrap,
            "properties": endpoints.kafka_properties,
        },
        "registry": {"url": endpoints.schema_registry_url, **asdict(endpoints.registry_access)},
        "connect": {"metrics": endpoints.connect_metrics, **asdict(endpoints.connect_access)},
    }
    return {
        name: {**known.get(name, {}), **{key: text for key, text in told.items() if text}}
        for name, told in {**{section: {} for section in known}, **servers}.items()
    }


def unknown(known: KnownValues) -> list[tuple[str, str]]:
    """The missing keys, as section and name, that an existing section requires."""
    return [
        (section, item.name)
        for section, values in known.items()
        if section in SECTIONS
        for item in msgspec.structs.fields(SECTIONS[section])
        if item.required and not values.get(item.name)
    ]


def of_server(properties: Mapping[str, str]) -> KnownValues:
    """The facts about a pipeline in Debezium Server's application.properties; no passwords."""
    prefix = "debezium.source."
    config = {
        key.removeprefix(prefix): value
        for key, value in properties.items()
        if key.startswith(prefix)
    }
    kind = properties.get("debezium.sink.type", "")
    if _is_mariadb(config):
        return _of_mariadb(config, _TRANSPORTS.get(kind, "http"))
    known: dict[str, dict[str, str]] = {
        "source": _source(config),
        "capture": _capture(config),
    }
    tables = _tables(config)
    if tables:
        known["source"]["table"] = tables[0]
    if kind == "kafka":
        servers = properties.get("debezium.sink.kafka.producer.bootstrap.servers", "")
        topic = f"{config.get('topic.prefix', '')}.{tables[0]}" if tables else ""
        known["kafka"] = {"bootstrap": servers, "topic": topic}
    if kind == "http":
        url = properties.get("debezium.sink.http.url", "")
        port = url.partition("://")[2].partition("/")[0].rpartition(":")[2]
        known["tap"] = {"kind": "webhook", "place": port if port.isdigit() else "8080"}
    return known


def read_java_properties(text: str) -> dict[str, str]:
    """NAME=VALUE, NAME: VALUE or NAME VALUE, one on each line; `#` and `!` begin a comment.

    As java.util.Properties reads them (its documentation, `load`), except that blanks at a value's
    end are removed: no user means them.
    """
    found = {}
    for line in _joined(text):
        parts = _PROPERTY.fullmatch(line)
        assert parts is not None  # the expression matches every line
        found[_unescaped(parts[1])] = _unescaped(parts[2]).rstrip()
    return found


def _joined(text: str) -> Iterator[str]:
    """The lines without comments and empty ones; a line that ends with an unescaped backslash
    continues on the next.
    """
    held = ""
    for line in _LINE_END.split(text):
        part = line.lstrip(_BLANKS)
        if not held and part.startswith(("#", "!")):
            continue  # a comment never continues on the next line
        if (len(part) - len(part.rstrip("\\"))) % 2:
            held += part[:-1]
            continue
        if held or part:
            yield held + part
        held = ""
    if held:
        yield held


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _escaped(found[1]), text)


def _escaped(mark: str) -> str:
    if len(mark) > 1:
        return chr(int(mark[1:], 16))
    return {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(mark, mark)


def _is_mariadb(config: Mapping[str, str]) -> bool:
    return config.get("connector.class", "").endswith(".MariaDbConnector")


def _of_mariadb(config: Mapping[str, str], transport: str) -> KnownValues:
    """A run on MariaDB makes its own tables and starts its own Debezium Server."""
    place = MariadbAddress(
        host=config.get("database.hostname", "127.0.0.1"),
        port=int(config.get("database.port", PORT)),
        user=config.get("database.user", ""),
    )
    return {
        "source": {"dsn": place.url.rstrip("/"), "kind": "mariadb"},
        "capture": {"kind": "debezium-server"},
        "options": {"transport": transport},
    }


def _source(config: Mapping[str, str]) -> dict[str, str]:
    names = {
        "host": "database.hostname",
        "port": "database.port",
        "user": "database.user",
        "dbname": "database.dbname",
        "sslmode": "database.sslmode",
    }
    place = {name: config[key] for name, key in names.items() if config.get(key)}
    return {"dsn": " ".join(f"{name}={_quoted(value)}" for name, value in place.items())}


def _quoted(value: str) -> str:
    plain = value and not any(sign.isspace() or sign in "'\\" for sign in value)
    return value if plain else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _capture(config: Mapping[str, str]) -> dict[str, str]:
    read = what_is_read(config)
    return {"slot": read.slot, "publication": read.publication}


def _tables(config: Mapping[str, str]) -> list[str]:
    """The tables that are named in full; each entry is a regular expression, and one that fits
    several names names no table.
    """
    listed = config.get("table.include.list", "").split(",")
    names = [part.strip().replace("\\.", ".").replace("[.]", ".") for part in listed]
    return [name for name in names if _TABLE.fullmatch(name)]
