"""What a DSN says of TLS, for a client that is not libpq. Pure.

PostgreSQL documentation, "SSL Support", on `sslmode` and `sslrootcert`; Debezium's connector and
PostgreSQL's JDBC driver have both under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping

_MODE, _AUTHORITIES = "sslmode", "sslrootcert"


def encryption(
    place: Mapping[str, str], environ: Mapping[str, str], ca: str | None = None
) -> dict[str, str]:
    """The mode, and the path of the authorities' file, from the DSN's settings or libpq's
    variables; nothing where neither names a mode.

    `ca` is that file's path in the client's view, if it differs from the DSN's.
    """
    mode = place.get(_MODE) or environ.get("PGSSLMODE", "")
    root = ca or place.get(_AUTHORITIES) or environ.get("PGSSLROOTCERT", "")
    found = {_MODE: mode, _AUTHORITIES: root if mode else ""}
    return {name: text for name, text in found.items() if text}
