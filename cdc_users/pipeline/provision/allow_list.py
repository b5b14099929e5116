"""Which servers a run may load: those on this machine, and those that are allowed by name.

Contacts none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cdc_users.pipeline.declaration import captures, outlets, sources, transports
from cdc_users.pipeline.outlets.sink_tap import sink_taps
from cdc_users.pipeline.provision.cloud_streams import own_endpoint
from cdc_users.scenario import Pipeline
from infra import validate
from infra.client.access import access_mistakes
from infra.faults.fault import RELAYED, Fault, faults
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError
from infra.stack.find.locate import find, hosts
from infra.stack.servers import standby
from infra.validate import is_loopback

_TAKEN_BY_DEBEZIUM = re.compile(r"[a-zA-Z0-9_.-]+")
#: The field of Endpoints for each section of a pipeline file.
ENDPOINT = {
    "source": "postgres_dsn",
    "kafka": "kafka_bootstrap",
    "registry": "schema_registry_url",
    "connect": "connect_url",
}


def check_targets(endpoints: Endpoints, allowed: Sequence[str], environ: Mapping[str, str]) -> None:
    """Raise StackConfigError for servers that are neither on this machine nor allowed by name."""
    check_addresses(hosts(endpoints, environ), allowed)


def check_addresses(places: Sequence[str], allowed: Sequence[str]) -> None:
    """Raise StackConfigError for addresses (HOST:PORT), as `check_targets` does for endpoints."""
    if foreign := _foreign(places, allowed):
        flag = f"--allow-target {','.join(foreign)}"
        raise StackConfigError(
            f"{', '.join(foreign)} is not on this machine; if it may be loaded, add {flag}"
        )


def _foreign(places: Sequence[str], allowed: Sequence[str]) -> list[str]:
    """Those that are neither on this machine nor allowed by name."""
    return [
        item for item in places if not _is_here(item.rpartition(":")[0]) and item not in allowed
    ]


def _is_here(host: str) -> bool:
    # A directory or an abstract name of Unix sockets.
    return host.startswith(("/", "@")) or is_loopback(host)


def stack_mistakes(checkout: Path, environ: Mapping[str, str], allowed: Sequence[str]) -> list[str]:
    """Mistakes in the stack that a run would find, before any of its servers is contacted."""
    try:
        endpoints = find(checkout, environ)
        if endpoints is None:
            return validate.environment_mistakes(environ)
        check_targets(endpoints, allowed, environ)
    except StackConfigError as error:
        return str(error).splitlines()
    return []


def part_mistakes(
    checkout: Path, environ: Mapping[str, str], pipelines: Iterable[Pipeline]
) -> list[str]:
    """Servers that these pipelines need and the user's own stack lacks."""
    try:
        endpoints = find(checkout, environ)
    except StackConfigError:
        return []  # reported already
    if endpoints is None:
        return []
    needing = list(pipelines)
    return [*missing_parts(endpoints, needing), *hidden_sources(endpoints, needing)]


def missing_parts(endpoints: Endpoints, pipelines: Iterable[Pipeline]) -> list[str]:
    """A sentence for each server that one of these pipelines needs and that has no address."""
    needed: dict[str, str] = {}
    for pipeline in pipelines:
        database = sources().by_name[pipeline.source].database
        direct = captures().by_name[pipeline.capture].direct
        if database and sources().by_name[pipeline.source].server is None:
            needed.setdefault("source", "rows go into a database (--source postgres)")
        if database and not direct:
            needed.setdefault("connect", "Debezium is asked in Kafka Connect (--capture debezium)")
        if not (database and direct) or transports().by_name[pipeline.transport].of_kafka:
            needed.setdefault("kafka", "events go through a topic")
            needed.setdefault("registry", "the topic's events are Avro")
    return [
        f"{why}, and the pipeline has no [{section}]; add the section (docs/pipeline.md)"
        for section, why in needed.items()
        if not getattr(endpoints, ENDPOINT[section])
    ]


def hidden_sources(endpoints: Endpoints, pipelines: Iterable[Pipeline]) -> list[str]:
    """A source at an address that Debezium refuses, if the run starts one: it takes names and IPv4
    addresses (RelationalDatabaseConnectorConfig.HOSTNAME_PATTERN in 3.6.3).
    """
    making = [
        pipeline
        for pipeline in pipelines
        if sources().by_name[pipeline.source].database
        if captures().by_name[pipeline.capture].is_debezium
        if not pipeline.connector and "source" not in pipeline.relayed
    ]
    if not making:
        return []
    source, capture = making[0].source, captures().by_name[making[0].capture]
    seen = None if capture.direct else endpoints.postgres_from_connect
    own = sources().by_name[source].host(endpoints)
    host = own if seen is None or own is None else seen.rpartition(":")[0]
    if host is None or _TAKEN_BY_DEBEZIUM.fullmatch(host):
        return []
    elsewhere = "" if capture.direct else ", or NAME:PORT as [connect] postgres"
    reader = captures().by_name["wal"]
    instead = f", or use --capture {reader.name}" if source in reader.sources else ""
    return [
        f"Debezium takes a host's name or its IPv4 address, and the source is at {host!r}; write a"
        f" name that resolves to it into the DSN{elsewhere}{instead}"
    ]


def fault_mistakes(
    checkout: Path, environ: Mapping[str, str], names: Iterable[str], allowed: Sequence[str]
) -> list[str]:
    """Why these faults may not be done to the servers that a run would find."""
    known = [fault for name in dict.fromkeys(names) if (fault := faults().by_name.get(name))]
    servers = _servers(checkout, environ) if known else None
    return [] if servers is None else refused_faults(known, *servers, allowed)


def allowed_faults(
    checkout: Path, environ: Mapping[str, str], names: Sequence[str], allowed: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Those of these faults that may be done to the servers that a run would find, and why the
    others may not.
    """
    servers = _servers(checkout, environ)
    if servers is None:
        return list(names), []
    known = [faults().by_name[name] for name in names]
    refused = [fault for fault in known if refused_faults([fault], *servers, allowed)]
    possible = [fault.name for fault in known if fault not in refused]
    return possible, refused_faults(refused, *servers, allowed)


def _servers(checkout: Path, environ: Mapping[str, str]) -> tuple[Endpoints, list[str]] | None:
    """The servers that a run would find, and their addresses; None if it will start its own."""
    try:
        endpoints = find(checkout, environ)
        return None if endpoints is None else (endpoints, hosts(endpoints, environ))
    except StackConfigError:
        return None  # reported already


def refused_faults(
    known: Sequence[Fault], endpoints: Endpoints, places: Sequence[str], allowed: Sequence[str]
) -> list[str]:
    """Reasons against faults: one for faults that need this checkout's own servers, or a command
    for the user's; and one for faults that would disturb servers outside loopback that are not
    allowed by name.
    """
    kind = endpoints.kind
    owned = [fault for fault in known if "stack" in fault.needs]
    owners = [fault.name for fault in owned if fault.on not in endpoints.commands]
    by_command = [fault for fault in owned if fault.on in endpoints.commands]
    relayed = _needing(known, *RELAYED)
    shared = [fault for fault in known if not fault.of_the_run and fault not in owned]
    others = [fault.name for fault in (*by_command, *shared)]
    foreign = _foreign(places, allowed)
    found = []
    if owners and kind == "external":
        found.append(
            f"--faults {','.join(owners)} kills or stops a server, and only those that this"
            " checkout has started are its to kill; name a command for it in [commands] of the"
            " pipeline file (docs/pipeline.md), unset CDC_STACK, or name other faults"
        )
    if relayed and kind != "process":
        found.append(
            f"--faults {','.join(relayed)} needs servers on this machine, before which a relay on"
            " loopback can stand; use the process stack, or name other faults"
        )
    moved = _needing(known, "process stack")
    if moved and kind != "process":
        found.append(
            f"--faults {','.join(moved)} needs servers that this checkout has started as processes"
            " on this machine; unset CDC_STACK and use the process stack, or name other faults"
        )
    replaced = _needing(known, "standby")
    version = endpoints.versions.get("postgres", "")
    if replaced and kind == "process" and _major(version) < standby.OLDEST_MAJOR:
        found.append(
            f"--faults {','.join(replaced)} needs PostgreSQL {standby.OLDEST_MAJOR} or newer, which"
            f" copies slots to standbys, and this one is {version}; name another one in"
            " CDC_POSTGRES_BIN and start the stack again, or name other faults"
        )
    before_kafka = _needing(known, "kafka relay")
    if before_kafka and kind == "process" and not endpoints.kafka_beside:
        found.append(
            f"--faults {','.join(before_kafka)} needs a broker that says where its relay is, which"
            " that of a secured stack, or of an older one, does not; start it again without"
            " --secure, or name other faults"
        )
    before_registry = _needing(known, "registry relay")
    if before_registry and urlsplit(endpoints.schema_registry_url).scheme == "https":
        found.append(
            f"--faults {','.join(before_registry)} needs a registry without TLS, since its"
            " certificate names no relay; start the stack again without --secure, or name other"
            " faults"
        )
    if others and foreign:
        found.append(
            f"--faults {','.join(others)} would disturb {', '.join(foreign)}, which is not on this"
            f" machine; if that may be, add --allow-fault {','.join(foreign)}"
        )
    return found


def _needing(known: Sequence[Fault], *needs: str) -> list[str]:
    """The names of the faults that have one of these needs."""
    return [fault.name for fault in known if {*needs} & {*fault.needs}]


def _major(version: str) -> int:
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


def stream_mistakes(pipelines: Iterable[Pipeline], allowed: Sequence[str]) -> list[str]:
    """Mistakes in a service of the user's own that these pipelines publish to."""
    found = []
    for transport, option in sorted(
        {(pipeline.transport, pipeline.transport_endpoint) for pipeline in pipelines}
    ):
        try:
            if transports().by_name[transport].variable and (
                named := own_endpoint(transport, option)
            ):
                _check_stream(transport, named, allowed)
        except StackConfigError as error:
            found.append(str(error))
    return found


def _check_stream(transport: str, named: str, allowed: Sequence[str]) -> None:
    declared = transports().by_name[transport]
    if not declared.is_endpoint(named):
        raise StackConfigError(
            f"the endpoint of --transport {transport} ({declared.variable}) {named!r} is not"
            f" {declared.form}; write one"
        )
    check_addresses([validate.endpoint_address(named)], allowed)


def outlet_mistakes(
    pipelines: Iterable[Pipeline], allowed: Sequence[str], environ: Mapping[str, str]
) -> list[str]:
    """Mistakes in the servers of the streams in which events come out."""
    found = []
    for kind in sorted({tap.kind for one in pipelines for tap in sink_taps(one.sink_tap)}):
        declared = outlets().by_name[kind]
        if not declared.form:
            continue
        variable = f"{declared.prefix}_URL"
        named = environ.get(variable, "")
        found += access_mistakes(declared.prefix, environ)
        if not declared.is_endpoint(named):
            shown = repr(named) if named else "missing"
            found.append(
                f"--sink-tap {kind} takes its server from {variable} (url in the file's [[tap]]),"
                f" which is {shown}; write {declared.form}, without a login"
            )
            continue
        try:
            check_addresses([validate.endpoint_address(named)], allowed)
        except StackConfigError as error:
            found.append(str(error))
    return found
