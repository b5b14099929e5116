"""The process that owns the servers: starts them in parallel, proves the stack, and takes them
down.

Started by `python -m infra.stack up`; reports progress as JSON lines on its standard output until
the stack is ready, then lives on quietly. The servers die with it, and a watcher, forked first,
clears away what the kernel cannot: it wakes when the supervisor's end of a pipe closes, however
that came about.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import IO, Any

from infra.stack.artifacts.artifact import cache_directory
from infra.stack.debezium.canary import WARMING_ROWS, send_canary
from infra.stack.endpoints import Endpoints, Profile
from infra.stack.error import StackError
from infra.stack.servers.disk import check_room, exhausted
from infra.stack.servers.limit import look_at_limits
from infra.stack.servers.password import create_reader
from infra.stack.servers.plain_path import is_plain, link, meeting_place
from infra.stack.servers.port import choose_ports
from infra.stack.servers.process import Blueprint, StackRequest, blueprint
from infra.stack.servers.server import Recipe, ServerProcess, start
from infra.stack.supervise import request
from infra.stack.supervise.control import ServerControl
from infra.stack.supervise.identity import identify
from infra.stack.supervise.standby import StandbyControl
from infra.stack.supervise.state import (
    StackState,
    clear_after,
    hold,
    state_of,
    write_json,
    write_processes,
)

READY_S = 90.0
WATCH_S = 0.1
_SPEAKING = threading.Lock()


class Supervisor:
    """Owns the servers of one checkout."""

    def __init__(self, state: StackState) -> None:
        self._state = state
        self._servers: list[ServerProcess] = []
        self._starting = threading.Lock()
        self._asked_to_stop = threading.Event()
        self._places: Sequence[Path] = ()
        self._held: IO[bytes] | None = None
        self._control = ServerControl(self._servers, state.logs, self._write_down)

    def bring_up(self, ports: str, profile: Profile, **extras: bool) -> Endpoints:
        """Start all servers and send a row the whole way; `extras` are `secure` and `metrics`
        (StackRequest). Raises StackError.
        """
        started_s = time.monotonic()
        self._held = hold(self._state)
        look_at_limits()
        os.umask(0o022)  # no other account may write into the files made from here on
        shutil.rmtree(self._state.logs, ignore_errors=True)
        self._write_down()
        self._state.logs.mkdir(parents=True)
        self._state.run.mkdir(mode=0o700)
        run, environ = self._plain_paths(os.environ)
        plan = blueprint(
            StackRequest(run, choose_ports(ports), profile, **extras),
            environ,
            identify(os.getpid()),
            lambda text: say(progress=text),
        )
        self._places = (*self._places, *plan.places)
        self._write_down()
        check_room(self._disks())
        plan.endpoints.adopt(os.environ)
        self._control.standby = StandbyControl(
            plan.cluster, self._servers, self._state.logs, self._write_down
        )
        self._start_all(plan)
        create_reader(plan.endpoints.postgres_dsn, plan.passwords)
        rows = WARMING_ROWS if profile == "bench" else 1
        say(progress=f"{rows:,} row(s) on the way from Postgres to the topic")
        send_canary(plan.endpoints, READY_S, rows)
        write_json(self._state.endpoints, plan.endpoints.to_json())
        say(ready=plan.endpoints.to_json(), seconds=round(time.monotonic() - started_s, 1))
        return plan.endpoints

    def _plain_paths(self, environ: Mapping[str, str]) -> tuple[Path, Mapping[str, str]]:
        """The run directory and the cache, as paths that all servers can take."""
        run, cache = self._state.run, cache_directory(environ)
        if is_plain(run) and is_plain(cache):
            return run, environ
        self._places = (meeting_place(),)
        self._write_down()
        run, cache = link(self._places[0], run=run, cache=cache)
        return run, {**environ, "CDC_CACHE_DIR": str(cache)}

    def _start_all(self, plan: Blueprint) -> None:
        # Twice as many threads as servers, so that a server's wait does not delay the preparation
        # of another one.
        with ThreadPoolExecutor(2 * len(plan.recipes)) as pool:
            try:
                prepared = {pool.submit(recipe.prepare): recipe for recipe in plan.recipes}
                waits = []
                # Started from this thread: the kernel ties a child to the thread that made it.
                for done in as_completed(prepared):
                    done.result()
                    waits.append(pool.submit(self._await, self._start(prepared[done])))
                for wait in as_completed(waits):
                    wait.result()
            except BaseException:
                self.request_stop()  # or the pool would wait for servers that are still coming up
                raise

    def _start(self, recipe: Recipe) -> ServerProcess:
        if self._asked_to_stop.is_set():
            raise StackError("asked to stop while starting")
        server = start(recipe, self._state.logs)
        with self._starting:
            self._servers.append(server)
            self._write_down()
        return server

    def _await(self, server: ServerProcess) -> None:
        started_s = time.monotonic()
        server.await_ready(started_s + READY_S)
        say(progress=f"{server.recipe.name} answers after {time.monotonic() - started_s:.1f} s")

    def _write_down(self) -> None:
        own = identify(os.getpid())
        write_processes(
            self._state, [own, *(server.identity for server in self._servers)], self._places
        )

    def request_stop(self, *_: object) -> None:
        """A signal arrived: take everything down."""
        self._asked_to_stop.set()
        for server in self._servers:
            # During the start, the wait for readiness ends at once when its server has ended.
            if server.process.poll() is None:
                server.process.send_signal(server.recipe.stop_signal)

    def hold(self) -> int:
        """Live until asked to stop (0) or until a server dies (3)."""
        while not self._asked_to_stop.wait(WATCH_S):
            self._serve()
            for server in self._servers:
                if not self._control.is_missed(server):
                    continue
                if (message := server.dead()) is not None and not self._asked_to_stop.is_set():
                    with contextlib.suppress(
                        OSError
                    ):  # a full disk may have no room for the reason either
                        write_json(
                            self._state.root / "failure.json",
                            {"message": self._with_cause(message)},
                        )
                    return StackError.exit_code
        return 0

    def _serve(self) -> None:
        """Carry out the request for one of the servers, if there is one."""
        asked = request.take(self._state)
        if asked is None:
            return
        error: StackError | None = None
        try:
            self._control.act(asked.action, asked.server)
        except StackError as refusal:
            error = refusal
        except OSError as failure:  # no room, no rights, no memory
            error = StackError(f"{asked.action} {asked.server}: {failure}")
        request.answer(self._state, asked, error)

    def explain(self, error: Exception) -> str:
        """Why the stack did not come up: the end of a dead server explains more than the server
        that could not reach it.
        """
        deaths = (
            []
            if self._asked_to_stop.is_set()
            else [text for server in self._servers if (text := server.dead())]
        )
        return self._with_cause(deaths[0] if deaths else str(error) or type(error).__name__)

    def _with_cause(self, message: str) -> str:
        """The message; if the disk is full now, the message begins with that, because no server
        says so plainly.
        """
        full = None if message.startswith("the disk") else exhausted(self._disks())
        return f"{full}\n{message}" if full else message

    def _disks(self) -> list[Path]:
        return [self._state.run, *(place.parent for place in self._places)]

    def take_down(self) -> None:
        """Stop all servers at once and remove their directories."""
        if self._servers:
            with ThreadPoolExecutor(len(self._servers)) as pool:
                list(pool.map(lambda server: server.stop(), self._servers))


def say(**message: Any) -> None:
    """Write one JSON line to the process that started this one; that process may have ended.

    Each server is awaited in its own thread. `print` writes a line and its end in two steps, and
    another thread's line could come between them; two messages would then share a line, which is no
    JSON.
    """
    with _SPEAKING, contextlib.suppress(BrokenPipeError, ValueError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def watch_over(state: StackState) -> None:
    """Fork the watcher: a process that clears the stack away when the supervisor has ended."""
    supervisor = identify(os.getpid())
    reading, writing = os.pipe()
    if os.fork() != 0:
        os.close(reading)
        os.set_inheritable(writing, False)
        return
    os.close(writing)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)
    os.read(reading, 1)  # returns when the supervisor is gone
    clear_after(state, supervisor)
    os._exit(0)


def supervise(checkout: Path, ports: str, profile: Profile, **extras: bool) -> int:
    """The supervisor's whole life; returns its exit code."""
    state = state_of(checkout)
    watch_over(state)
    supervisor = Supervisor(state)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, supervisor.request_stop)
    try:
        supervisor.bring_up(ports, profile, **extras)
        _detach()
        return supervisor.hold()
    except Exception as error:  # noqa: BLE001 - the process that waits for the stack gets any cause
        code = error.exit_code if isinstance(error, StackError) else StackError.exit_code
        say(failure=supervisor.explain(error), exit_code=code)
        return code
    finally:
        supervisor.take_down()


def _detach() -> None:
    """Let go of the process that started this one: from here on no process listens."""
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)


if __name__ == "__main__":
    checkout, ports, profile, *extras = sys.argv[1:]
    kind: Profile = "test" if profile == "test" else "bench"
    sys.exit(supervise(Path(checkout), ports, kind, **dict.fromkeys(extras, True)))
