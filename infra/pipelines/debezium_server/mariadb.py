"""Debezium Server's source is MariaDB: its properties, and how it is seen to read the log."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates

from infra.mariadb.address import MariadbAddress, connect_to
from infra.mariadb.database import table_names
from infra.stack.servers.secured.certificate import java_trust_store

_STORE = "trust.p12"
#: Java opens a store of certificates only with a password; what it holds is public.
_STORE_PASSWORD = "public"  # noqa: S105 - no secret
_READERS = "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'"


def is_mariadb(dsn: str) -> bool:
    """Whether a source's address is a MariaDB's."""
    return dsn.startswith("mysql://")


def source_tables(url: str) -> tuple[str, ...]:
    """The tables of the run's own database, DATABASE.TABLE; raises pymysql.Error."""
    database = MariadbAddress.of(url).database
    with closing(connect_to(url)) as connection:
        return tuple(f"{database}.{table}" for table in table_names(connection, database))


def readers(url: str) -> frozenset[int]:
    """The connections of this user that read the binary log now; raises pymysql.Error."""
    with closing(connect_to(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_READERS)
        return frozenset(int(number) for (number,) in cursor.fetchall())


def write_trust_store(url: str, place: Path) -> None:
    """Write the authorities that the URL names, if any, as Java reads them (PKCS#12), for the
    connector whose directory is `place`. Raises OSError, and ValueError for what is no PEM.
    """
    ca = MariadbAddress.of(url).ca
    if not ca:
        return
    trusted = load_pem_x509_certificates(Path(ca).read_bytes())
    (place / _STORE).write_bytes(java_trust_store(trusted, _STORE_PASSWORD))


def source_properties(url: str, place: Path) -> Mapping[str, str]:
    """The connector's own properties, with its files in the directory `place`.

    The tables are the run's own and nobody alters them, so no lock is needed to read them.
    """
    address = MariadbAddress.of(url)
    checked = {
        "database.ssl.mode": "verify-full",
        "database.ssl.truststore": str(place / _STORE),
        "database.ssl.truststore.password": _STORE_PASSWORD,
    }
    return {
        **(checked if address.ca else {}),
        "connector.class": "io.debezium.connector.mariadb.MariaDbConnector",
        "database.hostname": address.host,
        "database.port": str(address.port),
        "database.user": address.user,
        # The server knows each reader of its log by a number that no other has.
        "database.server.id": str(secrets.randbelow(2**30) + 2**30),
        "database.include.list": address.database,
        "snapshot.locking.mode": "none",
        "include.schema.changes": "false",
        "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
        "schema.history.internal.file.filename": str(place / "history.dat"),
    }
