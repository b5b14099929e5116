"""The timeline of a session's changes, although the server may be promoted during the session.

PostgreSQL documentation, "Log Shipping Standby Servers": a standby continues its sessions when it
is promoted, or when its primary is another server. From then on it sends changes of a new timeline.
"""

from __future__ import annotations

from infra.replication.connection import ReplicationConnection, ServerIdentity


class TimelineWatch:
    """Asks a standby for its timeline, on a connection of its own. A primary is not asked, because
    its timeline does not change.

    Not thread-safe.
    """

    def __init__(self, dsn: str, silence_s: float, server: ServerIdentity) -> None:
        self._dsn = dsn
        self._silence_s = silence_s
        self._server = server
        self._connection: ReplicationConnection | None = None

    def look(self) -> int:
        """The timeline of everything that has arrived so far; raises StreamError.

        Changes that the server sent before it left a timeline lie before the fork, so they belong
        to the new timeline too.
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
