"""Command lines that the user gives to act on one of their own servers."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping

from infra.stack.error import StackError

#: The servers for which a command may be given, and the actions that are appended to it.
ACTED_ON = ("postgres", "kafka", "schema-registry", "connect")
SAID_CHARACTERS = 300


def command_mistakes(commands: Mapping[str, object]) -> Iterator[str]:
    """The mistakes in the commands, before any is run."""
    for server, command in commands.items():
        if server not in ACTED_ON:
            yield f"commands: {server!r} is not one of {', '.join(ACTED_ON)}"
            continue
        try:
            words = shlex.split(command) if isinstance(command, str) else []
        except ValueError as error:
            yield f"commands: that of {server} cannot be read ({error}); close its quotes"
            continue
        if not words:
            yield f"commands: that of {server} is empty; write a command line, or leave it out"
        elif shutil.which(words[0]) is None:
            yield f"commands: there is no program {words[0]!r} for {server}; name one that is there"


def run_command(command: str, action: str, limit_s: float) -> None:
    """Run a command with an action as its last word; raises StackError if it fails or does not end
    in time.

    Its output goes into a file. A server that the command starts inherits the output; the end of a
    pipe would not come while that server lives.
    """
    words = [*shlex.split(command), action]
    shown = shlex.join(words)
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=limit_s,
                check=False,
            )
        except OSError as error:
            raise StackError(f"{shown} cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise StackError(f"{shown} has not ended within {limit_s:g} s") from error
        if done.returncode:
            output.seek(0)
            said = output.read().decode("utf-8", "replace").strip()[-SAID_CHARACTERS:]
            raise StackError(f"{shown} ended with {done.returncode}: {said or 'it said nothing'}")
