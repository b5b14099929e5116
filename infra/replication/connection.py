"""A replication connection before it streams: the server's identity, and commands with a time
limit.

PostgreSQL documentation, "Streaming Replication Protocol". libpq itself waits for an answer without
a limit, so each command here is sent first and its answer awaited separately.
"""

from __future__ import annotations

import select
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import Error as PsycopgError
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.replication.error import StreamError

APPLICATION = "locust-cdc wal"
#: How long the server may be silent: the counterpart of its own wal_sender_timeout.
SILENCE_S = 30.0
#: With these keepalives the kernel notices a dead peer (host or network) within about 30 s. The
#: user's own connection string overrides them.
KEEPALIVE: Mapping[str, str] = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
    "application_name": APPLICATION,
}


def lsn_text(lsn: int) -> str:
    """A log position in Postgres's text form: 16/B374D848."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    """The position in Postgres's text form as a number; the inverse of `lsn_text`."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def limited_conninfo(dsn: str, **own: str) -> str:
    """The connection string with limits for a peer that has disappeared."""
    options: dict[str, str | int | None] = {**KEEPALIVE, **conninfo_to_dict(dsn), **own}
    return make_conninfo("", **options)


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What positions belong to: a cluster and its timeline; `end_lsn` is the end of its WAL.

    `forks` has, for each earlier timeline, the position at which the server left it. A standby's
    timeline may change during a session: by its own promotion, or by that of its primary.
    """

    system: str
    timeline: int
    end_lsn: int
    forks: Mapping[int, int] = field(default_factory=dict)
    standby: bool = False


class ReplicationConnection:
    """One connection with `replication=database`. For one thread; every failure is a StreamError.

    An answer that takes longer than `silence_s` is a failure.
    """

    def __init__(self, dsn: str, silence_s: float = SILENCE_S) -> None:
        self.silence_s = silence_s
        conninfo = limited_conninfo(dsn, replication="database")
        self.pg = pq.PGconn.connect(conninfo.encode())
        if self.pg.status != pq.ConnStatus.OK:
            reason = self.reason()
            self.pg.finish()
            raise StreamError(f"Postgres cannot be connected to for replication: {reason}")

    def reason(self) -> str:
        """libpq's message about the last failure."""
        return self.pg.error_message.decode(errors="replace").strip() or "no reason given"

    def identify(self, known_timeline: int = 0) -> ServerIdentity:
        """Cluster, timeline and present end of WAL; with forks if a position of another timeline is
        known.
        """
        # IDENTIFY_SYSTEM comes first: the timeline of a server that is no standby does not change.
        standby = self._ask("SELECT pg_is_in_recovery()")
        answer = self._ask("IDENTIFY_SYSTEM")
        system, timeline, end = (_cell(answer, column) for column in range(3))
        forks = self._forks(int(timeline)) if known_timeline not in (0, int(timeline)) else {}
        return ServerIdentity(
            system, int(timeline), lsn_number(end), forks, _cell(standby, 0) == "t"
        )

    def _ask(self, command: str) -> pq.abc.PGresult:
        return self.run(command, pq.ExecStatus.TUPLES_OK, "the server does not say who it is")

    def _forks(self, timeline: int) -> dict[int, int]:
        if timeline == 1:
            return {}  # the first timeline has no history
        answer = self.run(
            f"TIMELINE_HISTORY {timeline}", pq.ExecStatus.TUPLES_OK, "no history of the timeline"
        )
        return read_history(_cell(answer, 1))

    def run(self, command: str, expected: pq.ExecStatus, otherwise: str) -> pq.abc.PGresult:
        """A command's first answer; any status other than `expected` closes the connection and
        raises StreamError.
        """
        try:
            self.pg.send_query(command.encode())
            answer = self._answer(command)
            if answer is not None and answer.status == expected:
                if expected != pq.ExecStatus.COPY_BOTH:
                    while self._answer(command) is not None:
                        pass
                return answer
        except PsycopgError as error:
            self.pg.finish()
            raise StreamError(f"{otherwise}: {error}") from error
        refused = failure(answer, otherwise, self.reason())
        self.pg.finish()
        raise refused

    def _answer(self, command: str) -> pq.abc.PGresult | None:
        deadline_s = time.monotonic() + self.silence_s
        while self.pg.is_busy():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                self.pg.finish()
                raise StreamError(
                    f"the server has not answered {command.split()[0]} for {self.silence_s:g} s"
                )
            select.select([self.pg.socket], [], [], left_s)
            self.pg.consume_input()
        return self.pg.get_result()


def read_history(text: str) -> dict[int, int]:
    """A timeline history file: each ancestor's number, and the position where it was left."""
    lines = [line.split() for line in text.splitlines()]
    return {
        int(parts[0]): lsn_number(parts[1]) for parts in lines if parts[:1] and parts[0].isdigit()
    }


def failure(answer: pq.abc.PGresult | None, otherwise: str, reason: str) -> StreamError:
    """The error with the server's own message and code, if it sent any."""
    if answer is None:
        return StreamError(f"{otherwise}: {reason}")
    said = answer.error_message.decode(errors="replace").strip() or reason
    code = answer.error_field(pq.DiagnosticField.SQLSTATE) or b""
    return StreamError(f"{otherwise}: {said}", code.decode())


def _cell(answer: pq.abc.PGresult, column: int) -> str:
    return (answer.get_value(0, column) or b"").decode()
