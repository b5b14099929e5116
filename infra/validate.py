"""Checks addresses, URLs, DSNs, topics and paths before anything is contacted: where each leads,
and its mistakes.

The rules of a DSN are libpq's (PostgreSQL documentation, "Database Connection Control Functions"
and "Environment Variables"): `hostaddr` overrides `host`, and a service file or the environment
fill in what the DSN leaves out. Anything that leads elsewhere than the DSN itself says is a mistake
here.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

MOST_PORT = 65535
#: PostgreSQL cuts longer names (NAMEDATALEN).
NAME_BYTES = 63
DIGITS = 18
#: The size of a run of some minutes; the reason for a failure needs less.
LEAST_MB = 20
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
#: Variables that libpq uses before, or in place of, a DSN's host.
_ELSEWHERE = ("PGHOSTADDR", "PGSERVICE")


def is_whole(text: str, least: int = 0, most: int = 10**DIGITS) -> bool:
    """Whether this is a whole number within these bounds, in plain digits."""
    return (
        text.isascii() and text.isdecimal() and len(text) <= DIGITS and least <= int(text) <= most
    )


def is_port(text: str) -> bool:
    """Whether a server can have this port."""
    return is_whole(text, 1, MOST_PORT)


def is_address(text: str) -> bool:
    """Whether this is HOST:PORT; an IPv6 address stands in brackets."""
    host, _, port = text.strip().rpartition(":")
    return _HOST.fullmatch(host) is not None and is_port(port)


def are_addresses(text: str) -> bool:
    """Whether this is HOST:PORT, or several by comma, as Kafka's clients take them."""
    return all(is_address(part) for part in text.split(","))


#: The port that each scheme means where a URL names none.
_PORTS = {
    "https": 443,
    "redis": 6379,
    "rediss": 6379,
    "nats": 4222,
    "tls": 4222,
    "mysql": 3306,
    "mariadb": 3306,
}


def is_url(text: str, schemes: Collection[str] = ("http", "https")) -> bool:
    """Whether this is a URL of one of these schemes with a host, and a port that can be."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in schemes
        and port != 0
        and _HOST.fullmatch(bracketed(parts.hostname)) is not None
    )


def url_address(url: str) -> str:
    """HOST:PORT of a URL that `is_url`."""
    parts = urlsplit(url)
    return f"{bracketed(parts.hostname)}:{parts.port or _PORTS.get(parts.scheme, 80)}"


def endpoint_address(endpoint: str) -> str:
    """HOST:PORT of an endpoint that is a URL, or HOST:PORT already."""
    return url_address(endpoint) if "://" in endpoint else endpoint


def bracketed(host: str | None) -> str:
    """A host as URLs have it: an IPv6 address in brackets."""
    return f"[{host}]" if host is not None and ":" in host else host or ""


def is_topic(name: str) -> bool:
    """Whether a Kafka topic can have this name (Kafka's clients/.../internals/Topic.java)."""
    return _TOPIC.fullmatch(name) is not None and name not in (".", "..")


def environment_mistakes(environ: Mapping[str, str]) -> list[str]:
    """Variables that send libpq elsewhere than a DSN says."""
    return [
        f"{name}={environ[name]} sends connections elsewhere than the DSN says; unset it, and name"
        " the server by host"
        for name in _ELSEWHERE
        if environ.get(name)
    ]


def _stays_here(place: Mapping[str, str]) -> bool:
    """Whether both the second address and the host are on this machine."""
    return all(map(is_loopback, (*place["hostaddr"].split(","), *_hosts(place))))


def dsn_mistakes(dsn: str, environ: Mapping[str, str]) -> list[str]:
    """Mistakes in a DSN, each a clause to follow the DSN's name.

    The DSN's text is not repeated, and neither is libpq's error, which contains part of it, nor the
    text in place of a port: libpq takes a password with a slash in it for a port.
    """
    try:
        place = dsn_place(dsn)
    except psycopg.Error:
        return ["cannot be parsed; write NAME=VALUE ... or postgresql://HOST:PORT/DATABASE"]
    found = [
        f"has {key}={place[key]!r}, which leads elsewhere than host says; name the server by host"
        " instead"
        for key in ("hostaddr", "service")
        if key in place and not (key == "hostaddr" and _stays_here(place))
    ]
    if "password" in place:
        found.append(
            "holds a password, which every process could read; put it into PGPASSWORD or PGPASSFILE"
        )
    if "sslpassword" in place:
        found.append("holds sslpassword, which every process could read; use a key without one")
    hosts, ports = _hosts(place), _ports(place, environ)
    if not all(hosts):
        found.append(
            "has no host, so that the environment or a socket of this machine would decide; add"
            " host=..."
        )
    if not all(map(is_port, ports)) or len(ports) not in (1, len(hosts)):
        found.append(
            f"has no port (nor has PGPORT) from 1 to {MOST_PORT}, one for all hosts or one for"
            " each; write it"
        )
    return found + environment_mistakes(environ)


def dsn_addresses(dsn: str, environ: Mapping[str, str]) -> list[str]:
    """HOST:PORT of every server that libpq would try, for a DSN without mistakes; a socket's host
    is its directory.
    """
    place = dsn_place(dsn)
    hosts, ports = _hosts(place), _ports(place, environ)
    each = [*ports] * len(hosts) if len(ports) == 1 else ports
    return [f"{host}:{port}" for host, port in zip(hosts, each, strict=True)]


def dsn_place(dsn: str) -> dict[str, str]:
    """A DSN's settings by libpq's keyword; raises psycopg.Error."""
    return {name: str(value) for name, value in conninfo_to_dict(dsn).items()}


def _hosts(place: Mapping[str, str]) -> Sequence[str]:
    return [host.strip() for host in place.get("host", "").split(",")]


def _ports(place: Mapping[str, str], environ: Mapping[str, str]) -> Sequence[str]:
    given = place.get("port") or environ.get("PGPORT") or "5432"
    return [port.strip() or "5432" for port in given.split(",")]


def unwritable(directory: Path) -> str:
    """Why a directory, which need not exist yet, cannot be written to, or has too little room;
    empty if it can be used.

    Leaves nothing behind.
    """
    existing = next(
        place for place in (directory.absolute(), *directory.absolute().parents) if _exists(place)
    )
    if not existing.is_dir():
        return f"{existing} is a file"
    try:
        with tempfile.TemporaryFile(dir=existing):
            free_mb = shutil.disk_usage(existing).free / 1e6
    except OSError as error:
        return error.strerror or str(error)
    return "" if free_mb >= LEAST_MB else f"{free_mb:.0f} MB are free there, {LEAST_MB} are needed"


def unwritable_file(path: Path) -> str:
    """Why a file cannot be written, whose directories need not exist yet; empty if it can.

    Leaves nothing behind, and does not change an existing file.
    """
    if not _exists(path):
        return unwritable(path.absolute().parent)
    if path.is_dir():
        return f"{path} is a directory"
    return "" if os.access(path, os.W_OK) else "it may not be written"


def _exists(place: Path) -> bool:
    """Whether a path can be seen; one below a directory that may not be entered cannot."""
    try:
        return place.exists()
    except OSError:
        return False


def host_of(header: str) -> str:
    """The host of a request's `Host` header, without port and brackets; empty for a
    malformed one.
    """
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
