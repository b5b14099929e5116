"""What all emulators share: where they are kept, how one runs for a while, and the error of one
that cannot run.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.stack.artifacts.artifact import cache_directory
from infra.stack.artifacts.trust import VerifiedFiles, keep_to_its_user
from infra.stack.error import StackError
from infra.stack.servers.port import HOST, free_ports
from infra.stack.servers.server import Recipe, ServerProcess, start

READY_S = 60.0


class EmulatorUnavailableError(StackError):
    """This machine cannot run the emulator; the message says what is missing.

    Scenarios that need it are skipped.
    """


def kept(
    name: str, sources: Sequence[Path], make: Callable[[Path], None], environ: Mapping[str, str]
) -> Path:
    """The directory of an emulator in the user's cache, made once for each state of its sources.

    `make` gets an empty directory with copies of the sources. The directory gets its final name
    only after `make` has returned, so a directory under that name is always complete.
    """
    digest = hashlib.sha256(
        b"".join(source.name.encode() + source.read_bytes() for source in sources)
    ).hexdigest()
    cache = cache_directory(environ)
    keep_to_its_user(cache)
    target, verified = cache / "emulators" / f"{name}-{digest[:16]}", VerifiedFiles(cache)
    if target.exists() and not verified.knows(target):
        verified.record(target)  # older than records, and writable for this account only
    if verified.is_as_recorded(target):
        verified.save()
        return target
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        for source in sources:
            shutil.copy(source, temporary / source.name)
        make(temporary)
        temporary.chmod(0o755)
        try:
            temporary.rename(target)
        except OSError:
            if not target.exists():  # otherwise another process with the same sources was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    verified.record(target)
    verified.save()
    return target


@contextmanager
def running(recipe: Recipe, logs: Path) -> Iterator[ServerProcess]:
    """Run one emulator, from its first answer until the end of the block; its log is in `logs`."""
    logs.mkdir(parents=True, exist_ok=True)
    recipe.prepare()
    server = start(recipe, logs)
    try:
        server.await_ready(time.monotonic() + READY_S)
        yield server
    finally:
        server.stop()


@contextmanager
def named_or_own(
    variable: str,
    environ: Mapping[str, str],
    logs: Path,
    recipe: Callable[[int], Recipe],
    scheme: str = "",
) -> Iterator[str]:
    """The address of a service: the user's own if the environment names one, else an emulator's on
    this machine, which lives as long as the block.

    `recipe` says how to run the emulator at a port, and is called only if one is needed; `scheme`
    stands before HOST:PORT.
    """
    if environ.get(variable):
        yield environ[variable]
        return
    (port,) = free_ports(1)
    with running(recipe(port), logs):
        yield f"{scheme}{HOST}:{port}"


def say_nothing(_: str) -> None:
    """Progress for callers that do not want any."""
