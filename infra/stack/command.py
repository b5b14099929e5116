"""Command lines of the user's own that act on one of their servers."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping

from infra.stack.error import StackError

#: The servers that a command may be named for, and what is added to it.
ACTED_ON = ("postgres", "kafka", "schema-registry", "connect")
SAID_CHARACTERS = 300


def command_mistakes(commands: Mapping[str, object]) -> Iterator[str]:
    """What is wrong with commands, before any is run."""
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
    """Run a command with an action as its last word; raises StackError where it fails or does not
    end in time.

    What it says goes into a file: a server that it starts keeps its output, and of a pipe the end
    would be waited for as long as that server lives.
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
