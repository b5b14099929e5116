"""Child processes of a run: started in a session of their own, ready when they say so, stopped for
certain.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer

from cdc_users.error import TargetError
from infra.stack.supervise.identity import tied_to_parent

TAIL_LINES = 12
READY_S = 60.0
#: A process that was asked to end finishes the batch that it writes.
TERMINATE_S = 15.0


class NotReadyError(TargetError):
    """A child has ended, or has said nothing in its time, before it was ready."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child: its name, its process, what its ready line said, and the file of its log.

    `ready_s` is how long it may take until it is ready, whenever it is started.
    """

    name: str
    process: subprocess.Popen[str]
    ready: str
    log: Path
    #: How it was started.
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready_s: float = READY_S

    def again(self) -> Child:
        """Start it as it was started, with another process, and wait until it is ready."""
        return launch(self.name, self.command, self.log, self.environment).await_ready(self.ready_s)

    def dead(self) -> str | None:
        """Nothing while it runs; afterwards one line that names it, its exit and the end of its
        log.
        """
        code = self.process.poll()
        return None if code is None else f"{self.name} ended with {code}; {tail(self.log)}"

    def stop(self, grace_s: float = 10.0) -> int:
        """SIGTERM, then SIGKILL after the grace; returns the exit code."""
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
    """End a process: SIGTERM first, SIGKILL when the grace is over; returns its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    return end_of(process, grace_s)


def end_of(process: subprocess.Popen[str], grace_s: float) -> int:
    """The exit code of a process that was asked to end; SIGKILL when the grace is over."""
    try:
        process.wait(timeout=grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
    code = process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    return code


def stop_all(children: Sequence[Child], grace_s: float) -> list[tuple[Child, int]]:
    """End several children together, so that they share one grace; returns their exit codes.

    Each gets one SIGTERM: a second one can hit a child that has finished and no longer handles it.
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
    """Start a child with this environment and no other; its errors go to `log`.

    `standard_input` is one line that it is given, and kept open behind.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if standard_input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C is for the run, which then stops its children in order
            preexec_fn=tied_to_parent(signal.SIGKILL),
        )
    if standard_input is not None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once; `await_ready` says of what
            process.stdin.write(standard_input + "\n")
            process.stdin.flush()
    return Launched(name, process, log, command, environment)


@dataclass(frozen=True, slots=True)
class Launched:
    """A child that is coming up."""

    name: str
    process: subprocess.Popen[str]
    log: Path
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def await_ready(self, ready_s: float = READY_S) -> Child:
        """Wait for its ready line, one JSON object on its standard output; raises NotReadyError
        when it ends or stays silent, with the end of its log.
        """
        assert self.process.stdout is not None
        began_s = time.monotonic()
        alarm = Timer(ready_s, self.process.kill)
        alarm.start()
        try:
            line = self.process.stdout.readline()
        except BaseException:  # a run that was asked to stop waits no longer for it
            stop(self.process, 1.0)
            raise
        finally:
            alarm.cancel()
        if line.startswith("{"):
            started = (self.command, self.environment, ready_s)
            return Child(self.name, self.process, line, self.log, *started)
        silent = time.monotonic() - began_s >= ready_s
        code = stop(self.process, 1.0)
        how = (
            f"did not become ready within {ready_s:g} s"
            if silent
            else f"ended with {code} before it was ready"
        )
        raise NotReadyError(f"{self.name} {how}; {tail(self.log)}")


@dataclass(slots=True)
class Away:
    """Which children are away, by name; whoever is away is neither asked nor missed."""

    _killed: set[str] = field(default_factory=set)
    _paused: set[str] = field(default_factory=set)
    #: Whether a child was started again, and knows nothing of what its predecessor did.
    forgotten: bool = False

    def has(self, child: Child) -> bool:
        """Whether this child is away."""
        return child.name in self._killed or child.name in self._paused

    def act(self, action: str, child: Child) -> Child:
        """Do to a child what a fault does; returns it, or the one that takes its place.

        What is done already is not done twice. Raises TargetError where it does not come up again.
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
        """Let all go on that were stopped where they are."""
        for child in children:
            if child.name in self._paused:
                self.act("resume", child)
