"""The supervisor's acts on one of its servers, which keeps its ports and directories.

A server that was killed on purpose is no failure: it stays down, and the others stay up, until it
is started again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from infra.stack.error import StackConfigError, StackError
from infra.stack.servers.server import ServerProcess, start
from infra.stack.supervise.request import ACTIONS, ANY_TIME
from infra.stack.supervise.standby import StandbyControl

#: PostgreSQL waits at its end until its readers have confirmed everything, which may take a while.
IN_ORDER_S = 60.0


class ServerControl:
    """Acts on the servers of a list and keeps the list up to date; only for the thread that started
    the servers, because the kernel ties them to it.
    """

    def __init__(self, servers: list[ServerProcess], logs: Path, changed: Callable[[], None]):
        self._servers, self._logs, self._changed = servers, logs, changed
        #: Servers that were killed on purpose.
        self.down: set[str] = set()
        #: Servers that may end, which is no failure until they are started again.
        self._may_end: set[str] = set()
        #: For PostgreSQL alone; set when its cluster is known.
        self.standby: StandbyControl | None = None

    def is_missed(self, server: ServerProcess) -> bool:
        """Whether the end of this server is a failure."""
        return server.recipe.name not in self.down | self._may_end

    def act(self, action: str, name: str) -> None:
        """Carry out one of ACTIONS; raises StackConfigError for an act that makes no sense."""
        server = self._server(name)
        if action not in ACTIONS:
            raise StackConfigError(f"{action!r} is not one of {', '.join(ACTIONS)}")
        if name in self.down and action not in ANY_TIME:
            raise StackConfigError(
                f"{name} is down, because it was killed; `python -m infra.stack restart {name}`"
                " starts it"
            )
        if action == "restart":
            self._restart(server)
        elif action == "start":
            if server.dead() is not None:
                self._start(server)
        elif action in ("kill", "end"):
            self._kill(server)
        elif action == "pause":
            server.identity.pause()
        elif action == "resume":
            server.identity.resume()
        elif action == "may-end":
            self._may_end.add(name)
        else:
            self._with_standby(action, server)

    def _server(self, name: str) -> ServerProcess:
        known = {server.recipe.name: server for server in self._servers}
        if name not in known:
            raise StackConfigError(f"{name!r} is not a server of this stack: {', '.join(known)}")
        return known[name]

    def _kill(self, server: ServerProcess) -> None:
        self.down.add(server.recipe.name)
        server.identity.kill()
        server.process.wait()

    def _restart(self, server: ServerProcess) -> None:
        self.down.add(server.recipe.name)
        server.stop()
        self._start(server)

    def _start(self, server: ServerProcess) -> None:
        """Start a server that has ended."""
        again = start(server.recipe, self._logs)
        self._servers[self._servers.index(server)] = again
        self.down.discard(server.recipe.name)
        self._may_end.discard(server.recipe.name)
        self._changed()

    def _with_standby(self, action: str, primary: ServerProcess) -> None:
        if self.standby is None or primary.recipe.name != "postgres":
            raise StackConfigError(f"{primary.recipe.name} can have no standby")
        if action == "add-standby":
            self.standby.add()
        elif action == "remove-standby":
            self.standby.remove()
        else:
            self.standby.await_slots()
            if action == "switch-over":
                self._end(primary)
            elif action == "fail-over":
                self._kill(primary)
            else:
                return
            self.standby.take_over()
            self._start(primary)

    def _end(self, primary: ServerProcess) -> None:
        """End PostgreSQL in order: its readers confirm all that there is."""
        self.down.add(primary.recipe.name)
        primary.stop(IN_ORDER_S)
        if primary.process.returncode:
            raise StackError(
                f"PostgreSQL did not end in order within {IN_ORDER_S:g} s, since one of its readers"
                " has not confirmed what it was sent; its standby may lack something"
            )
