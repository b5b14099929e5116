"""The passwords of one process stack: made at its start, kept in files that only its user can read.

Every user of the machine can reach loopback, and PostgreSQL's superuser can run commands as the
server's account. So every login needs a password. Kafka Connect has no login of its own, and gets
the password of a role that can only read and replicate.
"""

from __future__ import annotations

import os
import secrets
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from infra.stack.servers.port import HOST

OWNER = "postgres"
#: Debezium's role: REPLICATION for slots, and the right to read catalog and tables.
READER = "cdc_connect"
RANDOM_BYTES = 24
_ROLE = SQL("CREATE ROLE {} LOGIN REPLICATION IN ROLE pg_read_all_data PASSWORD {}")


@dataclass(frozen=True, slots=True)
class StackPasswords:
    """One stack's passwords by role, and the directory of the files that hold them."""

    directory: Path
    owner: str = field(repr=False)
    reader: str = field(repr=False)

    @property
    def passfile(self) -> Path:
        """libpq's password file: the DSN names the file, so no DSN has the password itself."""
        return self.directory / "pgpass"

    @property
    def properties(self) -> Path:
        """The Java properties file from which Kafka Connect reads the reader's password."""
        return self.directory / "connect.properties"

    @property
    def reference(self) -> str:
        """The reference that a connector's configuration has in place of the password."""
        return f"${{file:{self.properties}:secret}}"

    def write(self, *ports: int) -> None:
        """Write the files; no other account can read them."""
        self.directory.mkdir(mode=0o700)
        lines = [f"{HOST}:{port}:*:{OWNER}:{self.owner}\n" for port in ports]
        write_private(self.passfile, "".join(lines))
        write_private(self.properties, f"secret={self.reader}\n")


def make_passwords(directory: Path) -> StackPasswords:
    """New passwords, kept in a directory that `write` makes."""
    return StackPasswords(directory, *(secrets.token_hex(RANDOM_BYTES) for _ in range(2)))


def write_private(path: Path, content: str | bytes) -> None:
    """Write a new file that only this account can read."""
    data = content.encode() if isinstance(content, str) else content
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def create_reader(dsn: str, passwords: StackPasswords) -> None:
    """Create the role for Kafka Connect; the server's log never sees its password."""
    with closing(psycopg.connect(dsn, connect_timeout=10)) as connection:
        connection.autocommit = True
        hidden = connection.pgconn.encrypt_password(
            passwords.reader.encode(), READER.encode(), b"scram-sha-256"
        ).decode()
        with connection.cursor() as cursor:
            cursor.execute(_ROLE.format(Identifier(READER), Literal(hidden)))
