"""What others do in the source's database beside the load, in a table that nobody captures."""

from __future__ import annotations

from contextlib import closing
from threading import Event

from psycopg import sql

from infra.faults.catalogue.database import connect_source, execute, lock_writes, source_table
from infra.faults.fault import Fault, FaultGround

#: The rows of the transaction beside the load.
BIG_ROWS = 1_000_000
SIDE_TABLE = "beside"
#: What keeps the log busy while the source table is idle: about 4 MB/s.
BUSY_ROWS, BUSY_BYTES, PAUSE_S = 200, 1_000, 0.05


def _side_table(ground: FaultGround) -> sql.Identifier:
    """A table of the run's schema that nobody captures."""
    return sql.Identifier(ground.objects.schema, SIDE_TABLE)


def _create_beside(ground: FaultGround) -> None:
    """Create that table, if it is not there yet."""
    execute(
        ground,
        sql.SQL("CREATE TABLE IF NOT EXISTS {} (id bigint, note text)").format(_side_table(ground)),
    )


def drop_beside(ground: FaultGround) -> None:
    """Drop that table, if it is there."""
    execute(ground, sql.SQL("DROP TABLE IF EXISTS {}").format(_side_table(ground)))


def write_beside(rows: int, octets: int, ground: FaultGround) -> sql.Composed:
    """A statement that writes `rows` rows of `octets` bytes each to that table."""
    return sql.SQL(
        "INSERT INTO {} SELECT number, repeat('x', {}) FROM generate_series(1, {}) AS number"
    ).format(_side_table(ground), sql.Literal(octets), sql.Literal(rows))


def _write_much(ground: FaultGround) -> None:
    _create_beside(ground)
    execute(ground, write_beside(BIG_ROWS, 100, ground))


def idle_in_transaction(ground: FaultGround) -> None:
    """Open a transaction that has written and does not end; it ends with this process."""
    _create_beside(ground)
    connection = ground.held.enter_context(closing(connect_source(ground, autocommit=False)))
    connection.execute(sql.SQL("INSERT INTO {} VALUES (1, 'idle')").format(_side_table(ground)))


def _keep_busy(ground: FaultGround) -> None:
    """Write to that table until the fault is undone, and let nobody write to the source table."""
    _create_beside(ground)
    lock = ground.held.enter_context(closing(connect_source(ground, autocommit=False)))
    lock_writes(lock, source_table(ground))
    connection = ground.held.enter_context(closing(connect_source(ground)))
    statement = write_beside(BUSY_ROWS, BUSY_BYTES, ground)

    def write(_over: Event) -> None:
        connection.execute(statement)

    ground.keep_on(write, PAUSE_S)


BIG_TRANSACTION = Fault(
    "big-transaction",
    f"Writes {BIG_ROWS:,} rows to a table that nobody captures, in one transaction.",
    on="wal",
    inject=_write_much,
    heal=drop_beside,
    holds=False,
    needs=("database", "own table"),
    better="logical_decoding_work_mem, or several smaller transactions: the slot's reader waits"
    " while the server decodes what it does not want",
)
IDLE_TRANSACTION = Fault(
    "idle-transaction",
    "Leaves a transaction open that has written a row.",
    on="wal",
    inject=idle_in_transaction,
    heal=drop_beside,
    needs=("database", "own table"),
    better="idle_in_transaction_session_timeout: WAL is retained from its beginning on",
)
BUSY_NEIGHBOUR = Fault(
    "busy-neighbour",
    "Writes to a table that nobody captures all the time, while nobody can write to the source"
    " table (LOCK TABLE ... IN EXCLUSIVE MODE): the slot should advance all the same.",
    on="wal",
    inject=_keep_busy,
    heal=drop_beside,
    needs=("database", "own table"),
    stops_writers=True,
    better="heartbeats that write: heartbeat.interval.ms with heartbeat.action.query (for example"
    " SELECT pg_logical_emit_message(false, 'heartbeat', '')); the interval alone changes nothing,"
    " since the server skips transactions without a captured row",
)
