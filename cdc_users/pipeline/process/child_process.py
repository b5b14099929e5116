"""Child processes of a run: each is started in a session of its own, reports when it is ready, and
is certain to be stopped.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread, Timer
from typing import IO

from cdc_users.error import TargetError
from infra.stack.supervise.identity import tied_to_parent

TAIL_LINES = 12
SAID_CHARACTERS = 200
READY_S = 60.0
#: The grace for a process that was asked to stop, so that it can finish its batch.
TERMINATE_S = 15.0


class NotReadyError(TargetError):
    """A child has ended before it was ready, or was not ready in time."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child: its name, its process, its ready line, and the path of its log.

    `ready_s` is the longest time that it may take to become ready, at any start.
    """

    name: str
    process: subprocess.Popen[str]
    ready: str
    log: Path
    #: Starts the same command as before.
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready_s: float = READY_S

    def again(self) -> Child:
        """Start the same command as a new process, and wait until it is ready."""
        return launch(self.name, self.command, self.log, self.environment).await_ready(self.ready_s)

    def dead(self) -> str | None:
        """None while it runs; afterwards one line with its name, its exit code and the end of its
        log.
        """
        code = self.process.poll()
        return None if code is None else f"{self.name} ended with {code}; {tail(self.log)}"

    def stop(self, grace_s: float = 10.0) -> int:
        """SIGTERM, and SIGKILL after the grace; returns the exit code."""
        return stop(self.process, grace_s)


def tail(log: Path) -> str:
    """The path of a log and its last lines, for an error message."""
    lines = (
        log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        if log.exists()
        else []
    )
    return f"log {log}" + "".join(f"\n    {line}" for line in lines)


def stop(process: subprocess.Popen[str], grace_s: float) -> int:
    """Stop a process: SIGTERM first, SIGKILL when the grace is over; returns its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    return end_of(process, grace_s)


def end_of(process: subprocess.Popen[str], grace_s: float) -> int:
    """The exit code of a process that was asked to stop; SIGKILL when the grace is over."""
    try:
        process.wait(timeout=grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
    code = process.wait()
    if process.stdin is not None:
        process.stdin.close()
    return code


def stop_all(children: Sequence[Child], grace_s: float) -> list[tuple[Child, int]]:
    """Stop several children at once, so that they share one grace; returns their exit codes.

    Each gets one SIGTERM: a second one could hit a child that has finished and no longer handles
    it.
    """
    deadline_s = time.monotonic() + grace_s
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(signal.SIGTERM)
    return [
        (child, end_of(child.process, max(0.0, deadline_s - time.monotonic())))
        for child in children
    ]


def launch(
    name: str,
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    standard_input: str | None = None,
) -> Launched:
    """Start a child with exactly this environment; its errors go to `log`.

    `standard_input` is one line for its standard input, which then stays open.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if standard_input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            errors="replace",  # a program of the user's own may write what it likes
            env=dict(environment),
            # Ctrl-C must reach the run alone, which then stops its children in order.
            start_new_session=True,
            preexec_fn=tied_to_parent(signal.SIGKILL),
        )
    if standard_input is not None:
        assert process.stdin is not None
        # A child that died at once breaks the pipe; `await_ready` reports why it died.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(standard_input + "\n")
            process.stdin.flush()
    return Launched(name, process, log, command, environment)


@dataclass(frozen=True, slots=True)
class Launched:
    """A child that was started and is not ready yet."""

    name: str
    process: subprocess.Popen[str]
    log: Path
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def await_ready(self, ready_s: float = READY_S) -> Child:
        """Wait for its ready line, one JSON object on its standard output. Raises NotReadyError,
        with the end of its log, if it ends or stays silent.
        """
        assert self.process.stdout is not None
        began_s = time.monotonic()
        alarm = Timer(ready_s, self.process.kill)
        alarm.start()
        try:
            line = self.process.stdout.readline()
        except BaseException:  # a run that was asked to stop no longer waits for the child
            self._give_up()
            raise
        finally:
            alarm.cancel()
        if line.startswith("{"):
            # A full pipe would hold up a child that goes on writing there.
            Thread(target=_pass_on, args=(self.process.stdout, self.log), daemon=True).start()
            started = (self.command, self.environment, ready_s)
            return Child(self.name, self.process, line, self.log, *started)
        silent = time.monotonic() - began_s >= ready_s
        code = self._give_up()
        if line:
            how = (
                f"wrote {line.strip()[:SAID_CHARACTERS]!r} to its standard output in place of its"
                " ready line; have it write that to its standard error"
            )
        elif silent:
            how = f"did not become ready within {ready_s:g} s"
        else:
            how = f"ended with {code} before it was ready"
        raise NotReadyError(f"{self.name} {how}; {tail(self.log)}")

    def _give_up(self) -> int:
        """Stop a child whose output nobody else reads; returns its exit code."""
        code = stop(self.process, 1.0)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def _pass_on(output: IO[str], log: Path) -> None:
    """Move what a child writes after its ready line to its log, until it ends.

    It alone closes the output: a pipe that another greenlet closes in mid-read raises there.
    """
    with output, contextlib.suppress(OSError), log.open("ab", buffering=0) as file:
        for line in output:
            with contextlib.suppress(OSError):  # a full disk must not hold up the child
                file.write(line.encode())


@dataclass(slots=True)
class Away:
    """The children that are away because of a fault, by name; they are neither asked nor reported
    as dead.
    """

    _killed: set[str] = field(default_factory=set)
    _paused: set[str] = field(default_factory=set)
    #: Whether a child was restarted, and so has forgotten its predecessor's events.
    forgotten: bool = False

    def has(self, child: Child) -> bool:
        """Whether this child is away."""
        return child.name in self._killed or child.name in self._paused

    def act(self, action: str, child: Child) -> Child:
        """Do a fault's action to a child; returns the child, or the one that replaces it.

        An action that is in effect already is not repeated. Raises TargetError if the child does
        not start again.
        """
        if action == "pause":
            self._paused.add(child.name)
            child.process.send_signal(signal.SIGSTOP)
        elif action == "resume":
            child.process.send_signal(signal.SIGCONT)
            self._paused.discard(child.name)
        elif action == "restart":
            return self._again(child)
        else:
            self._killed.add(child.name)
            if action == "kill":
                child.process.kill()
            stop(child.process, TERMINATE_S)
        return child

    def _again(self, child: Child) -> Child:
        if child.name not in self._killed:
            return child
        self.forgotten = True
        successor = child.again()
        self._killed.discard(child.name)
        return successor

    def let_go_on(self, children: Iterable[Child]) -> None:
        """Resume all children that were paused."""
        for child in children:
            if child.name in self._paused:
                self.act("resume", child)
