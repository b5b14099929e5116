"""A search of a real pipeline finds the rate of a sink that is known, and names the stage that was
slowed down: a process that stands still for most of the time, or a sink that waits.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.stack.endpoints import Endpoints
from tests.real_stack import server
from tests.scenarios.locust_process import LocustProcess

pytestmark = pytest.mark.soak

#: A slowed process stands still for so long, and then goes on for so long, over and over.
STILL_S, GOES_S = 0.18, 0.02
#: PostgreSQL and Kafka must go on more rarely. Whenever they do, PostgreSQL carries out a
#: transaction of each lane (16 lanes with 20 rows each then write some 360 rows/s), a walsender
#: sends all that waits, and Kafka answers all its clients.
RARELY_S = 0.9
SEARCH = (
    *("--smoke", "no", "--from", "1600", "--most", "1600", "--slo", "end_to_end.p50 < 60s"),
    *("--probe", "10s", "--warm-up", "3s", "--confirm", "10s", "--budget", "3m"),
    *("--rows-per-transaction", "20", "--lanes", "16"),
)
LIMIT_S = 400.0
#: A sink that sleeps so long in each write of so many events takes RATE at the most.
DELAY_S, BATCH = 0.05, 10
RATE_PER_S = BATCH / DELAY_S
#: What a write takes beside its sleep.
OVERHEAD = 0.02


def backends() -> list[psutil.Process]:
    """PostgreSQL's processes that write for clients."""
    postgres = server("postgres")
    assert postgres is not None
    busy = ("INSERT", "COMMIT", "idle", "BEGIN", "UPDATE")
    return [
        child
        for child in postgres.children()
        if (title := " ".join(child.cmdline())) and any(word in title for word in busy)
        if "walsender" not in title
    ]


def walsenders() -> list[psutil.Process]:
    postgres = server("postgres")
    assert postgres is not None
    return [child for child in postgres.children() if "walsender" in " ".join(child.cmdline())]


def of_stack(name: str) -> list[psutil.Process]:
    found = server(name)
    assert found is not None
    return [found]


@contextlib.contextmanager
def slowed(
    processes: Callable[[], list[psutil.Process]], still_s: float = STILL_S
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
            over.wait(GOES_S)

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
    ("stage", "processes"),
    [
        ("source", backends),
        ("walsender", walsenders),
        ("capture", lambda: of_stack("connect")),
        ("broker", lambda: of_stack("kafka")),
    ],
)
def test_a_server_that_is_slowed_is_named(
    stack: Endpoints, results: Path, stage: str, processes: Callable[[], list[psutil.Process]]
) -> None:
    run = LocustProcess("capacity", results, *SEARCH)
    run.await_output('"step": "capacity-1-probe')
    with slowed(processes, RARELY_S if stage != "capture" else STILL_S):
        assert limit_of(run) == stage


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
def test_the_rate_of_a_known_sink_is_in_the_interval(
    stack: Endpoints, results: Path, seed: int
) -> None:
    run = LocustProcess(
        "capacity",
        results,
        *("--smoke", "no", "--sink", "slow", "--sink-delay", f"{DELAY_S}s"),
        *("--batch-size", str(BATCH), "--from", "100", "--most", "800", "--precision", "5%"),
        *("--slo", "end_to_end.p50 < 5s", "--probe", "12s", "--warm-up", "3s"),
        *("--confirm", "20s", "--seed", str(seed)),
    )

    assert run.wait(LIMIT_S) == 4, run.output
    # The tests' stack is for no figures; nothing else is held against the run.
    (only,) = run.result()["reasons"]
    assert "profile 'test'" in only
    found = run.result()["capacity"]
    print(found["low_per_s"], found["high_per_s"], found["bottleneck"]["words"])
    assert found["kind"] == "interval"
    assert found["low_per_s"] <= RATE_PER_S
    assert found["high_per_s"] >= RATE_PER_S * (1 - OVERHEAD)
    assert found["bottleneck"]["stage"] == "sink"
