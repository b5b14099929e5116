"""One server process: how it starts, when it is ready, how it stops."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.client.environment import for_server
from infra.stack.artifacts.java import Training
from infra.stack.error import StackError
from infra.stack.supervise.identity import Identity, identify, tied_to_parent

TAIL_LINES = 15
POLL_S = 0.05
GRACE_S = 10.0
# A Java server writes down what it learned about its start when it ends for the first time.
TRAINING_GRACE_S = 90.0


@dataclass(frozen=True, slots=True)
class Account:
    """The user to run a server as, if the server refuses root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that is needed to run one server.

    `probe` makes a real request and raises while the server does not answer. `prepare` makes its
    directories and files, and may take a while. Both run in the server's own thread.
    """

    name: str
    command: Sequence[str]
    probe: Callable[[], None]
    prepare: Callable[[], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    account: Account | None = None
    training: Training | None = None


@dataclass(slots=True)
class ServerProcess:
    """A started server."""

    recipe: Recipe
    process: subprocess.Popen[bytes]
    identity: Identity
    log: Path

    def dead(self) -> str | None:
        """None while the server runs; afterwards its name, its exit, the end of its log and the
        log's path.
        """
        code = self.process.poll()
        return (
            None if code is None else f"{self.recipe.name} ended with {code}\n{log_tail(self.log)}"
        )

    def await_ready(self, deadline_s: float) -> None:
        """Wait until the probe succeeds; raises StackError if the server dies or time is up."""
        last: Exception | None = None
        while time.monotonic() < deadline_s:
            if (message := self.dead()) is not None:
                raise StackError(message)
            try:
                self.recipe.probe()
            except Exception as error:  # noqa: BLE001 - whatever a client raises means: not ready yet
                last = error
                time.sleep(POLL_S)
            else:
                return
        raise StackError(f"{self.recipe.name} does not answer ({last})\n{log_tail(self.log)}")

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Send the server's own stop signal, then SIGKILL to it and all its descendants."""
        training = self.recipe.training
        if self.process.poll() is None:
            self.identity.resume()  # a paused process would not receive the signal
            self.process.send_signal(self.recipe.stop_signal)
            try:
                self.process.wait(TRAINING_GRACE_S if training else grace_s)
            except subprocess.TimeoutExpired:
                self.identity.kill()
                self.process.wait()
        if training is not None:
            training.keep()


def log_tail(log: Path) -> str:
    """The last lines of a log, and its path."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = text.splitlines()[-TAIL_LINES:]
    return "".join(f"    {line}\n" for line in lines) + f"    the whole log: {log}"


def start(recipe: Recipe, logs: Path) -> ServerProcess:
    """Start the server in its own session, its output in `logs`; it dies with this process."""
    log = logs / f"{recipe.name}.log"
    account = recipe.account
    with log.open("ab") as output:
        process = subprocess.Popen(
            recipe.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**for_server(os.environ), **recipe.environment},
            cwd="/",
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=tied_to_parent(recipe.orphan_signal),
        )
    return ServerProcess(recipe, process, identify(process.pid), log)
