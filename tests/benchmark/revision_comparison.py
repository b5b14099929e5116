"""Two revisions of this project beside one another: the rates of producer, counting, Postgres,
Iceberg, webhook and direct reader, in turns within one run.

    python -m tests.benchmark.revision_comparison --old REV [--new REV] [--rounds 7] [--only PART]

Each revision is unpacked to a directory of its own and run there with this environment's packages;
what they read and write is made by this checkout, so both do the same on the same servers. The
platform and the reader are their own processes and are asked by their telemetry; the producer is
that of the revision's own comparison with Java's. Which one begins changes from round to round.
Ends with 1 where a median ratio is further from 1 than --within says, with 2 for a revision that is
not there, and with 3 without a stack.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

import psycopg
import requests

from cdc_users.observe.settings import ObserverSettings, WebhookSettings
from cdc_users.pipeline.process.observer import start_observer
from infra.client.environment import TELEMETRY_TOKEN
from infra.postgres.slot import drop_slot
from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import locate
from infra.stack.supervise.state import CHECKOUT
from tests.benchmark.sink_comparison import PARTITIONS, await_durable, durable_events, fill
from tests.change_events import RUN, FilledTopic, filled_topic, inserts
from tests.platform_process import PlatformProcess
from tests.private_postgres import private_postgres
from tests.wal_process import WalProcess

#: Events of a measurement, and how many of them are its start and do not count.
COUNTED_EVENTS = 400_000
SINK_EVENTS: Mapping[str, int] = {"postgres": 150_000, "iceberg": 200_000, "webhook": 100_000}
START_EVENTS = 20_000
PRODUCER_RECORDS, READER_ROWS = 300_000, 400_000
#: Run by the revision itself: its own producer, of which only this function is relied on.
PRODUCE = """
import sys
from types import SimpleNamespace
from tests.benchmark.producer_comparison import our_rate
place = SimpleNamespace(kafka_bootstrap=sys.argv[1], schema_registry_url=sys.argv[2])
print(our_rate(place, 1, int(sys.argv[3]))[0])
"""
READER = "cdc_revisions"
#: A snapshot costs the reader time, so it is not asked for more often.
POLL_S = 0.05
#: From a revision's directory to a rate.
Measure = Callable[[Path], float]


@dataclass(frozen=True, slots=True)
class RevisionRates:
    """One part's rates by round, at both revisions."""

    part: str
    old: Sequence[float]
    new: Sequence[float]

    @property
    def ratio(self) -> float:
        """New by old: the median over the rounds, each of which had one machine."""
        return statistics.median(self.ratios)

    @property
    def ratios(self) -> list[float]:
        """New by old, round by round."""
        return [new / old for old, new in zip(self.old, self.new, strict=True)]

    def __str__(self) -> str:
        return (
            f"{self.part:<9} old {statistics.median(self.old):>9.0f}/s, new"
            f" {statistics.median(self.new):>9.0f}/s, ratio {self.ratio:.3f} ("
            f"{min(self.ratios):.3f} to {max(self.ratios):.3f}, {len(self.ratios)} rounds)"
        )


def too_far(rates: RevisionRates, within: float) -> bool:
    """Whether the new revision is slower or faster than the old one by more than this share."""
    return abs(math.log(rates.ratio)) > math.log1p(within)


def is_revision(text: str) -> bool:
    """Whether git knows this revision here."""
    command = ["git", "rev-parse", "--quiet", "--verify", "--end-of-options", f"{text}^{{commit}}"]
    return subprocess.run(command, cwd=CHECKOUT, check=False, capture_output=True).returncode == 0


def unpack(revision: str, place: Path) -> Path:
    """The tree of a revision."""
    command = ["git", "archive", "--format=tar", revision]
    done = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as tree:
        tree.extractall(place, filter="data")
    return place


def platform_rate(
    topic: FilledTopic, count: int, options: Callable[[], Mapping[str, object]], checkout: Path
) -> float:
    """Events a second from the start's end until the last of `count` is durable."""
    given = {
        "group": f"{topic.name}_{uuid.uuid4().hex[:6]}",
        "held": "yes",
        "run": RUN,
        "batch-size": 1000,
        **options(),
    }
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        platform = PlatformProcess(topic.endpoints, topic.name, log, given, checkout=checkout)
        try:
            url = platform.url
            platform.begin()
            await_durable(url, START_EVENTS)
            began, began_s = durable_events(url), time.monotonic()
            await_durable(url, count)
            ended_s = time.monotonic()
        finally:
            assert platform.stop() == 0, platform.output
    return (count - began) / (ended_s - began_s)


def producer_rate(endpoints: Endpoints, checkout: Path) -> float:
    """Records a second until the last is acknowledged."""
    command = [sys.executable, "-c", PRODUCE, endpoints.kafka_bootstrap]
    command += [endpoints.schema_registry_url, str(PRODUCER_RECORDS)]
    done = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)
    return float(done.stdout)


def reader_rate(dsn: str, checkout: Path) -> float:
    """Changes a second out of a copy of the slot, as JSON to the null transport."""
    slot = f"{READER}_{uuid.uuid4().hex[:6]}"
    with (
        closing(psycopg.connect(dsn, autocommit=True)) as connection,
        tempfile.TemporaryDirectory() as directory,
    ):
        connection.execute("SELECT pg_copy_logical_replication_slot(%s, %s)", (READER, slot))
        options = ["--dsn", dsn, "--slot", slot, "--publication", READER, "--held", "yes"]
        process = WalProcess(*options, directory=Path(directory), checkout=checkout)
        try:
            url = process.await_ready().ready["telemetry"]
            login = {"Authorization": f"Bearer {os.environ[TELEMETRY_TOKEN]}"}
            requests.post(f"{url}/begin", headers=login, timeout=10).raise_for_status()
            began, began_s = _read(process, START_EVENTS)
            _, ended_s = _read(process, READER_ROWS)
        finally:
            process.close()
        drop_slot(connection, slot)
    return (READER_ROWS - began) / (ended_s - began_s)


def _read(process: WalProcess, count: int) -> tuple[int, float]:
    """How many are durable, at least `count`, and when that was seen."""
    while (found := int(process.snapshot()["sink"]["durable_events"])) < count:
        assert process.code is None, process.log.read_text(encoding="utf-8")
        time.sleep(POLL_S)
    return found, time.monotonic()


@contextmanager
def reader_source() -> Iterator[str]:
    """A server with rows that a slot of the name READER has before it."""
    with (
        tempfile.TemporaryDirectory() as place,
        private_postgres(Path(place), {"max_wal_size": "4GB"}) as postgres,
        closing(psycopg.connect(postgres.dsn, autocommit=True)) as connection,
    ):
        for statement in (
            f"CREATE TABLE {READER} (id bigint PRIMARY KEY, name text, email text,"
            " balance numeric(12, 2), probe text)",
            f"CREATE PUBLICATION {READER} FOR TABLE {READER}",
            f"SELECT pg_create_logical_replication_slot('{READER}', 'pgoutput')",
            f"INSERT INTO {READER} SELECT g, 'customer ' || g, g || '@example.test', g % 1000,"
            f" repeat('p', 80) FROM generate_series(1, {READER_ROWS}) g",
        ):
            connection.execute(statement.encode())
        yield postgres.dsn


@contextmanager
def parts(endpoints: Endpoints, wanted: Sequence[str]) -> Iterator[Mapping[str, Measure]]:
    """How each part is measured, its source filled."""
    found: dict[str, Measure] = {}
    with ExitStack() as undo:
        place = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        if "producer" in wanted:
            found["producer"] = partial(producer_rate, endpoints)
        if "reader" in wanted:
            found["reader"] = partial(reader_rate, undo.enter_context(reader_source()))
        name = f"cdc_revisions_{uuid.uuid4().hex[:8]}"
        if "counting" in wanted:
            topic = undo.enter_context(filled_topic(endpoints, f"{name}_many", PARTITIONS))
            fill(topic, COUNTED_EVENTS)
            counting = partial(dict[str, object], sink="counting")
            found["counting"] = partial(platform_rate, topic, COUNTED_EVENTS, counting)
        if sinks := [part for part in SINK_EVENTS if part in wanted]:
            topic = undo.enter_context(filled_topic(endpoints, name, PARTITIONS))
            topic.fill(inserts(max(SINK_EVENTS.values())))
            options = _sink_options(endpoints, name, place, undo)
            for part in sinks:
                found[part] = partial(platform_rate, topic, SINK_EVENTS[part], options[part])
        yield found


def _sink_options(
    endpoints: Endpoints, schema: str, place: Path, undo: ExitStack
) -> Mapping[str, Callable[[], Mapping[str, object]]]:
    """The platform's options of each sink; a table is a new one each time."""
    connection = undo.enter_context(
        closing(psycopg.connect(endpoints.postgres_dsn, autocommit=True))
    )
    connection.execute(f"CREATE SCHEMA {schema}".encode())
    undo.callback(connection.execute, f"DROP SCHEMA {schema} CASCADE".encode())
    settings = ObserverSettings(run=RUN, taps=(WebhookSettings(name="sink"),))
    observer = start_observer(settings, place / "observer.log")
    undo.callback(observer.stop)

    def fresh() -> str:
        return f"t{uuid.uuid4().hex[:8]}"

    return {
        "postgres": lambda: {
            "sink": "postgres",
            "postgres-dsn": endpoints.postgres_dsn,
            "postgres-table": f"{schema}.{fresh()}",
        },
        "iceberg": lambda: {
            "sink": "iceberg",
            "iceberg-warehouse": place / fresh(),
            "iceberg-table": "bench.rows",
            # Counted in steps of a commit, so those are short.
            "iceberg-commit-interval-ms": 100,
        },
        "webhook": lambda: {
            "sink": "webhook",
            "webhook-url": observer.taps["sink"].webhook_url,
            "batch-size": 100,
        },
    }


PARTS = ("producer", "counting", *SINK_EVENTS, "reader")


def measured(measure: Measure, part: str, old: Path, new: Path, rounds: int) -> RevisionRates:
    """Both revisions in turns; which begins changes."""
    rates: dict[Path, list[float]] = {old: [], new: []}
    for number in range(rounds):
        for checkout in (old, new) if number % 2 == 0 else (new, old):
            rates[checkout].append(measure(checkout))
        print(
            f"{part} {number + 1}: old {rates[old][-1]:.0f}/s, new {rates[new][-1]:.0f}/s",
            flush=True,
        )
    return RevisionRates(part, rates[old], rates[new])


def main(arguments: Sequence[str]) -> int:
    """Compare on the stack that is up."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmark.revision_comparison", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--old", required=True, help="a revision of git")
    parser.add_argument("--new", default="HEAD", help="another one")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--within", type=float, default=0.03, help="what may be between them")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args(arguments)
    if unknown := [text for text in (options.old, options.new) if not is_revision(text)]:
        print(f"{unknown[0]!r} is no revision here; see `git log`", file=sys.stderr)
        return 2
    endpoints = locate(CHECKOUT, os.environ)
    if endpoints is None:
        print("no stack is up; start one with `make stack-up`", file=sys.stderr)
        return 3
    os.environ[TELEMETRY_TOKEN] = uuid.uuid4().hex  # each reader is let go with it
    with (
        tempfile.TemporaryDirectory(prefix="cdc-revisions-") as directory,
        parts(endpoints, options.only) as measures,
    ):
        old = unpack(options.old, Path(directory) / "old")
        new = unpack(options.new, Path(directory) / "new")
        found = [
            measured(measure, part, old, new, options.rounds) for part, measure in measures.items()
        ]
    for rates in found:
        print(f"{rates}{'  *' if too_far(rates, options.within) else ''}", flush=True)
    return 1 if any(too_far(rates, options.within) for rates in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
