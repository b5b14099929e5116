"""The replication connection: raw messages in, confirmations out, and nothing confirmed behind our
back.

PostgreSQL documentation, "Streaming Replication Protocol". This speaks through libpq itself:
psycopg2's replication cursor moves the confirmed position by a guess of its own when a keepalive
comes, which a reader that hands changes on before they are durable cannot allow.
"""

from __future__ import annotations

import select
import struct
import time

from psycopg import Error as PsycopgError
from psycopg import pq
from psycopg.conninfo import make_conninfo

from infra.replication.error import StreamError
from infra.replication.pgoutput.value import SESSION

# XLogData: 'w', start of its WAL, end of WAL on the server, the server's clock; then the message.
XLOG_HEADER_BYTES = 25
KEEPALIVE = struct.Struct(">cQQB")
STATUS = struct.Struct(">cQQQQB")
XLOG_DATA, KEEPALIVE_TAG = ord("w"), ord("k")
#: Microseconds from 1970 to 2000, where the server's clock starts.
POSTGRES_EPOCH_US = 946_684_800_000_000
CONNECT_S = 10
CLOSE_S = 1.0
#: libpq takes 8 KiB or more from the socket at a time where so much is there.
FULL_BYTES = 4096
READ_BYTES = 4 << 20


def lsn_text(lsn: int) -> str:
    """A position as Postgres writes it: 16/B374D848."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    """The same, read."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class ReplicationStream:
    """One session of START_REPLICATION. For one thread; every failure is a StreamError.

    `idle_lsn` is how far the server has looked without finding anything for us after what it has
    sent; `asked` is set when the server wants a confirmation now.
    """

    def __init__(
        self, dsn: str, slot: str, publication: str, start_lsn: int, *, binary: bool = False
    ) -> None:
        self.idle_lsn = 0
        self.asked = self.more = False
        conninfo = make_conninfo(
            dsn,
            replication="database",
            connect_timeout=CONNECT_S,
            application_name="locust-cdc wal",
        )
        self._connection = pq.PGconn.connect(conninfo.encode())
        if self._connection.status != pq.ConnStatus.OK:
            raise StreamError(f"Postgres cannot be connected to for replication: {self._reason()}")
        for name, value in SESSION.items():
            self._run(
                f"SET {name} = {_literal(value)}", pq.ExecStatus.COMMAND_OK, f"{name} cannot be set"
            )
        options = {"proto_version": "1", "publication_names": _quoted(publication)}
        if binary:
            options["binary"] = "on"
        listed = ", ".join(f"{name} {_literal(value)}" for name, value in options.items())
        command = f"START_REPLICATION SLOT {_quoted(slot)} LOGICAL {lsn_text(start_lsn)} ({listed})"
        self._run(command, pq.ExecStatus.COPY_BOTH, f"slot {slot!r} cannot be read")

    def _run(self, command: str, expected: pq.ExecStatus, otherwise: str) -> None:
        answer = self._connection.exec_(command.encode())
        if answer.status != expected:
            reason = answer.error_message.decode(errors="replace").strip()
            self._connection.finish()
            raise StreamError(f"{otherwise}: {reason}")

    def _reason(self) -> str:
        return self._connection.error_message.decode(errors="replace").strip() or "no reason given"

    def read(self, limit: int) -> list[bytes]:
        """The messages that are here now, at most `limit` and some READ_BYTES; never waits.

        `more` says afterwards whether it was a limit that ended it.
        """
        messages: list[bytes] = []
        room_bytes = READ_BYTES
        self.more = True
        get = self._connection.get_copy_data
        gained = FULL_BYTES
        try:
            while len(messages) < limit and room_bytes > 0:
                size, data = get(1)
                if size > 0:
                    gained += size
                    room_bytes -= size
                    if data[0] == XLOG_DATA:
                        messages.append(bytes(data[XLOG_HEADER_BYTES:]))
                    elif data[0] == KEEPALIVE_TAG:
                        self._keepalive(bytes(data))
                elif size < 0:
                    raise StreamError(f"the server ended the replication: {self._ending()}")
                elif gained < FULL_BYTES:
                    self.more = False
                    break  # going on at once would wake the server for every change
                else:
                    gained = 0
                    self._connection.consume_input()
        except PsycopgError as error:
            raise StreamError(f"the replication connection broke: {error}") from error
        return messages

    def _keepalive(self, data: bytes) -> None:
        _, end_lsn, _, reply = KEEPALIVE.unpack_from(data)
        self.idle_lsn = end_lsn
        self.asked = self.asked or bool(reply)

    def _ending(self) -> str:
        result = self._connection.get_result()
        return (
            result.error_message.decode(errors="replace").strip()
            if result is not None
            else self._reason()
        )

    def wait(self, timeout_s: float) -> None:
        """Return when something may have come, or the time is over."""
        select.select([self._connection.socket], [], [], timeout_s)

    def confirm(self, written_lsn: int, durable_lsn: int) -> None:
        """Tell the server what has been taken, and what it may forget: everything before
        `durable_lsn`.
        """
        clock_us = time.time_ns() // 1000 - POSTGRES_EPOCH_US
        try:
            self._connection.put_copy_data(
                STATUS.pack(b"r", written_lsn, durable_lsn, durable_lsn, clock_us, 0)
            )
            self._connection.flush()
        except PsycopgError as error:
            raise StreamError(f"the replication connection broke: {error}") from error
        self.asked = False

    def close(self) -> None:
        """End the session; what was confirmed before has been read by the server when this
        returns.
        """
        deadline_s = time.monotonic() + CLOSE_S
        try:
            if self._connection.status == pq.ConnStatus.OK:
                self._connection.put_copy_end()
                self._connection.flush()
                # The server answers when it has read everything before, and after what it was
                # still sending: that is thrown away for a moment, since closing on it could reset
                # the connection too early.
                while (
                    time.monotonic() < deadline_s
                    and (size := self._connection.get_copy_data(1)[0]) >= 0
                ):
                    if size == 0:
                        self.wait(0.05)
                        self._connection.consume_input()
        except PsycopgError:
            pass  # the connection had broken: the next session starts from what was confirmed
        finally:
            self._connection.finish()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
