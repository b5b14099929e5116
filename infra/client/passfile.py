"""The password that libpq would use, for clients other than libpq (PostgreSQL documentation, "The
Password File").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_FIELD = r"((?:[^:\\]|\\.)*):"
#: Four fields, and the rest of the line: a password may hold colons (libpq's passwordFromFile).
_LINE = re.compile(_FIELD * 4 + "(.*)")
_ESCAPED = re.compile(r"\\(.)")


def password(place: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """The password for the server, database and user of a parsed DSN; empty if there is none.

    As in libpq: PGPASSWORD, then the file that the DSN names, PGPASSFILE, or ~/.pgpass.
    """
    if environ.get("PGPASSWORD"):
        return environ["PGPASSWORD"]
    named = place.get("passfile") or environ.get("PGPASSFILE")
    path = Path(named) if named else Path(environ.get("HOME", "/"), ".pgpass")
    try:
        # Lines as libpq's: a password may hold every other character that Python ends a line at,
        # and a line of another server bytes that are no UTF-8.
        lines = path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
    except OSError:
        return ""
    host = place.get("host", "").split(",")[0]
    port = (place.get("port") or environ.get("PGPORT") or "5432").split(",")[0]
    user = place.get("user") or environ.get("PGUSER", "")
    wanted = (host, port, place.get("dbname") or environ.get("PGDATABASE") or user, user)
    for line in lines:
        found = _LINE.fullmatch(line.removesuffix("\r"))
        if found and not line.startswith("#") and _fits(found.groups()[:4], wanted):
            return _plain(found[5])
    return ""


def _fits(fields: Sequence[str], wanted: tuple[str, ...]) -> bool:
    return all(
        field == "*" or _plain(field) == value for field, value in zip(fields, wanted, strict=True)
    )


def _plain(field: str) -> str:
    return _ESCAPED.sub(r"\1", field)
