"""A standby of the process stack's PostgreSQL, whose replication slots follow the primary's
(PostgreSQL's documentation, "Replication Slot Synchronization"), so that it can take its place.
"""

from __future__ import annotations

import ctypes
import shutil
import signal
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from infra.stack.error import StackConfigError, StackError
from infra.stack.servers import postgres
from infra.stack.servers.password import OWNER
from infra.stack.servers.port import HOST
from infra.stack.servers.postgres import Cluster
from infra.stack.servers.server import Recipe
from infra.stack.supervise.identity import LIBC

NAME = "postgres-standby"
#: Its slot on the primary, and its name as a synchronous standby.
SLOT = "locust_cdc_standby"
#: The first version that copies logical slots to standbys.
OLDEST_MAJOR = 17
SYNCED_S, POLL_S = 60.0, 0.5
CONNECT_S = 10
IPC_RMID = 0
#: The line of postmaster.pid with the key and the number of its shared memory (miscinit.c).
SHARED_MEMORY_LINE = 6
_RECEIVES = "SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"
_FAILOVER = "SELECT slot_name FROM pg_replication_slots WHERE failover AND NOT temporary"
_SYNCED = (
    "SELECT slot_name FROM pg_replication_slots WHERE synced AND NOT temporary"
    " AND invalidation_reason IS NULL"
)
_DROP = (
    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND"
    " NOT active"
)


@dataclass(frozen=True, slots=True)
class Standby:
    """A standby of a cluster, on a port of its own; its files are in the cluster's place."""

    cluster: Cluster
    port: int

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.cluster.place / "standby"

    @property
    def passfile(self) -> Path:
        """libpq's password file for primary and standby, which the cluster's account can read."""
        return self.cluster.place / "standby.pass"

    @property
    def dsn(self) -> str:
        """Its connection string."""
        return postgres.dsn(self.port, self.passfile)

    @property
    def primary_dsn(self) -> str:
        """The connection string of its primary."""
        return postgres.dsn(self.cluster.port, self.passfile)

    def recipe(self) -> Recipe:
        """The server; its preparation copies the running primary. All that makes it a standby is on
        its command line, so nothing of it is left once it is the primary.
        """
        settings = {
            "primary_conninfo": f"{self.primary_dsn} application_name={SLOT}",
            "primary_slot_name": SLOT,
            "sync_replication_slots": "on",
            "hot_standby_feedback": "on",
        }
        own = postgres.server_command(self.cluster, self.data, self.port)
        return Recipe(
            name=NAME,
            command=[*own, *postgres.flags(settings)],
            probe=self._probe,
            prepare=self._copy_primary,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGQUIT,
            account=self.cluster.owner,
        )

    def _copy_primary(self) -> None:
        owner, password = self.cluster.owner, self.cluster.passwords.owner
        lines = [f"{HOST}:{port}:*:{OWNER}:{password}\n" for port in (self.cluster.port, self.port)]
        postgres.write_for(owner, self.passfile, "".join(lines))
        program = postgres.reachable(self.cluster) / "pg_basebackup"
        if not program.exists():
            raise StackConfigError(
                f"there is no {program}, which makes a standby; name another PostgreSQL in"
                " CDC_POSTGRES_BIN, or unset it to use the server that is included"
            )
        wanted = ["-D", self.data, "-d", self.primary_dsn, "-c", "fast", "-C", "-S", SLOT]
        done = postgres.run_as(owner, [program, *wanted])
        if done.returncode:
            raise StackError(f"pg_basebackup ended with {done.returncode}: {done.stderr.strip()}")
        postgres.write_for(owner, self.data / "standby.signal", "")

    def _probe(self) -> None:
        if not _column(self.dsn, _RECEIVES):
            raise StackError("it does not receive WAL")

    def await_slots(self) -> None:
        """Wait until every slot of the primary that is to survive is also here; raises StackError
        that names the others.

        The standby takes a slot once its reader has confirmed what came after a record of the
        transactions that run, so a slot that nobody advances is never taken. The primary writes
        that record every 15 s, and the standby looks for slots up to every 30 s; both do so at once
        when they are asked.
        """
        deadline_s = time.monotonic() + SYNCED_S
        while left := set(_column(self.primary_dsn, _FAILOVER)) - set(_column(self.dsn, _SYNCED)):
            if time.monotonic() > deadline_s:
                raise StackError(
                    f"slots {', '.join(sorted(left))} are not synchronised with the standby after"
                    f" {SYNCED_S:g} s; see the log of {NAME}"
                )
            _column(self.primary_dsn, "SELECT pg_log_standby_snapshot()")
            _column(self.dsn, "SELECT pg_reload_conf()")
            time.sleep(POLL_S)

    def promote(self) -> None:
        """End its being a standby; raises StackError."""
        if _column(self.dsn, "SELECT pg_promote()") != [True]:
            raise StackError("the standby was not promoted")

    def take_place(self) -> None:
        """Put its files in the place of the primary's; neither of them may run."""
        old = self.cluster.place / "old"
        self.cluster.data.rename(old)
        self.data.rename(self.cluster.data)
        _free_shared_memory(old / "postmaster.pid")
        shutil.rmtree(old)
        self.passfile.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove its files, and its slot on the primary; they may be gone already."""
        if self.data.exists():
            shutil.rmtree(self.data)
        self.passfile.unlink(missing_ok=True)
        dsn = postgres.dsn(self.cluster.port, self.cluster.passwords.passfile)
        with closing(_connected(dsn)) as connection:
            connection.execute(_DROP, (SLOT,))


def _connected(dsn: str) -> psycopg.Connection[Any]:
    return psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_S)


def _column(dsn: str, query: str) -> list[Any]:
    with closing(_connected(dsn)) as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


def _free_shared_memory(file: Path) -> None:
    """Free the shared memory of a server that was killed and whose files go, since no later start
    in its directory does.
    """
    lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
    if len(lines) > SHARED_MEMORY_LINE and (words := lines[SHARED_MEMORY_LINE].split()):
        LIBC.shmctl(ctypes.c_int(int(words[-1])), IPC_RMID, None)
