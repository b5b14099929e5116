"""What every source promises the harness, on real servers: transactions are whole, what had no
answer is settled by the rows, and the log's position says what was written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cdc_users.error import TargetError
from cdc_users.measure.ledger.ledger import Outcomes
from cdc_users.measure.ledger.probe import Operation
from cdc_users.step.read_back import WrittenTables, settle_unknown
from cdc_users.users.source.look import LogPosition
from cdc_users.users.source.looks import source_look
from cdc_users.users.source.session import Session
from cdc_users.users.source.sessions import open_session
from cdc_users.users.statement import Statement, form_of, statements
from cdc_users.users.workload.keyspace import Outcome, RowChange
from cdc_users.users.workload.workload import Ranges, Workload, Writer, WriteTransaction
from infra.client.sql import quoted_name
from tests.integration.source_world import TABLES, WORLDS, SourceWorld

RUN = "c0ntract"
METHODS = ("single", "values", "copy")
LARGE = 1_000_000
MOMENT_US = 1_700_000_000_000_000
NASTY = "NULL \\N \\' \" ` % %s -- ; 'quoted' \t\r\n Ünïcode 🐘 \u2028"


@pytest.fixture(scope="module", params=WORLDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[SourceWorld]:
    place: Path = tmp_path_factory.mktemp(request.param)
    with WORLDS[request.param](place) as world:
        yield world


@pytest.fixture
def world(server: SourceWorld) -> SourceWorld:
    server.clear()
    return server


@contextmanager
def lane(world: SourceWorld, method: Any = "single") -> Iterator[Session]:
    if method not in world.methods:
        pytest.skip(f"{method} is not one of {world.methods}")
    session = open_session(world.target, RUN, method)
    session.ready()
    try:
        yield session
    finally:
        session.close()


def use(session: Session, statement: Statement) -> None:
    session.ready()
    session.carry_out([statement])


def workload_of(method: Any) -> Workload:
    return Workload(mix=(60, 30, 10), live_keys=50, tables=2, insert_method=method, row_bytes=30)


def texts(world: SourceWorld, transaction: WriteTransaction, method: Any) -> list[Statement]:
    names = [quoted_name(world.target.schema, table) for table in TABLES]
    return statements(transaction.changes, names, method, form_of(world.target.kind))


def inserts(count: int, writer: int = 10_002, method: Any = "single") -> WriteTransaction:
    workload = Workload(tables=2, insert_method=method)
    return Writer(RUN, writer, workload).transaction(count, MOMENT_US)


def awaited(condition: Callable[[], Any], limit_s: float = 20.0) -> Any:
    deadline_s = time.monotonic() + limit_s
    while not (found := condition()) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return found


def outcomes_of(ranges: Ranges) -> Outcomes:
    return Outcomes(
        **{name: [(first, last) for first, last in runs] for name, runs in ranges.runs.items()}
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_tables_hold_what_the_writer_wrote_last(world: SourceWorld, method: Any) -> None:
    writer, expected = Writer(RUN, 10_001, workload_of(method)), dict[int, Any]()
    with lane(world, method) as session:
        for number in range(30):
            transaction = writer.transaction(7, MOMENT_US + number)
            session.carry_out(texts(world, transaction, method))
            writer.settle(transaction, "acked")
            expected |= {change.key: change.row for change in transaction.changes}

    assert any(row is None for row in expected.values())
    assert world.rows() == {key: row for key, row in expected.items() if row is not None}


@pytest.mark.parametrize("method", METHODS)
def test_a_transaction_that_is_refused_leaves_nothing_behind(
    world: SourceWorld, method: Any
) -> None:
    with lane(world, method) as session:
        session.carry_out(texts(world, inserts(2, method=method), method))
        before = world.rows()
        clashing, again = inserts(3, 10_003, method), inserts(2, method=method)
        whole = WriteTransaction(1, 1, 5, [*clashing.changes, *again.changes])

        with pytest.raises(session.failures) as caught:
            session.carry_out(texts(world, whole, method))

        assert session.rolled_back(caught.value)
        assert world.rows() == before
        session.ready()
        session.carry_out(texts(world, clashing, method))
        assert len(world.rows()) == 5


@pytest.mark.parametrize("method", ["single", "copy"])
def test_a_transaction_whose_connection_is_cut_may_have_happened(
    world: SourceWorld, method: Any
) -> None:
    cutter = threading.Thread(target=lambda: awaited(lambda: world.cut(RUN)))
    with lane(world, method) as session:
        cutter.start()

        with pytest.raises(session.failures) as caught:
            session.carry_out([Statement(world.slow)])

        cutter.join()
        assert not session.rolled_back(caught.value)
        use(session, Statement("SELECT 1"))


def test_a_transaction_that_is_cut_in_its_middle_has_no_effect(world: SourceWorld) -> None:
    cutter = threading.Thread(target=lambda: awaited(lambda: world.cut(RUN)))
    first, second = texts(world, inserts(2), "single")
    with lane(world) as session:
        cutter.start()
        with pytest.raises(session.failures):
            session.carry_out([first, Statement(world.slow), second])
        cutter.join()

    assert world.rows() == {}


def test_two_lanes_do_not_wait_for_each_other(world: SourceWorld) -> None:
    with lane(world) as one, lane(world) as other:
        for number in range(1, 11):
            one.carry_out(texts(world, inserts(number, 10_000 + number), "single"))
            other.carry_out(texts(world, inserts(number, 20_000 + number), "single"))

    assert len(world.rows()) == 2 * sum(range(1, 11))


def test_a_lane_at_work_is_seen_until_it_is_done(world: SourceWorld) -> None:
    with lane(world) as session, source_look(world.target, RUN) as look:
        assert look.lanes_idle()

        def work() -> None:
            with pytest.raises(session.failures):
                session.carry_out([Statement(world.slow)])

        worker = threading.Thread(target=work)
        worker.start()
        seen = awaited(lambda: not look.lanes_idle())
        assert world.cut(RUN)
        worker.join()

        assert seen
        assert awaited(look.lanes_idle)


def test_what_nobody_knows_is_settled_by_the_rows(world: SourceWorld) -> None:
    workload, true = workload_of("single"), Ranges()
    writer = Writer(RUN, 10_001, workload)
    doubtful: set[Operation] = set()
    with lane(world) as session:
        for number in range(60):
            transaction = writer.transaction(2, MOMENT_US + number)
            if number % 3:
                doubtful |= {change.operation for change in transaction.changes}
            told: Outcome = "unknown" if number % 3 else "acked"
            committed = number % 3 != 2
            if committed:
                session.carry_out(texts(world, transaction, "single"))
            writer.settle(transaction, told)
            true.add("acked" if committed else "failed", transaction.first, transaction.last)

    before = {10_001: outcomes_of(writer.ranges)}
    written = WrittenTables(world.target, RUN, workload, 2)
    settled = settle_unknown(written, before, limit_s=10)[10_001]

    def numbers(outcomes: Outcomes, name: str) -> set[int]:
        return {
            number for first, last in getattr(outcomes, name) for number in range(first, last + 1)
        }

    assert not settled.unknown
    assert numbers(settled, "acked") == numbers(outcomes_of(true), "acked")
    assert numbers(settled, "failed") == numbers(outcomes_of(true), "failed")
    assert {Operation.INSERT, Operation.UPDATE, Operation.DELETE} <= doubtful


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", [None, "", NASTY, "🐘" * (LARGE // 4)], ids=lambda _: "")
def test_a_text_of_any_kind_comes_back_as_it_was(
    world: SourceWorld, text: str | None, method: Any
) -> None:
    (made,) = inserts(1, method=method).changes
    assert made.row is not None
    row = (*made.row[:-2], text, made.row[-1])
    change = RowChange(Operation.INSERT, made.table, made.key, 1, 1, row, None)
    whole = WriteTransaction(1, 1, 1, [change])
    with lane(world, method) as session:
        session.carry_out(texts(world, whole, method))

    assert world.rows() == {made.key: row}


def position(world: SourceWorld) -> LogPosition:
    with source_look(world.target, RUN) as look:
        found = look.position()
    assert found is not None
    return found


def test_the_log_grows_by_what_is_written_and_by_nothing_else(world: SourceWorld) -> None:
    with lane(world, "values") as session:
        before = position(world)
        large = replace(workload_of("values"), mix=(100, 0, 0), row_bytes=10_000)
        written = Writer(RUN, 10_001, large).transaction(100, MOMENT_US)
        session.carry_out(texts(world, written, "values"))
        after = position(world)

    assert after.text != before.text
    assert 100 * 10_000 < after.bytes - before.bytes < 3 * 100 * 10_000


def test_a_refused_statement_is_told_from_a_server_that_is_away(world: SourceWorld) -> None:
    with source_look(world.target, RUN) as look:
        with pytest.raises(look.failures) as caught:
            look.execute('INSERT INTO "nowhere"."nothing" VALUES (1)')
        assert not look.silent(caught.value)
        assert "nothing" in str(caught.value)
        assert look.fetch("SELECT 1") == [(1,)]


def test_a_server_that_goes_away_in_mid_transaction_is_named_and_comes_back(
    world: SourceWorld,
) -> None:
    first, second = texts(world, inserts(2), "single")
    with lane(world) as session, source_look(world.target, RUN) as look:

        def kill() -> None:
            assert awaited(lambda: not look.lanes_idle())
            world.server.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(session.failures) as caught:
            session.carry_out([first, Statement(world.slow), second])
        killer.join()

        assert not session.rolled_back(caught.value)
        with pytest.raises(session.failures):
            use(session, first)
        with pytest.raises(TargetError, match="the source does not answer"):
            position(world)
        world.server.start()
        use(session, first)

    assert len(world.rows()) == 1
