"""What is done to a run, and how it may end then.

An attack that comes too late meets nothing: `act` says so, and the run is then judged as one that
nobody has attacked.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from tests.real_stack import SERVERS
from tests.recording_proxy import recording_proxy
from tests.scenarios.chaos.scene import Scene
from tests.scenarios.chaos.target import MOMENTS, POLL_S, Act, Target
from tests.scenarios.locust_process import LocustProcess, start_worker

PASS, FAIL, ERROR, STACK, INVALID = range(5)
KILLED = -signal.SIGKILL
INTERRUPTED = 130
#: A run that was asked to stop ends within half a minute; a machine at work is given some more.
STOPPED_S = 45.0
#: Kafka that has stopped for good costs a wait for each of a run's objects.
ENDS_S = 150.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: More than a run asks for before it begins, and less than what its files would fill.
DISK = "24m"
FILLER = "filler"


def everything(_: Scene) -> bool:
    """Any kind of run."""
    return True


def captured_by_connect(scene: Scene) -> bool:
    """Kinds of run whose rows go through Kafka Connect."""
    return scene.database and "reader" not in scene.roles


@contextmanager
def unchanged(_: Path) -> Iterator[None]:
    """Nothing is set up before."""
    yield


@dataclass(frozen=True, slots=True)
class Attack:
    """`codes` are how a run may end that was met before its load was over, `later` how one that
    was met afterwards; `early` how one that was met before it had begun.

    `fits` says which kinds of run can be attacked so, `moments` when. `around` sets the scene
    up: it is given the run's results, and yields variables for its environment.
    """

    name: str
    codes: Collection[int]
    act: Act
    fits: Callable[[Scene], bool] = everything
    moments: Collection[str] = tuple(MOMENTS)
    early: Collection[int] | None = None
    later: Collection[int] | None = None
    around: Callable[[Path], AbstractContextManager[Mapping[str, str] | None]] = unchanged
    #: From the attack until the end, at most; a run that is not harmed takes the time it takes.
    ends_s: float = ENDS_S
    #: Whether the run itself cannot clean up: what it leaves is the next run's.
    orphans: bool = False
    #: For how long it holds the run up, and so how late the latest event is at least.
    holds_s: float = 0.0

    def allowed(self, moment: str) -> frozenset[int]:
        """The exit codes that are true for a run that was met then."""
        if moment == "start":
            return frozenset(self.codes if self.early is None else self.early)
        if moment in ("preparation", "load"):
            return frozenset(self.codes)
        return frozenset({PASS, *self.codes} if self.later is None else self.later)


#: When the processes of a run are there; the others are there from its start to its end.
CHILDREN = ("preparation", "load", "drain", "audit")
MOMENTS_OF: Mapping[str, Collection[str]] = {
    "steward": (*CHILDREN, "clean-up", "report"),
    "observer": CHILDREN,
    "platform": CHILDREN,
    "reader": CHILDREN,
}


def moments_of(role: str) -> Collection[str]:
    """When a process with this role can be met."""
    return MOMENTS_OF.get(role, tuple(MOMENTS))


def has(role: str) -> Callable[[Scene], bool]:
    """Kinds of run with such a process."""
    return lambda scene: role in scene.roles


def meeting(role: str, do: Callable[[Target, psutil.Process], None]) -> Act:
    """Something done to the process with this role, where it lives."""

    def act(target: Target) -> bool:
        process = target.process(role)
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                do(target, process)
                return True
        return False

    return act


def to(role: str, number: signal.Signals, *codes: int, **more: object) -> Attack:
    """A signal to one process."""

    def send(target: Target, process: psutil.Process) -> None:
        if number == signal.SIGSTOP:
            target.after.callback(_resume, process)
        process.send_signal(number)

    name, act = f"{number.name} to {role}", meeting(role, send)
    return Attack(name, codes, act, has(role), moments_of(role), **more)  # type: ignore[arg-type]


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.resume()


def pause(role: str, pause_s: float, holds: bool) -> Attack:
    """A process stands still for a while."""

    def stand_still(_: Target, process: psutil.Process) -> None:
        process.suspend()
        time.sleep(pause_s)
        process.resume()

    name, act = f"{pause_s:g} s stop of {role}", meeting(role, stand_still)
    held_s = pause_s if holds else 0.0
    return Attack(name, {PASS, INVALID}, act, has(role), moments_of(role), holds_s=held_s)


def server_pause(name: str, pause_s: float) -> Attack:
    """A server stands still for a while."""

    def act(target: Target) -> bool:
        family = target.server(name)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        time.sleep(pause_s)
        for process in reversed(family):
            _resume(process)
        return True

    return Attack(f"{pause_s:g} s stop of {name}", {PASS, INVALID, FAIL}, act)


def server_stop(name: str, *codes: int, fits: Callable[[Scene], bool] = everything) -> Attack:
    """A server stands still until the run has ended."""

    def act(target: Target) -> bool:
        for process in target.server(name):
            target.after.callback(_resume, process)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        return True

    return Attack(
        f"stop of {name} for good", codes, act, fits, orphans=True, moments=("preparation", "load")
    )


def statement(name: str, text: str, *codes: int, later: Collection[int] | None = None) -> Attack:
    """A third party's statement on a table of the run ({})."""

    def act(target: Target) -> bool:
        with contextlib.suppress(psycopg.Error):
            tables = target.tables()
            with target.database() as connection:
                connection.execute("SET statement_timeout = '10s'")
                for schema, table in tables[:1]:
                    done = connection.execute(sql.SQL(text).format(sql.Identifier(schema, table)))
                    return done.rowcount != 0  # DDL has -1; no row yet is nothing met
        return False

    return Attack(
        name,
        codes,
        act,
        lambda scene: scene.database,
        ("preparation", "load", "drain"),
        later=later,
    )


def second_run(target: Target) -> bool:
    """Another run, at the same time on the same stack."""
    results = target.place / "second"
    other = LocustProcess("throughput", results, "--rows", "20")

    def ended() -> None:
        try:
            code = other.wait()
        except subprocess.TimeoutExpired:
            other.signal(signal.SIGKILL)
            target.told.append("the second run did not end")
            return
        if code != PASS:
            target.told.append(f"the second run ended with {code}: {other.output[-600:]}")

    target.after.callback(ended)
    return True


def stranger_worker(target: Target) -> bool:
    """A worker of nobody asks the run's master for work; one that comes after the master has gone
    has met nobody.
    """
    port = _listening(target.run.pid)
    if port is None:
        return False
    stranger = start_worker(port)
    while not is_connected(stranger.pid, port):
        if target.run.ended or stranger.poll() is not None:
            stranger.kill()
            stranger.wait()
            return False
        time.sleep(POLL_S)

    def ended() -> None:
        try:
            stranger.wait(90)
        except subprocess.TimeoutExpired:
            stranger.kill()
            stranger.wait()
            target.told.append("the stranger was not told to quit")

    target.after.callback(ended)
    return True


def is_connected(pid: int, port: int) -> bool:
    """Whether a process has reached a port."""
    with contextlib.suppress(psutil.Error):
        return any(
            connection.status == psutil.CONN_ESTABLISHED and connection.raddr.port == port
            for connection in psutil.Process(pid).net_connections("tcp")
        )
    return False


def _listening(pid: int) -> int | None:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.Process(pid).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                return int(connection.laddr.port)
    return None


def stranger_bytes(target: Target) -> bool:
    """Each port that a process of the run listens at gets something that nobody understands."""
    met = False
    with contextlib.suppress(psutil.Error):
        for process in target.run.family():
            port = _listening(process.pid)
            if port is None:
                continue
            with contextlib.suppress(OSError):
                with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
                    stranger.sendall(target.chance.randbytes(4096) + b"\r\n\r\n")
                met = True
    return met


def close_output(target: Target) -> bool:
    """Nobody reads any more what the run prints."""
    target.run.close_output()
    return True


def rest(target: Target) -> bool:
    """The reader of what the run prints rests until it has ended."""
    target.run.rest()
    return True


@contextmanager
def small_disk(results: Path) -> Iterator[None]:
    """The results are on a disk of their own."""
    results.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", results], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", results], check=True)


def fill_disk(target: Target) -> bool:
    """Not one byte more can be written."""
    with contextlib.suppress(OSError), (target.results / FILLER).open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return True


def nothing(_: Target) -> bool:
    """What is done is done by the environment."""
    return True


FOREIGN = {
    "PGSSLMODE": "require",
    "PGOPTIONS": "-c search_path=nowhere",
    "PGHOST": "nowhere.invalid",
    "JAVA_TOOL_OPTIONS": "-Xmx1m",
    "NODE_OPTIONS": "--max-old-space-size=1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONSTARTUP": "/nowhere.py",
    "LC_ALL": "C",
    "TZ": "Pacific/Kiritimati",
}


@contextmanager
def foreign(_: Path) -> Iterator[Mapping[str, str]]:
    """Variables that are meant for others."""
    yield FOREIGN


@contextmanager
def behind_a_proxy(_: Path) -> Iterator[Mapping[str, str]]:
    """A proxy that must not be asked for anything."""
    with recording_proxy() as (variables, asked):
        yield variables
    assert not asked, f"the proxy was asked: {asked[:2]}"


def _attacks() -> Iterator[Attack]:
    stop = {"later": {PASS, INVALID}, "ends_s": STOPPED_S}
    for number in STOPPING:
        yield to("locust", number, INVALID, early={INVALID, INTERRUPTED, -number}, **stop)
    yield to("locust", signal.SIGKILL, KILLED, early={KILLED}, later={KILLED})
    for number in (signal.SIGKILL, signal.SIGSTOP):
        yield to("steward", number, ERROR, orphans=True)
        yield to("observer", number, ERROR)
        yield to("platform", number, FAIL)
        yield to("reader", number, FAIL)
        yield to("worker", number, INVALID)
    for number in (signal.SIGTERM, signal.SIGHUP):
        yield to("observer", number, ERROR)
        yield to("platform", number, FAIL)
        yield to("reader", number, FAIL)
        yield to("steward", number, PASS)
        yield to("worker", number, PASS)
    yield from (pause(role, 1.0, holds=True) for role in ("locust", "platform", "reader"))
    yield from (pause(role, 1.0, holds=False) for role in ("steward", "observer", "worker"))
    yield from (server_pause(name, 1.0) for name in SERVERS)
    yield server_stop("postgres", FAIL, STACK)
    yield server_stop("kafka", FAIL, STACK)
    yield server_stop("connect", FAIL, STACK, fits=captured_by_connect)
    yield statement("TRUNCATE", "TRUNCATE {}", INVALID, FAIL)
    yield statement("DROP COLUMN", "ALTER TABLE {} DROP COLUMN phone", INVALID, FAIL)
    yield statement("ADD COLUMN", "ALTER TABLE {} ADD COLUMN mine integer", PASS, INVALID, FAIL)
    yield statement("RENAME COLUMN", "ALTER TABLE {} RENAME notes TO mine", INVALID, FAIL)
    yield statement("DROP TABLE", "DROP TABLE {}", FAIL, INVALID)
    yield statement("UPDATE", "UPDATE {} SET notes = 'mine'", INVALID)
    yield statement("DELETE", "DELETE FROM {}", INVALID, FAIL)
    yield statement("CREATE INDEX", "CREATE INDEX ON {} (email)", PASS)
    yield Attack("second run", {PASS}, second_run)
    yield Attack("stranger worker", {PASS}, stranger_worker, has("worker"), ("preparation", "load"))
    yield Attack("stranger's bytes", {PASS}, stranger_bytes)
    yield Attack("closed pipe", {PASS}, close_output)
    yield Attack("resting reader", {PASS}, rest)
    yield Attack("full disk", {ERROR}, fill_disk, around=small_disk)
    yield Attack("variables", {PASS}, nothing, moments=("start",), around=foreign)
    yield Attack("proxy", {PASS}, nothing, moments=("start",), around=behind_a_proxy)


ATTACKS = tuple(_attacks())
