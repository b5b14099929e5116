"""A search of a real pipeline finds the rate of a sink that is known, and names the stage that was
slowed down: a process that stands still for most of the time, commits that take long, or a sink
that waits.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from infra.stack.endpoints import Endpoints
from tests.real_stack import server
from tests.scenarios.locust_process import LocustProcess

pytestmark = pytest.mark.soak

#: A slowed process stands still for so long, and then goes on for so long, over and over.
STILL_S, GOES_S = 0.18, 0.02
#: Kafka answers all its clients whenever it goes on, so it must stand still for longer. A walsender
#: cannot be slowed in this way: in 2 ms a second it still sends more than Connect takes.
BROKER_S = 0.5, 0.05
#: Transactions of a slowed source take so long, one after the other: 400 rows/s with 20 rows each.
COMMIT_S = 0.05
SEARCH = (
    *("--smoke", "no", "--from", "1600", "--most", "1600", "--slo", "end_to_end.p50 < 60s"),
    *("--probe", "10s", "--warm-up", "3s", "--confirm", "10s", "--budget", "3m"),
    *("--rows-per-transaction", "20", "--lanes", "16"),
)
LIMIT_S = 700.0
#: A sink that sleeps so long in each write of so many events.
DELAY_S, BATCH = 0.05, 10
#: The sink is between two writes for this share of the time, at the most.
BETWEEN = 0.05
#: The relative error of a good prediction.
WELL_PREDICTED = 0.15


def of_stack(name: str) -> list[psutil.Process]:
    found = server(name)
    assert found is not None
    return [found]


@contextlib.contextmanager
def slowed(
    processes: Callable[[], list[psutil.Process]],
    still_s: float = STILL_S,
    goes_s: float = GOES_S,
) -> Iterator[None]:
    """These processes, as they come and go, stand still for most of the time."""
    over = threading.Event()

    def every(act: Callable[[psutil.Process], None]) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    act(process)

    def slow() -> None:
        while not over.is_set():
            every(psutil.Process.suspend)
            over.wait(still_s)
            every(psutil.Process.resume)
            over.wait(goes_s)

    slowing = threading.Thread(target=slow, daemon=True)
    slowing.start()
    try:
        yield
    finally:
        over.set()
        slowing.join()
        every(psutil.Process.resume)


def limit_of(run: LocustProcess) -> str:
    """The stage that the search names; the run's output where it names none."""
    assert run.wait(LIMIT_S) in (0, 1, 4), run.output
    capacity = run.result()["capacity"]
    assert capacity is not None, run.output
    narrow = capacity["bottleneck"]
    assert narrow is not None, run.output
    print(narrow["words"])
    stage: str = narrow["stage"]
    return stage


@pytest.mark.parametrize(
    ("stage", "processes", "times_s"),
    [
        ("capture", lambda: of_stack("connect"), (STILL_S, GOES_S)),
        ("broker", lambda: of_stack("kafka"), BROKER_S),
    ],
    ids=["capture", "broker"],
)
def test_a_server_that_is_slowed_is_named(
    stack: Endpoints,
    results: Path,
    stage: str,
    processes: Callable[[], list[psutil.Process]],
    times_s: tuple[float, float],
) -> None:
    run = LocustProcess("capacity", results, *SEARCH)
    run.await_output('"step": "capacity-1-probe')
    with slowed(processes, *times_s):
        assert limit_of(run) == stage


def test_a_source_that_is_slowed_is_named(stack: Endpoints, results: Path) -> None:
    """GIVEN a table to which one transaction at a time may commit, each after a pause."""
    run = LocustProcess("capacity", results, *SEARCH)
    run.await_output('"step": "capacity-1-probe')
    _, schema, table = run.topic().split(".")
    names = sql.Identifier(schema), sql.Identifier(schema, table)
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL(
                "CREATE FUNCTION {0}.pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" PERFORM pg_advisory_xact_lock(1), pg_sleep({COMMIT_S}); RETURN NULL; END $$"
            ).format(*names)
        )
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER pause AFTER INSERT ON {1}"
                " FOR EACH STATEMENT EXECUTE FUNCTION {0}.pause()"
            ).format(*names)
        )

    assert limit_of(run) == "source"


def test_a_consumer_that_is_slowed_is_named(stack: Endpoints, results: Path) -> None:
    run = LocustProcess("capacity", results, *SEARCH)
    run.await_output('"step": "capacity-1-probe')
    platform = run.child("infra.platform")
    with slowed(lambda: [platform]):
        assert limit_of(run) == "consumer"


@pytest.mark.parametrize("sink", [("slow", "--sink-delay", "100ms"), ("webhook",)])
def test_a_sink_that_waits_is_named(stack: Endpoints, results: Path, sink: tuple[str, ...]) -> None:
    slow = ("--sink", *sink, "--batch-size", "50")
    run = LocustProcess("capacity", results, *SEARCH, *slow)

    assert limit_of(run) == "sink"


@pytest.mark.parametrize("seed", range(5))
def test_the_rate_of_a_known_sink_is_in_the_interval_and_an_outage_ends_as_predicted(
    stack: Endpoints, results: Path, seed: int
) -> None:
    run = LocustProcess(
        "capacity",
        results,
        *("--smoke", "no", "--sink", "slow", "--sink-delay", f"{DELAY_S}s"),
        *("--batch-size", str(BATCH), "--from", "100", "--most", "800", "--precision", "5%"),
        *("--slo", "end_to_end.p50 < 5s", "--probe", "12s", "--warm-up", "3s"),
        *("--confirm", "20s", "--seed", str(seed), "--outage", "20s"),
    )

    assert run.wait(LIMIT_S) == 4, run.output
    # The tests' stack is for no figures; nothing else is held against the run.
    (only,) = run.result()["reasons"]
    assert "profile 'test'" in only
    found = run.result()["capacity"]
    print(found["low_per_s"], found["high_per_s"], found["bottleneck"]["words"])
    print(found["predictions"])
    assert found["kind"] == "interval"
    # A machine that is slow or busy makes each write a few milliseconds longer than its sleep.
    failed = [
        step["latency_ms"]["sink_write"]["mean"]
        for step in run.result()["steps"]
        if step["name"].endswith(f"-{found['high_per_s']:g}-per-s")
    ]
    write_ms = failed[-1]
    assert write_ms >= DELAY_S * 1000
    rate_per_s = BATCH / write_ms * 1000
    assert rate_per_s * (1 - BETWEEN) <= found["high_per_s"]
    assert found["low_per_s"] <= rate_per_s
    assert found["bottleneck"]["stage"] == "sink"
    for figure in ("catch_up_s", "wal_held_back_bytes_per_s"):
        assert abs(found["predictions"][figure]["error"]) <= WELL_PREDICTED
