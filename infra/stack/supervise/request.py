"""Requests to the supervisor about one of its servers: one file has the request, another the
answer.

Only the holder of the checkout's lock (`state.exclusive`) sends requests, so there is one at a
time. A socket would need a path of at most 108 bytes, and a checkout's path may be longer.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict, dataclass

import msgspec

from infra.stack.error import StackConfigError, StackError
from infra.stack.supervise.state import StackState, is_held, write_json

POLL_S = 0.02
#: Acts on one server, whether it runs or not.
ANY_TIME = ("restart", "start", "end")
#: Acts on one server. `may-end` says that its end will be no failure until it is started again; the
#: last ones are for PostgreSQL: with `switch-over` it ends in order, and with `fail-over` it is
#: killed, before its standby takes its place and address.
ACTIONS = (
    *("kill", "pause", "resume", "may-end"),
    *ANY_TIME,
    *("add-standby", "await-standby", "switch-over", "fail-over", "remove-standby"),
)


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """What to do (one of ACTIONS) to which server; `number` tells requests apart."""

    action: str
    server: str
    number: str = ""


def ask(state: StackState, action: str, server: str, limit_s: float) -> None:
    """Have the supervisor act, and wait until it has finished.

    Raises StackConfigError for a request that makes no sense, StackError if the act fails or no
    answer comes in time.
    """
    request = ServerRequest(action, server, uuid.uuid4().hex)
    state.answer.unlink(missing_ok=True)
    write_json(state.request, asdict(request))
    deadline_s = time.monotonic() + limit_s
    while (found := _read(state, request)) is None:
        if not is_held(state):
            raise StackError(f"the stack ended before it could {action} {server}")
        if time.monotonic() > deadline_s:
            state.request.unlink(missing_ok=True)
            raise StackError(
                f"the supervisor has not carried out {action} {server} within {limit_s:g} s; see"
                " `python -m infra.stack status`"
            )
        time.sleep(POLL_S)
    state.answer.unlink(missing_ok=True)
    if found["error"]:
        kind = StackConfigError if found["exit_code"] == StackConfigError.exit_code else StackError
        raise kind(found["error"])


def _read(state: StackState, request: ServerRequest) -> dict[str, object] | None:
    try:
        found: dict[str, object] = json.loads(state.answer.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found if found["number"] == request.number else None


def take(state: StackState) -> ServerRequest | None:
    """The waiting request, for the supervisor; each request is taken once.

    Another version of this project may have written the file: fields that this one does not know
    are left out, and a file that is no request is dropped.
    """
    try:
        text = state.request.read_bytes()
    except FileNotFoundError:
        return None
    state.request.unlink(missing_ok=True)
    try:
        return msgspec.json.decode(text, type=ServerRequest)
    except msgspec.MsgspecError:
        return None


def answer(state: StackState, request: ServerRequest, error: StackError | None) -> None:
    """Write the outcome of a request."""
    found = {"error": str(error or ""), "exit_code": error.exit_code if error else 0}
    write_json(state.answer, {"number": request.number, **found})
