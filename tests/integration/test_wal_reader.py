"""The direct reader on a real server: confirms only what is durable, survives what servers do,
refuses what is lost.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from psycopg2.extensions import make_dsn

from infra.platform.process.error import UnreachableError
from infra.platform.wal.error import SetupError, SlotGoneError
from infra.platform.wal.replication import slot as server
from tests.integration.wal_source import Source, await_that, reading, state_file
from tests.private_postgres import PrivatePostgres, private_postgres


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePostgres]:
    settings = {"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}
    with private_postgres(tmp_path_factory.mktemp("postgres"), settings) as running:
        yield running


@pytest.fixture
def source(postgres: PrivatePostgres) -> Iterator[Source]:
    made = Source(postgres.dsn, f"cdc_wal_{uuid.uuid4().hex[:8]}")
    yield made
    made.reconnect()
    made.remove()


def test_changes_arrive_whole_and_in_commit_order(source: Source) -> None:
    with reading(source) as service:
        source.insert(1, 3)
        source.execute(f"UPDATE {source.name} SET version = 2 WHERE id = 2")
        source.execute(f"DELETE FROM {source.name} WHERE id = 2")
        await_that(lambda: len(service.list.records) == 5, "five changes never came")

    changes = service.list.changes()
    assert [change["op"] for change in changes] == ["c", "c", "c", "u", "d"]
    assert service.list.ids() == [1, 2, 3, 2, 2]
    assert changes[3]["before"] == {"id": 2, "version": 1, "note": "n"}
    assert changes[3]["after"] == {"id": 2, "version": 2, "note": "n"}
    assert changes[4]["after"] is None
    assert len({change["source"]["lsn"] for change in changes}) == 3


def test_text_is_utf_8_and_dates_are_iso_whatever_the_servers_own_form_is(
    postgres: PrivatePostgres,
) -> None:
    name = f"cdc_wal_{uuid.uuid4().hex[:8]}"
    with closing(server.connect(postgres.dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        cursor.execute(f"ALTER DATABASE {name} SET datestyle = 'German'")
        cursor.execute(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
        source = Source(make_dsn(postgres.dsn, dbname=name), name)
        try:
            source.execute(f"ALTER TABLE {name} ADD COLUMN placed_at timestamptz")
            with reading(source) as service:
                source.execute(
                    f"INSERT INTO {name} VALUES (1, 1, 'Müller', '2026-02-01T00:00:00Z')"
                )
                await_that(lambda: len(service.list.records) == 1, "the change never came")
        finally:
            source.remove()
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")

    after = service.list.changes()[0]["after"]
    assert (after["note"], after["placed_at"]) == ("Müller", "2026-02-01 00:00:00+00")


def test_only_what_is_durable_is_confirmed(source: Source) -> None:
    with reading(source) as service:
        service.list.gate.clear()
        source.insert(1, 10)
        end_lsn = source.wal_lsn()
        await_that(lambda: service.pump.taken_lsn > 0, "the transaction was never read")
        assert service.list.waiting.wait(30)
        taken = service.pump.taken_lsn
        confirmations = service.reader.confirmations
        source.insert(11, 20)
        await_that(lambda: service.pump.taken_lsn > taken, "the next was never read")
        assert source.slot().confirmed_lsn < taken <= end_lsn
        assert service.reader.confirmations == confirmations

        service.list.gate.set()

        await_that(
            lambda: source.slot().confirmed_lsn >= taken,
            "the transaction's end was never confirmed",
        )


def test_an_idle_slot_follows_the_wal_of_tables_that_are_not_published(source: Source) -> None:
    with reading(source):
        source.execute(
            f"CREATE TABLE {source.name}_other AS SELECT g FROM generate_series(1, 1000) g"
        )
        source.execute(f"DROP TABLE {source.name}_other")
        lsn = source.wal_lsn()

        await_that(lambda: source.slot().confirmed_lsn >= lsn, "the idle slot pins WAL")


def test_stopping_leaves_nothing_unconfirmed(source: Source) -> None:
    with reading(source) as service:
        source.insert(1, 2_000)
        end_lsn = source.wal_lsn()
        await_that(lambda: service.pump.taken_lsn > 0, "nothing was read")

    assert sorted(service.list.ids()) == list(range(1, 2_001))
    assert source.slot().confirmed_lsn >= service.pump.taken_lsn
    assert source.slot().confirmed_lsn <= end_lsn + (1 << 24)
    with reading(source) as second:
        source.insert(3_000, 3_000)
        await_that(lambda: len(second.list.records) >= 1, "the next change never came")
    assert second.list.ids() == [3_000]


def test_a_terminated_walsender_costs_no_change_and_repeats_one_transaction_at_most(
    source: Source,
) -> None:
    with reading(source) as service:
        for round_ in range(5):
            source.insert(round_ * 100 + 1, round_ * 100 + 100)
            source.execute("SELECT pg_terminate_backend(%s)", source.slot().active_pid)
        await_that(lambda: len(set(service.list.ids())) == 500, "changes are missing")

    ids = service.list.ids()
    assert service.failure is None
    assert service.reader.connections > 1
    assert list(dict.fromkeys(ids)) == list(range(1, 501))
    assert len(ids) - 500 < 100 * (service.reader.connections - 1)


def test_a_server_that_restarts_is_waited_for(source: Source, postgres: PrivatePostgres) -> None:
    with reading(source) as service:
        source.insert(1, 50)
        await_that(lambda: len(service.list.records) == 50, "the first changes never came")
        postgres.stop()
        postgres.start()
        source.reconnect()
        source.insert(51, 100)
        await_that(
            lambda: len(service.list.records) >= 100,
            "the changes after the restart never came",
        )

    assert service.failure is None
    assert service.list.ids() == list(range(1, 101))


def test_a_server_that_stays_away_ends_the_reader(
    source: Source, postgres: PrivatePostgres
) -> None:
    with reading(source, reconnect_s=0.5) as service:
        postgres.stop()
        try:
            await_that(lambda: service.failure is not None, "the reader waits for ever")
        finally:
            postgres.start()

    assert isinstance(service.failure, UnreachableError)
    assert "Connection refused" in str(service.failure)


def test_a_full_queue_leaves_the_lag_to_the_slot(source: Source) -> None:
    with reading(source, max_messages=100) as service:
        service.list.gate.clear()
        for number in range(50):
            source.insert(number * 20 + 1, number * 20 + 20)
        await_that(lambda: service.reader.paused, "reading never paused")
        lag_bytes = service.watch()
        assert service.pump.held <= 100
        assert lag_bytes is not None
        assert lag_bytes > 0

        service.list.gate.set()
        await_that(lambda: len(service.list.records) == 1_000, "changes were lost under pressure")

    assert service.list.ids() == list(range(1, 1_001))
    assert service.pump.high_water <= 100


def test_a_slot_made_anew_is_refused(source: Source, tmp_path: Path) -> None:
    with reading(source, state=state_file(tmp_path)) as service:
        source.insert(1, 5)
        await_that(lambda: len(service.list.records) == 5, "changes never came")
    server.drop(source.dsn, "slot", source.name)
    source.insert(6, 9)
    server.create_slot(source.connection, source.name)

    with (
        pytest.raises(
            SlotGoneError,
            match=r"beyond .* which this reader confirmed: it was dropped and created",
        ),
        reading(source, state=state_file(tmp_path)),
    ):
        pass


def test_a_state_file_of_another_slot_is_refused(source: Source, tmp_path: Path) -> None:
    state_file(tmp_path).write_text('{"system": "1", "slot": "other", "lsn": 7}', encoding="utf-8")

    with (
        pytest.raises(SetupError, match="is of slot 'other' in cluster 1"),
        reading(source, state=state_file(tmp_path)),
    ):
        pass


def test_a_slot_that_lost_its_wal_is_refused(source: Source) -> None:
    for _ in range(4):
        source.execute(
            "SELECT pg_logical_emit_message(false, 'x', repeat('y', 1000)) FROM generate_series(1,"
            " 20000)"
        )
        source.execute("CHECKPOINT")
    await_that(lambda: source.slot().wal_status == "lost", "the server keeps the WAL")

    with (
        pytest.raises(
            SlotGoneError, match=r"has lost its WAL .* run SELECT pg_drop_replication_slot"
        ),
        reading(source),
    ):
        pass
