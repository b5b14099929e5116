"""The direct reader when its source moves under it: each ends in followed or in stopped by name,
and none in silence.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from infra.platform.process.error import UnreachableError
from infra.platform.wal.error import HistoryError, SetupError, SlotGoneError
from infra.platform.wal.replication import slot as server
from tests.integration.wal_source import Source, await_that, reading, state_file
from tests.private_postgres import PrivatePostgres, private_postgres


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    settings = {"max_prepared_transactions": "10", "logical_decoding_work_mem": "64kB"}
    with private_postgres(tmp_path_factory.mktemp("postgres"), settings) as running:
        yield running


@pytest.fixture
def source(postgres: PrivatePostgres) -> Iterator[Source]:
    made = Source(postgres.dsn, f"cdc_wal_{uuid.uuid4().hex[:8]}")
    yield made
    made.reconnect()
    made.remove()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[PrivatePostgres, Source]]:
    """A source on a server that only this test has, and may take apart."""
    with private_postgres(tmp_path, {}) as postgres:
        source = Source(postgres.dsn, "moved")
        try:
            yield postgres, source
        finally:
            source.connection.close()


def publish(source: Source, state: Path, first: int, last: int) -> None:
    with reading(source, state=state) as service:
        source.insert(first, last)
        await_that(lambda: len(service.list.records) == last - first + 1, "changes never came")


def failed(source: Source, state: Path) -> Exception | None:
    """What ends a reader, at its start or when the server shows what it has."""
    try:
        with reading(source, state=state) as service:
            await_that(lambda: service.failure is not None, "the reader goes on")
    except HistoryError as error:
        return error
    return service.failure


@pytest.mark.parametrize("grown", [False, True], ids=["behind", "grown-beyond"])
def test_a_source_that_was_restored_from_an_older_copy_is_never_taken_for_the_same(
    alone: tuple[PrivatePostgres, Source], tmp_path: Path, grown: bool
) -> None:
    """Its WAL ends before the position, or has grown beyond it with other changes."""
    postgres, source = alone
    publish(source, state_file(tmp_path), 1, 10)
    source.connection.close()
    postgres.copy()
    source.reconnect()
    publish(source, state_file(tmp_path), 11, 500)
    source.connection.close()
    postgres.restore()
    source.reconnect()
    source.insert(1_001, 1_010)
    if grown:
        source.insert(10_000, 20_000)
        source.execute("SELECT pg_switch_wal()")
    failure = failed(source, state_file(tmp_path))
    with reading(source, state=state_file(tmp_path), skip_gaps=True) as service:
        await_that(lambda: len(service.list.records) >= 10, "nothing comes behind the gap")

    assert isinstance(failure, HistoryError)
    assert "--on-gap skip" in str(failure)
    assert set(range(1_001, 1_011)) <= set(service.list.ids())
    assert service.reader.gaps <= 1


def test_a_state_of_another_cluster_is_refused(source: Source, tmp_path: Path) -> None:
    publish(source, state_file(tmp_path), 1, 3)
    text = state_file(tmp_path).read_text(encoding="utf-8")
    system = text.split('"system":"')[1].split('"')[0]
    state_file(tmp_path).write_text(text.replace(system, "1"), encoding="utf-8")

    with (
        pytest.raises(SetupError, match="in cluster 1, not in"),
        reading(source, state=state_file(tmp_path)),
    ):
        pass


def test_a_server_that_crashed_repeats_nothing_that_was_published(
    alone: tuple[PrivatePostgres, Source], tmp_path: Path
) -> None:
    """The server forgets confirmations that it had not written; the state file knows better."""
    postgres, source = alone
    publish(source, state_file(tmp_path), 1, 100)
    source.connection.close()
    postgres.kill()
    postgres.start()
    source.reconnect()
    with reading(source, state=state_file(tmp_path)) as service:
        source.insert(101, 110)
        await_that(lambda: len(service.list.records) >= 10, "nothing came")

    assert service.list.ids() == list(range(101, 111))


def test_prepared_transactions_come_once_and_only_when_they_are_committed(
    postgres: PrivatePostgres, source: Source, tmp_path: Path
) -> None:
    server.drop(source.dsn, "slot", source.name)
    source.execute(
        f"SELECT pg_create_logical_replication_slot('{source.name}', 'pgoutput', false, true)"
    )
    state = state_file(tmp_path)
    with reading(source, state=state) as service:
        with closing(psycopg.connect(postgres.dsn, autocommit=True)) as other:
            for gid, number in (("kept", 1), ("gone", 2)):
                other.execute("BEGIN")
                other.execute(f"INSERT INTO {source.name} VALUES ({number})".encode())
                other.execute(f"PREPARE TRANSACTION '{source.name}{gid}'".encode())
        source.insert(3, 3)
        await_that(lambda: len(service.list.records) == 1, "the plain change never came")
    first = service.list.ids()
    with reading(source, state=state) as service:
        source.execute(f"ROLLBACK PREPARED '{source.name}gone'")
        source.execute(f"COMMIT PREPARED '{source.name}kept'")
        source.insert(4, 4)
        await_that(lambda: len(service.list.records) >= 2, "the prepared change never came")

    assert (first, service.list.ids()) == ([3], [1, 4])


def test_large_transactions_are_streamed_and_what_is_rolled_back_is_left_out(
    source: Source,
) -> None:
    with reading(source, streaming=True, max_bytes=200_000, max_messages=500) as service:
        with closing(psycopg.connect(source.dsn)) as other:
            other.execute(
                f"INSERT INTO {source.name} SELECT g, 1, repeat('x', 100)"
                " FROM generate_series(1, 5000) g".encode()
            )
            other.execute("SAVEPOINT s")
            other.execute(
                f"INSERT INTO {source.name} SELECT g, 1, 'no' FROM"
                " generate_series(5001, 9000) g".encode()
            )
            other.execute("ROLLBACK TO s")
            await_that(lambda: service.reader.messages > 1_000, "nothing is streamed")
            assert service.list.records == []
            source.insert(20_000, 20_001)
            other.commit()
        await_that(lambda: len(service.list.records) == 5_002, "changes are missing")

    assert service.list.ids() == [20_000, 20_001, *range(1, 5_001)]
    assert service.pump.high_water <= 1_500
    assert service.reader.spilled_bytes == 0


def test_an_error_of_the_server_that_does_not_pass_ends_it_with_the_servers_words(
    source: Source,
) -> None:
    source.execute(
        f"ALTER PUBLICATION {source.name} SET TABLE {source.name} WHERE (1 / version > -9)"
    )
    with reading(source, reconnect_s=30) as service:
        source.execute(f"INSERT INTO {source.name} VALUES (1, 0)")
        await_that(lambda: service.failure is not None, "the reader goes on for ever")

    assert isinstance(service.failure, SetupError)
    assert "division by zero" in str(service.failure)
    assert service.reader.connections <= 3


def test_a_server_that_stands_still_is_noticed(postgres: PrivatePostgres, source: Source) -> None:
    """Its sockets stay open, and its host answers for it: only silence tells."""
    with reading(source, silence_s=2.0, reconnect_s=2.0) as service:
        source.insert(1, 1)
        await_that(lambda: len(service.list.records) == 1, "nothing came")
        processes = [psutil.Process(postgres._server.process.pid)]
        processes += processes[0].children(recursive=True)
        started_s = time.monotonic()
        for process in processes:
            process.suspend()
        try:
            await_that(lambda: service.failure is not None, "the reader waits for ever")
        finally:
            for process in reversed(processes):
                process.resume()

    assert isinstance(service.failure, UnreachableError)
    assert time.monotonic() - started_s < 25


def test_an_idle_server_is_not_taken_for_a_dead_one(source: Source) -> None:
    with reading(source, silence_s=1.0) as service:
        time.sleep(3.0)  # three limits of silence: the server answers when it is asked
        source.insert(1, 1)
        await_that(lambda: len(service.list.records) == 1, "nothing came")

    assert service.reader.connections == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP PUBLICATION {0}", "was dropped"),
        (
            "DROP PUBLICATION {0}; CREATE PUBLICATION {0} FOR TABLE {0}",
            "was dropped and created again",
        ),
        ("ALTER PUBLICATION {0} SET (publish = 'insert')", "no longer publishes delete"),
        ("ALTER PUBLICATION {0} DROP TABLE {0}", "no longer publishes public.{0}"),
        (
            "ALTER PUBLICATION {0} SET TABLE {0} WHERE (id > 1)",
            "no longer publishes rows of public.{0} but where (id > 1)",
        ),
        (
            "ALTER PUBLICATION {0} SET TABLE {0} (id, version)",
            "no longer publishes public.{0}.note",
        ),
        (
            "DROP TABLE {0}; CREATE TABLE {0} (id int PRIMARY KEY)",
            "table public.{0} was dropped: no change says that its rows are gone",
        ),
        (
            "DROP TABLE {0}; CREATE TABLE {0} (id int PRIMARY KEY);"
            " ALTER PUBLICATION {0} ADD TABLE {0}",
            "table public.{0} was dropped and created again",
        ),
    ],
)
def test_a_publication_that_keeps_changes_back_ends_the_reader(
    source: Source, change: str, said: str
) -> None:
    with reading(source) as service:
        source.insert(1, 1)
        await_that(lambda: len(service.list.records) == 1, "nothing came")
        for statement in change.format(source.name).split("; "):
            source.execute(statement)
        service.watch()
        await_that(lambda: service.failure is not None, "the reader says nothing")

    assert said.format(source.name) in str(service.failure)


def test_a_renamed_table_and_a_changed_column_are_followed(source: Source) -> None:
    with reading(source) as service:
        source.insert(1, 1)
        source.execute(f"ALTER TABLE {source.name} ALTER COLUMN version TYPE bigint")
        source.execute(f"ALTER TABLE {source.name} RENAME COLUMN note TO remark")
        source.insert(2, 2)
        source.execute(f"ALTER TABLE {source.name} RENAME TO {source.name}_new")
        source.execute(f"INSERT INTO {source.name}_new VALUES (3, 5000000000, 'z')")
        await_that(lambda: len(service.list.records) == 3, "changes are missing")
        service.watch()
        source.execute(f"ALTER TABLE {source.name}_new RENAME TO {source.name}")

    changes = service.list.changes()
    assert [list(change["after"]) for change in changes] == [
        ["id", "version", "note"],
        ["id", "version", "remark"],
        ["id", "version", "remark"],
    ]
    assert changes[2]["after"]["version"] == 5_000_000_000
    assert changes[2]["table"] == f"{source.name}_new"


def test_a_wider_primary_key_is_the_key_from_there_on(source: Source) -> None:
    with reading(source) as service:
        source.insert(1, 1)
        await_that(lambda: len(service.list.records) == 1, "nothing came")
        source.execute(f"ALTER TABLE {source.name} DROP CONSTRAINT {source.name}_pkey")
        source.execute(f"ALTER TABLE {source.name} ADD PRIMARY KEY (version, id)")
        source.execute(f"INSERT INTO {source.name} VALUES (1, 7, 'tenant 7')")
        await_that(lambda: len(service.list.records) == 2, "nothing came behind the change")

    assert [record.key for record in service.list.records] == [b"1", b"7\x001"]


def test_a_slot_that_was_dropped_and_created_again_ends_a_running_reader(source: Source) -> None:
    with reading(source) as service:
        source.insert(1, 1)
        await_that(
            lambda: source.slot().confirmed_lsn >= service.pump.taken_lsn > 0, "nothing came"
        )
        server.drop(source.dsn, "slot", source.name)
        source.insert(2, 2)
        try:
            server.create_slot(source.connection, source.name)
        finally:
            await_that(lambda: service.failure is not None, "the reader goes on")

    assert isinstance(service.failure, SlotGoneError)
    assert source.name in str(service.failure)


@pytest.mark.parametrize("connected", [False, True], ids=["stopped", "connected"])
def test_a_promoted_standby_that_has_everything_is_followed(
    alone: tuple[PrivatePostgres, Source], tmp_path: Path, connected: bool
) -> None:
    """Promoted between two sessions, or while one goes on: what came since is on its timeline."""
    postgres, source = alone
    state = state_file(tmp_path)
    publish(source, state, 1, 10)
    source.connection.close()
    postgres.become_standby()
    first = 11
    if connected:
        with reading(source, state=state) as service:
            postgres.promote()
            source.reconnect()
            source.insert(11, 20)
            await_that(lambda: service.list.ids()[-10:] == list(range(11, 21)), "nothing came")
        assert service.reader.connections == 1
        first = 21
    else:
        postgres.promote()
        source.reconnect()
    with reading(source, state=state) as service:
        source.insert(first, first + 9)
        await_that(lambda: len(service.list.records) >= 10, "nothing came")

    assert service.list.ids()[-10:] == list(range(first, first + 10))
    assert service.reader.snapshot()["timeline"] == 2


def test_memory_stays_bounded_at_ten_times_the_bound(source: Source) -> None:
    """300 rows of 500 KB against a bound of 15 MB."""
    memory = psutil.Process(os.getpid())
    with reading(source, max_bytes=15_000_000, format="none") as service:
        source.execute(f"ALTER TABLE {source.name} ALTER COLUMN note SET STORAGE EXTERNAL")
        before = memory.memory_info().rss
        highest = 0
        for number in range(300):
            source.execute(f"INSERT INTO {source.name} VALUES (%s, 1, repeat('x', 500000))", number)
            highest = max(highest, memory.memory_info().rss - before)
        await_that(lambda: service.pump.published >= 300, "changes are missing")

    assert service.pump.held == 0
    assert highest < 60_000_000
