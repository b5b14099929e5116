"""What the chaos soak does to a run: one attack for each, drawn from a seed, with the exit codes
that are true after it.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from infra.stack.endpoints import Endpoints
from tests.scenarios.locust_process import LocustProcess, await_that

LOAD = ("--rate", "50", "--duration", "4s", "--lanes", "4", "--drain-timeout", "10s")
PASS, FAIL, ERROR, STACK, INVALID = range(5)
PROCESSES = ("cdc_users.pipeline.provision.steward", "cdc_users.observe", "infra.platform")
#: What a password would look like if it came out anywhere.
CANARY = "canary-4f9d1c"


@dataclass(frozen=True, slots=True)
class Attack:
    """What is done `after_s` of load, and how the run may end then.

    `act` is given the run, the stack and a place for files; `environment` is the run's own.
    """

    name: str
    codes: frozenset[int]
    act: Callable[[LocustProcess, Endpoints, Path], None] = lambda *_: None
    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


def signalled(module: str, number: signal.Signals, *codes: int) -> Attack:
    """A signal to one process of the run; "" is locust itself."""

    def act(run: LocustProcess, *_: Any) -> None:
        with contextlib.suppress(StopIteration, psutil.NoSuchProcess):  # it has ended already
            (run.child(module) if module else psutil.Process(run.pid)).send_signal(number)

    name = f"{number.name} to {module.rpartition('.')[2] or 'locust'}"
    return Attack(name, frozenset(codes), act)


def paused(module: str, pause_s: float) -> Attack:
    """A process stands still for a while."""

    def act(run: LocustProcess, *_: Any) -> None:
        with contextlib.suppress(StopIteration, psutil.NoSuchProcess):
            process = run.child(module) if module else psutil.Process(run.pid)
            process.suspend()
            time.sleep(pause_s)
            process.resume()

    name = f"{pause_s:g} s stop of {module.rpartition('.')[2] or 'locust'}"
    return Attack(name, frozenset({PASS, INVALID}), act)


def statement(name: str, text: str, *codes: int) -> Attack:
    """A third party's statement on the run's table ({})."""

    def act(run: LocustProcess, stack: Endpoints, _place: Path) -> None:
        _, schema, table = run.topic().split(".")
        with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
            place = sql.Identifier(schema, table)
            rows = sql.SQL("SELECT count(*) FROM {}").format(place)
            await_that(
                lambda: bool((connection.execute(rows).fetchone() or [0])[0]), "no row of the run"
            )
            connection.execute(sql.SQL(text).format(place))

    return Attack(name, frozenset(codes), act)


def second_run(_: LocustProcess, __: Endpoints, place: Path) -> None:
    """Another run, at the same time on the same stack."""
    other = LocustProcess("throughput", place / "second", "--rows", "20")
    assert other.wait() == PASS, other.output


def mute(run: LocustProcess, *_: Any) -> None:
    """Nobody reads what the run prints any more."""
    run.close_output()


ATTACKS = (
    *(signalled("", number, INVALID) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
    signalled("", signal.SIGKILL, -signal.SIGKILL),
    *(signalled(PROCESSES[0], number, ERROR) for number in (signal.SIGKILL, signal.SIGSTOP)),
    *(signalled(PROCESSES[1], number, ERROR) for number in (signal.SIGKILL, signal.SIGSTOP)),
    *(signalled(PROCESSES[2], number, FAIL) for number in (signal.SIGKILL, signal.SIGSTOP)),
    *(paused(module, 1.0) for module in ("", *PROCESSES)),
    statement("TRUNCATE", "TRUNCATE {}", INVALID),
    statement("DROP COLUMN", "ALTER TABLE {} DROP COLUMN phone", INVALID),
    statement("DROP TABLE", "DROP TABLE {}", FAIL),
    statement("UPDATE", "UPDATE {} SET notes = 'mine'", INVALID),
    Attack("second run", frozenset({PASS}), second_run),
    Attack("closed pipe", frozenset({PASS}), mute),
    Attack(
        "variables",
        frozenset({PASS}),
        environment={
            "HTTP_PROXY": "http://127.0.0.1:9",
            "ALL_PROXY": "http://127.0.0.1:9",
            "PGSSLMODE": "require",
            "PGOPTIONS": "-c search_path=nowhere",
            "JAVA_TOOL_OPTIONS": "-Xmx1m",
        },
    ),
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """An attack, and how long into the load it comes."""

    attack: Attack
    after_s: float


def draw(seed: int, count: int) -> list[Drawn]:
    """The attacks of a soak: each kind comes before any comes again."""
    chance = random.Random(seed)
    drawn: list[Drawn] = []
    while len(drawn) < count:
        kinds = list(ATTACKS)
        chance.shuffle(kinds)
        drawn += [Drawn(kind, round(chance.uniform(0.0, 3.0), 2)) for kind in kinds]
    return drawn[:count]
