"""Acts on one server of a stack, which keeps its ports and directories: kill, restart, pause,
resume.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from infra.stack.docker import compose
from infra.stack.endpoints import Endpoints
from infra.stack.error import StackConfigError, StackError
from infra.stack.servers import postgres, process
from infra.stack.supervise import request
from infra.stack.supervise.state import StackState, exclusive, is_held

#: The servers of every stack, by the names of their logs.
SERVERS = ("postgres", "kafka", "schema-registry", "connect")
#: A stop may take a training's end, a start the recovery of a log.
ACT_S = 110.0
READY_S = 90.0
POLL_S = 0.05


def probes(endpoints: Endpoints) -> Mapping[str, Callable[[], None]]:
    """A real request for each server, which raises while it does not answer."""
    environ = endpoints.environment(os.environ)
    return {
        "postgres": lambda: postgres.probe(endpoints.postgres_dsn),
        "kafka": lambda: process.probe_kafka(endpoints.kafka_bootstrap, environ),
        "schema-registry": lambda: process.probe_registry(endpoints.schema_registry_url, environ),
        "connect": lambda: process.probe_connect(endpoints.connect_url, environ),
    }


def act(state: StackState, endpoints: Endpoints, action: str, server: str) -> None:
    """Act on one server of a checkout's stack; after `restart` and `resume` it answers.

    Raises StackConfigError for a server that there is not, or that is not ours to act on, and
    StackError where it cannot be done, or does not answer in time.
    """
    if server not in SERVERS:
        raise StackConfigError(f"{server!r} is not one of {', '.join(SERVERS)}")
    if compose.is_ours(state):
        compose.act(action, server, os.environ)
    elif endpoints.kind == "process" and is_held(state):
        with exclusive(state):
            request.ask(state, action, server, ACT_S)
    else:
        raise StackConfigError(
            f"{server} is not a server that this checkout has started, so it cannot {action} it"
        )
    if action in ("restart", "resume"):
        await_answer(endpoints, server)


def await_answer(endpoints: Endpoints, server: str, limit_s: float = READY_S) -> None:
    """Wait until a server answers; raises StackError when the time is over."""
    probe, deadline_s = probes(endpoints)[server], time.monotonic() + limit_s
    while True:
        try:
            return probe()
        except Exception as error:
            if time.monotonic() > deadline_s:
                raise StackError(
                    f"{server} does not answer ({error}); see `python -m infra.stack logs {server}`"
                ) from error
            time.sleep(POLL_S)
