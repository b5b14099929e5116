"""Which timeline a session's changes are on, while its server may be promoted under it.

PostgreSQL documentation, "Log Shipping Standby Servers": a standby that is promoted, or whose
primary is another one now, goes on with its sessions. What it sends then is on a new timeline.
"""

from __future__ import annotations

from infra.replication.connection import ReplicationConnection, ServerIdentity


class TimelineWatch:
    """Asks a standby for its timeline, on a connection of its own. A primary's stays as it is, so a
    primary is not asked.

    Not thread-safe.
    """

    def __init__(self, dsn: str, silence_s: float, server: ServerIdentity) -> None:
        self._dsn = dsn
        self._silence_s = silence_s
        self._server = server
        self._connection: ReplicationConnection | None = None

    def look(self) -> int:
        """The timeline of all that has come up to now; raises StreamError.

        What the server sent before it left a timeline lies before that place, so it is part of
        the new timeline too.
        """
        if self._server.standby:
            if self._connection is None:
                self._connection = ReplicationConnection(self._dsn, self._silence_s)
            self._server = self._connection.identify()
            if not self._server.standby:
                self.close()
        return self._server.timeline

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._connection is not None:
            self._connection.pg.finish()
            self._connection = None
