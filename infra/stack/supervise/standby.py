"""The supervisor's acts on a standby of PostgreSQL: it is added, replaces its primary, or goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from infra.stack.error import StackConfigError
from infra.stack.servers.port import free_ports
from infra.stack.servers.postgres import Cluster
from infra.stack.servers.server import ServerProcess, start
from infra.stack.servers.standby import NAME, Standby

READY_S = 60.0


class StandbyControl:
    """Has at most one standby, which is a server of the list as long as it is one; only for the
    thread that started the servers.
    """

    def __init__(
        self,
        cluster: Cluster,
        servers: list[ServerProcess],
        logs: Path,
        changed: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._servers, self._logs, self._changed = servers, logs, changed
        self._standby: Standby | None = None

    def add(self) -> None:
        """Copy the running primary and start the copy as its standby; returns when it receives
        WAL.
        """
        self.remove()
        (port,) = free_ports(1)
        self._standby = Standby(self._cluster, port)
        recipe = self._standby.recipe()
        recipe.prepare()
        server = start(recipe, self._logs)
        self._servers.append(server)
        self._changed()
        server.await_ready(time.monotonic() + READY_S)

    def await_slots(self) -> None:
        """Return when every slot that is to survive is also on the standby."""
        self._there().await_slots()

    def take_over(self) -> None:
        """Promote the standby and leave its files where those of its primary were, which has ended:
        the next start at the primary's address is the promoted server.
        """
        standby = self._there()
        standby.promote()
        self._stop()
        standby.take_place()
        self._standby = None

    def remove(self) -> None:
        """Stop the standby and remove what belongs to it; there may be none."""
        if self._standby is not None:
            self._stop()
            self._standby.remove()
            self._standby = None

    def _there(self) -> Standby:
        if self._standby is None:
            raise StackConfigError("there is no standby that could take over; add one first")
        return self._standby

    def _stop(self) -> None:
        for server in [server for server in self._servers if server.recipe.name == NAME]:
            server.stop()
            self._servers.remove(server)
            self._changed()
