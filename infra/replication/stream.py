"""The replication connection: it delivers raw messages, sends confirmations, and confirms nothing
by itself.

PostgreSQL documentation, "Streaming Replication Protocol". It uses libpq directly: on a keepalive
psycopg2's replication cursor advances the confirmed position by its own guess, which is wrong for a
reader that passes changes on before they are durable.
"""

from __future__ import annotations

import select
import struct
import time
from dataclasses import dataclass

from psycopg import Error as PsycopgError
from psycopg import pq

from infra.client.sql import quoted
from infra.replication.connection import (
    SILENCE_S,
    ReplicationConnection,
    failure,
    lsn_number,
    lsn_text,
)
from infra.replication.error import StreamError
from infra.replication.pgoutput.value import SESSION

__all__ = ["POSTGRES_EPOCH_US", "ReplicationStream", "lsn_number", "lsn_text"]

# XLogData: 'w', start of its WAL, end of WAL on the server, the server's clock; then the message.
XLOG_HEADER_BYTES = 25
KEEPALIVE = struct.Struct(">cQQB")
STATUS = struct.Struct(">cQQQQB")
XLOG_DATA, KEEPALIVE_TAG = ord("w"), ord("k")
#: Microseconds from 1970 to 2000, where the server's clock counts from.
POSTGRES_EPOCH_US = 946_684_800_000_000
CLOSE_S = 1.0
#: libpq takes 8 KiB or more from the socket at a time, if that much has arrived.
FULL_BYTES = 4096
READ_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """The parameters of START_REPLICATION: a publication's changes, from a position of a slot.

    `binary` asks for values in binary form, `streaming` for transactions that are still in
    progress.
    """

    slot: str
    publication: str
    start_lsn: int
    binary: bool = False
    streaming: bool = False


class ReplicationStream:
    """One session of START_REPLICATION. For one thread; every failure is a StreamError.

    `idle_lsn` is how far the server has read its WAL without finding more for us; `asked` is set
    when the server wants a confirmation now.
    """

    def __init__(self, connection: ReplicationConnection, request: StreamRequest) -> None:
        self.idle_lsn = 0
        self.asked = self.more = False
        self.silence_s = connection.silence_s
        self._heard_s = time.monotonic()
        self._connection = connection.pg
        session = dict(SESSION)
        # A server with this encoding converts nothing, and ends the stream at the first text that
        # is not valid in the client's encoding.
        if self._connection.parameter_status(b"server_encoding") == b"SQL_ASCII":
            session["client_encoding"] = "SQL_ASCII"
        for name, value in session.items():
            connection.run(
                f"SET {name} = {_literal(value)}", pq.ExecStatus.COMMAND_OK, f"{name} cannot be set"
            )
        # Version 2 is the first that streams transactions in progress (PostgreSQL 14).
        options = {
            "proto_version": "2" if request.streaming else "1",
            "publication_names": quoted(request.publication),
        }
        if request.streaming:
            options["streaming"] = "on"
        if request.binary:
            options["binary"] = "on"
        listed = ", ".join(f"{name} {_literal(value)}" for name, value in options.items())
        command = (
            f"START_REPLICATION SLOT {quoted(request.slot)} LOGICAL {lsn_text(request.start_lsn)}"
            f" ({listed})"
        )
        connection.run(command, pq.ExecStatus.COPY_BOTH, f"slot {request.slot!r} cannot be read")

    @classmethod
    def open(cls, dsn: str, request: StreamRequest) -> ReplicationStream:
        """A session on a connection of its own."""
        return cls(ReplicationConnection(dsn, SILENCE_S), request)

    def _reason(self) -> str:
        return self._connection.error_message.decode(errors="replace").strip() or "no reason given"

    def read(self, limit: int) -> list[bytes]:
        """The messages that have arrived, at most `limit` and about READ_BYTES; never waits.

        Afterwards `more` says whether one of the limits ended the call.
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
                    else:
                        raise StreamError(f"the server sent a message of kind {chr(data[0])!r}")
                elif size < 0:
                    raise self._ending()
                elif gained < FULL_BYTES:
                    self.more = False
                    break  # reading on at once would wake the server for every change
                else:
                    gained = 0
                    self._connection.consume_input()
        except PsycopgError as error:
            raise StreamError(f"the replication connection broke: {error}") from error
        if messages:
            self._heard_s = time.monotonic()
        return messages

    def _keepalive(self, data: bytes) -> None:
        _, end_lsn, _, reply = KEEPALIVE.unpack_from(data)
        self.idle_lsn = end_lsn
        self.asked = self.asked or bool(reply)
        self._heard_s = time.monotonic()

    def _ending(self) -> StreamError:
        answer = self._connection.get_result()
        return failure(answer, "the server ended the replication", self._reason())

    @property
    def quiet_s(self) -> float:
        """For how long, in seconds, the server has sent nothing that we have read."""
        return time.monotonic() - self._heard_s

    def check_silence(self) -> None:
        """Raise StreamError if the server has been silent for longer than `silence_s`.

        A living server answers the requests that `confirm` makes after a third of the limit.
        """
        if self.quiet_s > self.silence_s:
            raise StreamError(f"the server has said nothing for {self.silence_s:g} s")

    def rest(self) -> None:
        """Nothing was read for a while by our own choice, so silence counts from now."""
        self._heard_s = time.monotonic()

    def wait(self, timeout_s: float) -> None:
        """Return when data may have arrived, or the time is over."""
        select.select([self._connection.socket], [], [], timeout_s)

    @property
    def overdue(self) -> bool:
        """Whether it is time to ask the server for a sign of life."""
        return self.quiet_s > self.silence_s / 3

    def confirm(self, written_lsn: int, durable_lsn: int) -> None:
        """Tell the server what has been received, and that it may discard everything before
        `durable_lsn`.
        """
        clock_us = time.time_ns() // 1000 - POSTGRES_EPOCH_US
        try:
            self._connection.put_copy_data(
                STATUS.pack(b"r", written_lsn, durable_lsn, durable_lsn, clock_us, self.overdue)
            )
            self._connection.flush()
        except PsycopgError as error:
            raise StreamError(f"the replication connection broke: {error}") from error
        self.asked = False

    def close(self) -> None:
        """End the session; when this returns, the server has read the confirmations that were sent
        before.
        """
        deadline_s = time.monotonic() + CLOSE_S
        try:
            if self._connection.status == pq.ConnStatus.OK:
                self._connection.put_copy_end()
                self._connection.flush()
                # The server answers after it has read everything before, and after what it was
                # still sending. That is read and dropped for a moment, because closing at once
                # could reset the connection too early.
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


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
