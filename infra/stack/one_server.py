"""Acts on one server of a stack, which keeps its ports and directories: kill, restart, pause,
resume.
"""

from __future__ import annotations

import os
import time

from infra.stack.command import run_command
from infra.stack.docker import compose
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError
from infra.stack.servers.probe import await_answer, probes
from infra.stack.supervise import request
from infra.stack.supervise.state import StackState, exclusive, is_held

#: The servers of every stack, by the names of their logs.
SERVERS = ("postgres", "kafka", "schema-registry", "connect")
#: A stop may take a training's end, a start the recovery of a log.
ACT_S = 110.0
READY_S = 90.0


def act(state: StackState, endpoints: Endpoints, action: str, server: str) -> None:
    """Act on one server of a checkout's stack, or on one of the user's own that has a command for
    it; after `restart` and `resume` it answers.

    Raises StackConfigError for a server that there is not, or that is not ours to act on, and
    StackError where it cannot be done, or does not answer in time.
    """
    if server not in SERVERS:
        raise StackConfigError(f"{server!r} is not one of {', '.join(SERVERS)}")
    if server in endpoints.commands:
        run_command(endpoints.commands[server], action, ACT_S)
    elif compose.is_ours(state):
        compose.act(action, server, os.environ)
    elif endpoints.kind == "process" and is_held(state):
        with exclusive(state):
            request.ask(state, action, server, ACT_S)
    else:
        raise StackConfigError(
            f"{server} is not a server that this checkout has started, so it cannot {action} it"
        )
    if action in ("restart", "resume"):
        await_answer(server, probes(endpoints)[server], time.monotonic() + READY_S)
