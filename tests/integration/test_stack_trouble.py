"""The stack in bad situations: one clear message with the remedy, the right exit code, and nothing
left behind.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2
import pytest

from infra.stack.endpoints import Endpoints
from infra.stack.find.external import FILE, VARIABLES
from infra.stack.servers import postgres
from infra.stack.servers.password import make_passwords
from infra.stack.servers.port import free_ports
from infra.stack.servers.server import start
from infra.stack.supervise.state import CHECKOUT, StackState, recorded
from tests.scenarios.locust_process import await_that

needs_mount = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may mount a small file system"
)


class Checkout:
    """A checkout of its own with nothing up, so that trouble here is nobody else's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        shutil.copytree(
            CHECKOUT / "infra", root / "infra", ignore=shutil.ignore_patterns("__pycache__")
        )

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """`python -m infra.stack ...` in it, with these environment variables and no stack of the
        user's.
        """
        own = {name: value for name, value in os.environ.items() if name not in {FILE, *VARIABLES}}
        return subprocess.Popen(
            [sys.executable, "-m", "infra.stack", *arguments],
            cwd=self.root,
            env={**own, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stack(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.start(*arguments, **variables)
        output, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    @property
    def state(self) -> StackState:
        """Its state directory."""
        return StackState(self.root / ".stack")

    def left(self) -> list[str]:
        """What is in the state directory, apart from the lock and logs that explain the trouble."""
        kept = {"lock", "logs"}
        return sorted(path.name for path in self.state.root.glob("*") if path.name not in kept)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A file system of that size; skips the test where even root may not mount one."""
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=False
    )
    if done.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        # The watcher of a stack that did not come up lets go of the lock a moment after the
        # command has ended.
        await_that(
            lambda: subprocess.run(["umount", str(place)], check=False).returncode == 0,
            f"{place} is busy",
        )


def answering(status: int, body: bytes) -> type[BaseHTTPRequestHandler]:
    """A handler that gives the same answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the base class fixes the name

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def serve() -> Iterator[Callable[[int, bytes], str]]:
    """Starts HTTP servers that give one answer; gives back their address."""
    with ExitStack() as stop:

        def serving(status: int, body: bytes) -> str:
            server = ThreadingHTTPServer(("127.0.0.1", 0), answering(status, body))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stop.callback(server.server_close)
            stop.callback(thread.join)
            stop.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_address[1]}"

        yield serving


@needs_mount
def test_a_full_disk_under_the_cache_is_named_with_the_remedy(
    checkout: Checkout, tmp_path: Path, serve: Callable[[int, bytes], str]
) -> None:
    with small_disk(tmp_path / "cache", "1m"):
        mirror = serve(200, bytes(4_000_000))
        done = checkout.stack("up", CDC_CACHE_DIR=str(tmp_path / "cache"), CDC_MAVEN_MIRROR=mirror)

    assert done.returncode == 3, done.stdout + done.stderr
    assert "the disk is full" in done.stderr
    assert "CDC_CACHE_DIR" in done.stderr
    assert "Traceback" not in done.stderr
    assert checkout.left() == []


@needs_mount
@pytest.mark.parametrize("size", ["64k", "8m"])
def test_a_full_disk_under_the_run_directory_is_named_before_a_server_is_started(
    checkout: Checkout, size: str
) -> None:
    with small_disk(checkout.root / ".stack", size):
        done = checkout.stack("up")
        left = checkout.left()

    assert done.returncode == 3, done.stdout + done.stderr
    assert "the disk is " in done.stderr
    assert "full" in done.stderr
    assert str(checkout.root / ".stack") in done.stderr
    assert "make room" in done.stderr
    assert "answers" not in done.stdout
    assert left == []


def test_an_old_postgres_is_refused_before_a_server_is_started(
    checkout: Checkout, tmp_path: Path
) -> None:
    program = tmp_path / "old" / "postgres"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "postgres (PostgreSQL) 13.14 (Debian 13.14-1)"\n', encoding="utf-8"
    )
    program.chmod(0o755)

    done = checkout.stack("up", CDC_POSTGRES_BIN=str(program.parent))

    assert done.returncode == 2, done.stdout + done.stderr
    assert "PostgreSQL 13.14" in done.stderr
    assert "14 or newer" in done.stderr
    assert "CDC_POSTGRES_BIN" in done.stderr
    assert "answers" not in done.stdout
    assert checkout.left() == []


def test_a_taken_port_is_named_with_its_holder_and_the_remedy(checkout: Checkout) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 8083))
        holder.listen()

        done = checkout.stack("up", "--ports", "well-known")

    assert done.returncode == 2, done.stdout + done.stderr
    assert f"connect: port 8083 by {Path(sys.executable).name}" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert "--ports free" in done.stderr
    assert checkout.left() == []


def test_a_corrupted_download_is_named_and_kept_out_of_the_cache(
    checkout: Checkout, tmp_path: Path, serve: Callable[[int, bytes], str]
) -> None:
    mirror = serve(200, b"not a jar")
    done = checkout.stack("up", CDC_CACHE_DIR=str(tmp_path / "cache"), CDC_MAVEN_MIRROR=mirror)

    assert done.returncode == 3, done.stdout + done.stderr
    assert "arrived corrupted" in done.stderr
    assert "CDC_MAVEN_MIRROR" in done.stderr
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert checkout.left() == []


def test_a_missing_network_is_named_with_the_remedy(checkout: Checkout, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
    done = checkout.stack("up", CDC_CACHE_DIR=str(tmp_path / "cache"), CDC_MAVEN_MIRROR=nowhere)

    assert done.returncode == 3, done.stdout + done.stderr
    assert "cannot be downloaded" in done.stderr
    assert "connect to the network, or name a mirror in CDC_MAVEN_MIRROR" in done.stderr
    assert checkout.left() == []


@contextmanager
def postgres_with(wal_level: str, logs: Path) -> Iterator[str]:
    """A PostgreSQL of its own with another wal_level; gives its DSN."""
    (port,) = free_ports(1)
    account = postgres.account()
    place = postgres.home(logs, account)
    passwords = make_passwords(logs / "secrets")
    passwords.write(port)
    dsn = postgres.dsn(port, passwords.passfile)
    binaries = postgres.find_binaries(os.environ)
    recipe = postgres.recipe(postgres.Cluster(binaries, place, port, account, passwords))
    recipe.prepare()
    changed = [
        part.replace("wal_level=logical", f"wal_level={wal_level}") for part in recipe.command
    ]
    server = start(
        type(recipe)("postgres", changed, recipe.probe, recipe.prepare, account=account), logs
    )
    try:
        await_that(lambda: accepts(dsn), "PostgreSQL did not start")
        yield dsn
    finally:
        server.process.send_signal(signal.SIGINT)
        server.process.wait(60)
        shutil.rmtree(place)


def accepts(dsn: str) -> bool:
    """Whether a server answers there."""
    try:
        psycopg2.connect(dsn).close()
    except psycopg2.OperationalError:
        return False
    return True


def own_stack(endpoints: Endpoints, **changed: str) -> dict[str, str]:
    """The variables that name a user's own stack."""
    named = {name: getattr(endpoints, field) for name, field in VARIABLES.items()}
    return {name: value for name, value in {**named, **changed}.items() if value is not None}


def test_an_own_server_with_the_wrong_wal_level_is_refused_with_the_statement_that_mends_it(
    checkout: Checkout, tmp_path: Path
) -> None:
    nobody = Endpoints(
        "external", "host=127.0.0.1", "127.0.0.1:1", "http://127.0.0.1:1", "http://127.0.0.1:1"
    )
    with postgres_with("replica", tmp_path) as dsn:
        done = checkout.stack("up", "--kind", "external", **own_stack(nobody, CDC_POSTGRES_DSN=dsn))

    assert done.returncode == 2, done.stdout + done.stderr
    assert "wal_level is 'replica'" in done.stderr
    assert "ALTER SYSTEM SET wal_level = logical" in done.stderr


def test_a_registry_that_answers_500_is_named_with_its_address(
    stack: Endpoints, checkout: Checkout, serve: Callable[[int, bytes], str]
) -> None:
    broken = serve(500, b"out of order")
    done = checkout.stack(
        "up", "--kind", "external", **own_stack(stack, CDC_SCHEMA_REGISTRY_URL=broken)
    )

    assert done.returncode == 3, done.stdout + done.stderr
    assert f"Schema Registry ({broken}) does not answer as it should" in done.stderr
    assert "/versions with 500; see that server's log" in done.stderr


def test_an_own_stack_is_used_as_it_is_and_never_stopped(
    stack: Endpoints, checkout: Checkout
) -> None:
    up = checkout.stack("up", "--kind", "external", **own_stack(stack))
    down = checkout.stack("down", **own_stack(stack))
    status = checkout.stack("status", **own_stack(stack))

    assert up.returncode == 0, up.stderr
    assert "the stack is up (external)" in up.stdout
    assert "nothing is stopped" in down.stdout
    assert status.returncode == 0, status.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (("--kind", "external"), {}, "CDC_POSTGRES_DSN"),
        ((), {"CDC_CONNECT_URL": "http://127.0.0.1:8083"}, "without CDC_KAFKA_BOOTSTRAP"),
        (
            ("--kind", "process"),
            {"CDC_STACK": "/nowhere.toml"},
            "CDC_STACK names servers that are not ours; unset it",
        ),
        ((), {"CDC_STACK": "/nowhere.toml"}, "cannot be read"),
    ],
)
def test_what_contradicts_itself_is_refused_before_a_server_is_touched(
    checkout: Checkout, arguments: tuple[str, ...], variables: dict[str, str], message: str
) -> None:
    done = checkout.stack("up", *arguments, **variables)

    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert checkout.left() == []


def is_written_down(checkout: Checkout, _: Path) -> bool:
    """The supervisor has just begun."""
    return bool(recorded(checkout.state)[0])


def has_a_cluster(checkout: Checkout, temporary: Path) -> bool:
    """The directory of PostgreSQL's cluster has just come into being, wherever that is."""
    return any(temporary.iterdir()) or (checkout.state.run / "postgres").exists()


def has_servers(checkout: Checkout, _: Path) -> bool:
    """Some servers run, others do not yet."""
    return len(recorded(checkout.state)[0]) > 2


@pytest.mark.parametrize("moment", [is_written_down, has_a_cluster, has_servers])
def test_a_start_that_is_killed_leaves_no_process_and_no_directory(
    checkout: Checkout, moment: Callable[[Checkout, Path], bool]
) -> None:
    temporary = Path(tempfile.mkdtemp())
    temporary.chmod(0o755)  # as root, PostgreSQL runs as somebody else
    command = checkout.start("up", TMPDIR=str(temporary))
    await_that(lambda: moment(checkout, temporary), "the stack did not begin to start")
    processes, _ = recorded(checkout.state)

    command.kill()
    os.kill(processes[0].pid, signal.SIGKILL)
    command.communicate()

    await_that(lambda: not any(item.process() for item in processes), "a process was left behind")
    await_that(lambda: checkout.left() == [], "the state directory was not cleared")
    await_that(lambda: not any(temporary.iterdir()), "a directory was left behind")
    temporary.rmdir()
