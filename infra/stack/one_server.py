"""Kills, restarts, pauses or resumes one server of a stack; the server keeps its ports and
directories.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from infra.stack.command import run_command
from infra.stack.docker import compose
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.servers.probe import await_answer, probes
from infra.stack.supervise import request
from infra.stack.supervise.state import StackState, exclusive, is_held, recorded

#: The servers of every stack, by the names of their logs.
SERVERS = ("postgres", "kafka", "schema-registry", "connect")
#: Seconds for one act: a stop may wait for the end of a training, a start for a log's recovery.
ACT_S = 110.0
READY_S = 90.0


def directory(state: StackState, server: str) -> Path:
    """The directory of one server of a checkout's process stack; raises StackError if there is
    none.
    """
    _, places = recorded(state)
    inside = {"postgres": "data", "kafka": "."}[server]
    for place in (state.run / server, *places):
        if (found := place / inside).is_dir() and server in place.name:
            return found.resolve()
    raise StackError(f"the directory of {server} is not known; is the process stack up?")


def act(state: StackState, endpoints: Endpoints, action: str, server: str) -> None:
    """Act on one server of a checkout's stack, or on a user's own server that has a command; after
    `restart` and `resume` the server answers.

    Raises StackConfigError for an unknown server, or one that this stack may not act on, and
    StackError if the act fails or the server does not answer in time.
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
    if action in ("restart", "start", "resume", "switch-over", "fail-over"):
        await_answer(server, probes(endpoints)[server], time.monotonic() + READY_S)
