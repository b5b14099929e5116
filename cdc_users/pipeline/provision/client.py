"""The run's side of the steward, the process that creates and removes the run's objects."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, TypeVar

from cdc_users.error import HarnessError, StewardError, StewardSilentError, TargetError
from cdc_users.measure.wire import WireError, decode, encode
from cdc_users.pipeline.provision.message import (
    AskHealth,
    AwaitCommitted,
    AwaitReady,
    CloseSteward,
    HealFault,
    Health,
    InjectFault,
    Names,
    OpenStack,
    PreparePipeline,
    Problems,
    ReleasePipeline,
    StackFound,
    StewardAnswer,
    StewardRequest,
)
from infra.client.environment import for_python, module_command
from infra.faults.fault import FaultObjects
from infra.stack.endpoints import Endpoints

_Body = TypeVar("_Body")
#: The longest answers: a stack may have to be started, and its artifacts downloaded before.
OPEN_S = 900.0
PREPARE_S = 150.0
COMMITTED_S = 70.0
HEALTH_S = 15.0
#: Enough to write a million rows, or for a server to start and recover its log.
INJECT_S, HEAL_S = 120.0, 210.0
#: A stack's servers need a while to end when they have much to do. A run that was asked to stop
#: waits for less (run.py); a slower removal goes on without it.
RELEASE_S = 60.0
CLOSE_S = 30.0
READ_BYTES = 65536
#: Requests that a run awaits although it was asked to stop; each has a limit then.
REMOVALS = (ReleasePipeline, CloseSteward)
#: How often a waiting run looks whether it has time left.
LOOK_S = 0.25


def _somebody_waits_for_its_end() -> bool:
    """Whether our errors go to a pipe. `| tee` ends only with the last process that holds the pipe,
    and a steward may outlive its run.
    """
    try:
        return stat.S_ISFIFO(os.fstat(sys.__stderr__.fileno()).st_mode) if sys.__stderr__ else False
    except (OSError, ValueError):
        return False


def _pass_on(messages: IO[bytes]) -> None:
    with messages:
        for line in messages:
            sys.stderr.write(line.decode("utf-8", "replace"))
            sys.stderr.flush()


class StewardClient:
    """Starts a steward, which removes everything when it is closed, or when this process dies.

    Every request has a limit. A steward that once did not answer in time is not asked again: it
    removes what it can as soon as it goes on, and its journal has the rest.
    """

    def __init__(
        self, command: Sequence[str] = (), left_s: Callable[[], float | None] = lambda: None
    ) -> None:
        ours, theirs = socket.socketpair()
        module = module_command("cdc_users.pipeline.provision.steward")
        self._socket = ours
        self._rest = b""
        self._silence: StewardError | None = None
        #: One request at a time: faults are done beside other requests, and the steward answers in
        #: turn.
        self._turn = threading.RLock()
        #: The time for which the run may still wait; None if that is unlimited.
        self._left_s = left_s
        with theirs:
            self._process = subprocess.Popen(
                list(command) or module,
                # It also removes what earlier runs left behind, in AWS too.
                env=for_python(os.environ, aws=True),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE if _somebody_waits_for_its_end() else None,
                start_new_session=True,  # Ctrl-C ends the run, and the run ends the steward
            )
        if self._process.stderr is not None:
            threading.Thread(target=_pass_on, args=(self._process.stderr,), daemon=True).start()

    def open(self, run: str, profile: str, allowed: Sequence[str]) -> tuple[Endpoints, bool]:
        """The stack's endpoints, and whether this run started the stack; `allowed` targets may be
        outside loopback.
        """
        request = OpenStack(run=run, profile=profile, allowed=tuple(allowed))
        found = self._ask(request, StackFound, OPEN_S)
        return found.endpoints, found.owns_stack

    def prepare(self, request: PreparePipeline) -> Names:
        """Create one pipeline's objects; returns their names."""
        servers_s = INJECT_S if request.pipeline.prepared_for else 0.0
        return self._ask(request, Names, PREPARE_S + servers_s)

    def committed(self) -> None:
        """Wait until Connect has stored the position of the run's connector, after an event has
        passed it.
        """
        self._ask(AwaitCommitted(), Problems, COMMITTED_S)

    def await_ready(self) -> None:
        """Wait, under load, until the fault can be done that the servers were prepared for."""
        self._ask(AwaitReady(), Problems, INJECT_S)

    def inject(self, fault: str, objects: FaultObjects, allowed: Sequence[str]) -> None:
        """Do a fault to the servers or to the run's objects; `allowed` servers may be outside
        loopback.
        """
        request = InjectFault(fault=fault, objects=objects, allowed=tuple(allowed))
        self._ask(request, Problems, INJECT_S)

    def heal(self) -> None:
        """Undo the last fault; a server that was killed answers again then."""
        self._ask(HealFault(), Problems, HEAL_S)

    def health(self) -> Health:
        """The servers' restarts, losses and disturbances since `prepare`."""
        return self._ask(AskHealth(), Health, HEALTH_S)

    def release(self, limit_s: float = RELEASE_S) -> list[str]:
        """Remove what was prepared; returns what could not be removed."""
        return list(self._ask(ReleasePipeline(), Problems, limit_s).problems)

    def close(self, limit_s: float = CLOSE_S) -> list[str]:
        """Remove everything and end the steward; returns what could not be removed in time."""
        try:
            problems = list(self._ask(CloseSteward(), Problems, limit_s).problems)
        except HarnessError as error:
            problems = [str(error)]
        self._socket.close()
        try:
            self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            problems.append(
                f"the steward (pid {self._process.pid}) is still at work; it ends by itself, and"
                " what it cannot remove is tried again by the next run"
            )
        return problems

    def _ask(self, request: StewardRequest, kind: type[_Body], limit_s: float) -> _Body:
        with self._turn:
            return self._asked(request, kind, limit_s)

    def _asked(self, request: StewardRequest, kind: type[_Body], limit_s: float) -> _Body:
        if self._silence is not None:
            raise self._silence
        doing = str(type(request).__struct_config__.tag)
        began_s = time.monotonic()
        try:
            self._socket.settimeout(LOOK_S)
            self._socket.sendall(encode(request) + b"\n")
            line = self._line(began_s + limit_s, hurried=not isinstance(request, REMOVALS))
        except TimeoutError:
            waited_s = time.monotonic() - began_s
            self._silence = StewardSilentError(
                f"the steward has not answered {doing!r} within {waited_s:.0f} s"
            )
            raise self._silence from None
        except OSError:
            line = b""
        if not line:
            code = self._process.wait()
            self._silence = StewardError(
                f"the steward process ended with {code} at {doing!r}; the next run removes what"
                " this one has left"
            )
            raise self._silence
        return self._read(line, kind)

    def _line(self, deadline_s: float, *, hurried: bool) -> bytes:
        """The next line; b"" at the end of the input. Raises TimeoutError when the time is over.

        If a run was asked to stop and has no time left, it waits only for removals.
        """
        while b"\n" not in self._rest:
            try:
                received = self._socket.recv(READ_BYTES)
            except TimeoutError:
                if time.monotonic() > deadline_s or (hurried and self._left_s() == 0.0):
                    raise
                continue
            if not received:
                return b""
            self._rest += received
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _read(self, line: bytes, kind: type[_Body]) -> _Body:
        try:
            answer = decode(line, StewardAnswer[kind], "the steward")  # type: ignore[valid-type]
        except WireError as error:
            raise HarnessError(str(error)) from error
        if answer.ok is None:
            failure = TargetError(answer.error)
            failure.exit_code = answer.exit_code
            raise failure
        return answer.ok
