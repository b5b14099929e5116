"""The supervisor's acts on one of its servers, which keeps its ports and directories.

A server that was killed on purpose is no failure: it stays down, and the others stay up, until it
is started again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from infra.stack.error import StackConfigError
from infra.stack.servers.server import ServerProcess, start
from infra.stack.supervise.request import ACTIONS


class ServerControl:
    """Acts on the servers of a list and keeps the list up to date; only for the thread that started
    the servers, because the kernel ties them to it.
    """

    def __init__(self, servers: list[ServerProcess], logs: Path, changed: Callable[[], None]):
        self._servers, self._logs, self._changed = servers, logs, changed
        #: Servers that were killed on purpose.
        self.down: set[str] = set()

    def act(self, action: str, name: str) -> None:
        """Carry out one of ACTIONS; raises StackConfigError for an act that makes no sense."""
        server = self._server(name)
        if action not in ACTIONS:
            raise StackConfigError(f"{action!r} is not one of {', '.join(ACTIONS)}")
        if name in self.down and action != "restart":
            raise StackConfigError(
                f"{name} is down, because it was killed; `python -m infra.stack restart {name}`"
                " starts it"
            )
        if action == "restart":
            self._restart(server)
        elif action == "kill":
            self.down.add(name)
            server.identity.kill()
            server.process.wait()
        elif action == "pause":
            server.identity.pause()
        else:
            server.identity.resume()

    def _server(self, name: str) -> ServerProcess:
        known = {server.recipe.name: server for server in self._servers}
        if name not in known:
            raise StackConfigError(f"{name!r} is not a server of this stack: {', '.join(known)}")
        return known[name]

    def _restart(self, server: ServerProcess) -> None:
        self.down.add(server.recipe.name)
        server.stop()
        again = start(server.recipe, self._logs)
        self._servers[self._servers.index(server)] = again
        self.down.discard(server.recipe.name)
        self._changed()
