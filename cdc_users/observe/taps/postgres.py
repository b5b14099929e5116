"""A Postgres table as a side of the final state, and as a tap on a sink that keeps a table equal to
the source's.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from typing_extensions import override

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.key import LEAST, MOST, MOST_DIGITS, SEPARATOR, key_number
from cdc_users.measure.ledger.ledger import RowCheck
from cdc_users.observe.declaration import TapDeclaration
from cdc_users.observe.events.table import ObservedTable, observed_tables
from cdc_users.observe.final_state import TableSide, TableState, Totals, probe_part, state_of_probes
from cdc_users.observe.message import TapPlace
from cdc_users.observe.settings import PostgresSettings, PostgresSideSettings
from cdc_users.observe.tap import Events, ObservedRecord, Tap, TapError, end_thread
from cdc_users.observe.taps.tables import of_tables
from infra.avro.kind import ColumnKind

CONNECT_S = 10
#: Rows fetched at a time.
PAGE_ROWS = 20_000
#: Looks at a slow table are rarer, so that looking takes a tenth of the time at most.
POLL_S = 0.01


#: A look's cost is the least of this many: the others also waited for a connection or a turn.
RECENT_LOOKS = 5


class PostgresSide(TableSide):
    """A table's rows by key.

    The server computes the sums in one scan; rows are read only where sums differ.

    Rows without a probe of this run, and fences, are left out; after `totals`, `foreign` counts the
    former. With `checked`, each row that is read is compared with its own probe.
    """

    marked = True

    def __init__(self, settings: PostgresSideSettings, run: str, *, checked: bool = True) -> None:
        self._name = settings.name or "postgres"
        self.foreign = 0
        self._dsn = settings.dsn
        self._table = sql.Identifier(*settings.table.split("."))
        self._watched = observed_tables(settings)[0]
        self._key = key_expression(self._watched)
        self._probe = sql.Identifier(self._watched.probe)
        self._checked = checked
        self._run = run

    @override
    @property
    def name(self) -> str:
        return self._name

    @override
    def totals(self, buckets: int) -> Totals:
        try:
            return self._totals(
                buckets,
                sql.SQL("length(probe) = 80 AND starts_with(probe, {})").format(self._head()),
            )
        except (
            psycopg.DataError
        ):  # some probe is damaged; to find which costs a pattern match for every row
            pattern = f"^P1{re.escape(self._run)}[0-9]{{45}}[iudsf][0-9]{{16}}[0-9a-f]{{8}}$"
            return self._totals(buckets, sql.SQL("probe ~ {}").format(sql.Literal(pattern)))

    def _head(self) -> sql.Composable:
        return sql.Literal(f"P1{self._run:8}")

    def _totals(self, buckets: int, ours: sql.Composable) -> Totals:
        # Each row's bucket and kind are found once (OFFSET keeps the server from putting their
        # expressions into every sum), and rows of other kinds have sums of their own.
        statement = sql.SQL(
            "SELECT bucket, kind, count(*), sum(key), sum(CASE kind WHEN 'ours' THEN {version}"
            " END), sum(CASE kind WHEN 'ours' THEN ({sequence} << 24) + {checksum} END),"
            " sum(content) FROM (SELECT key, probe, content, {bucket} AS bucket, CASE WHEN NOT"
            " ({ours}) OR probe IS NULL THEN 'foreign' WHEN {fence} THEN 'fence' ELSE 'ours' END AS"
            " kind FROM (SELECT {key} AS key, {probe} AS probe, hashtextextended(ROW({key},"
            " {probe}, {columns})::text, 0) AS content FROM {table} OFFSET 0) AS rows OFFSET 0) AS"
            " rows GROUP BY bucket, kind"
        ).format(
            key=self._key,
            probe=self._probe,
            columns=sql.SQL(", ").join(map(sql.Identifier, self.kinds)),
            bucket=_bucket(sql.SQL("key"), buckets),
            version=_number("key_version"),
            sequence=_number("sequence"),
            checksum=sql.SQL("('x' || {})::bit(32)::bigint").format(_part("checksum")),
            fence=sql.SQL("{} = 'f'").format(_part("operation")),
            table=self._table,
            ours=ours,
        )
        sums = [np.zeros(buckets, dtype=np.uint64) for _ in range(4)]
        count = np.zeros(buckets, dtype=np.int64)
        self.foreign = 0
        with self._cursor() as cursor:
            cursor.execute(statement)
            for bucket, kind, rows, *values in cursor.fetchall():
                if kind == "foreign":
                    self.foreign += rows
                elif kind == "ours":
                    count[bucket] = rows
                    for column, value in zip(sums, values, strict=True):
                        column[bucket] = int(value or 0) % 2**64
        key, version, mark, content = sums
        return Totals(count, key, version, mark, content, f"postgres {', '.join(self.kinds)}")

    @override
    def suspects(self, buckets: int) -> Iterable[int]:
        return (
            {row[0] % buckets for row in self._rows(None) if self._is_damaged(row)}
            if self._checked
            else ()
        )

    def _is_damaged(self, row: Sequence[Any]) -> bool:
        key, probe, *values = row
        ours = isinstance(probe, str) and probe[2:10] == self._run and probe[55:56] != "f"
        return ours and self._watched.check(probe, key, values) is RowCheck.CORRUPT

    @override
    def state(self, numbers: Sequence[int], buckets: int) -> TableState:
        condition = sql.SQL("{} = ANY({})").format(
            _bucket(self._key, buckets), sql.Literal(list(numbers))
        )
        rows = list(self._rows(condition))
        keys = np.array([row[0] for row in rows], dtype=np.int64)
        probes = [(row[1] or "").encode() for row in rows]
        damaged = np.array(
            [self._checked and self._is_damaged(row) for row in rows], dtype=np.bool_
        )
        return state_of_probes(keys, probes, self._run, damaged)[0]

    def columns_of(self, keys: Sequence[int]) -> dict[int, dict[str, object]]:
        """The compared columns of the rows with these keys, by key."""
        condition = sql.SQL("{} = ANY({})").format(self._key, sql.Literal(list(keys)))
        rows = self._rows(condition, whole=True)
        return {row[0]: dict(zip(self.kinds, row[2:], strict=True)) for row in rows}

    @property
    def kinds(self) -> Mapping[str, ColumnKind]:
        """The compared columns."""
        return self._watched.kinds

    def _rows(
        self, condition: sql.Composable | None, *, whole: bool = False
    ) -> Iterator[tuple[Any, ...]]:
        columns = self.kinds if self._checked or whole else ()
        named = map(sql.Identifier, columns)
        names = sql.SQL(", ").join([self._key, self._probe, *named])
        where = sql.SQL(" WHERE {}").format(condition) if condition is not None else sql.SQL("")
        with self._cursor("rows") as cursor:
            cursor.itersize = PAGE_ROWS
            cursor.execute(sql.SQL("SELECT {} FROM {}{}").format(names, self._table, where))
            yield from cursor

    @contextmanager
    def _cursor(self, name: str = "") -> Iterator[Any]:
        """A cursor; raises TapError with the server's message, and DataError unchanged."""
        try:
            with closing(psycopg.connect(self._dsn, connect_timeout=CONNECT_S)) as connection:
                _reads_only(connection)
                with connection, connection.cursor(name) as cursor:
                    yield cursor
        except psycopg.DataError:
            raise
        except psycopg.Error as error:
            raise TapError(
                f"{self.name} cannot be read: {str(error).strip() or type(error).__name__}"
            ) from error


def key_expression(table: ObservedTable) -> sql.Composable:
    """The number of a row's key in SQL, equal to cdc_users/measure/ledger/key.py.

    A key of one column is taken for a number if its text is one.
    """
    if not table.own:
        return sql.Identifier(table.key[0])
    texts = [sql.SQL("{}::text").format(sql.Identifier(name)) for name in table.key]
    separator = sql.SQL(f" || chr({ord(SEPARATOR)}) || ")
    hashed = sql.SQL(
        "('x' || left(encode(sha256(convert_to({}, 'UTF8')), 'hex'), 16))::bit(64)::bigint"
    ).format(separator.join(texts))
    if len(texts) > 1:
        return hashed
    # Nineteen digits may be too large for a bigint; a CASE looks before it casts.
    return sql.SQL(
        "CASE WHEN {0} ~ {2} THEN"
        " CASE WHEN ({0})::numeric BETWEEN {3} AND {4} THEN ({0})::bigint ELSE {1} END"
        " ELSE {1} END"
    ).format(
        texts[0],
        hashed,
        sql.Literal(f"^-?[0-9]{{1,{MOST_DIGITS}}}$"),
        sql.Literal(LEAST),
        sql.Literal(MOST),
    )


def _reads_only(connection: psycopg.Connection[Any]) -> None:
    """Every transaction sees one snapshot of the table."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True


def _bucket(key: sql.Composable, buckets: int) -> sql.Composable:
    """A key's bucket, as Python's % has it; SQL's remainder of a negative key is negative."""
    return sql.SQL("mod(mod({0}, {1}) + {1}, {1})").format(key, sql.Literal(buckets))


def _part(name: str) -> sql.Composable:
    """A field of the probe as text."""
    first, width = probe_part(name)
    return sql.SQL("substr(probe, {}, {})").format(sql.Literal(first), sql.Literal(width))


def _number(name: str) -> sql.Composable:
    return sql.SQL("{}::bigint").format(_part(name))


class PostgresTap(Tap):
    """The tap on a sink's table: looks for rows that were written since the last look.

    It sees states, not events: of several versions between two looks only the last, and an
    unchanged row that is written again is nothing new. Its ledger is therefore complete only if
    keys are written once; otherwise the final state decides. A look scans the table. It is made
    `poll_s` after the last one, or later, so that looking takes a tenth of the time at most. A row
    may have been visible since just after the look before, which `late_us` reports.
    """

    kind = "postgres"

    def __init__(
        self,
        settings: PostgresSettings,
        run: str,
        anchor: Anchor,
        record: ObservedRecord | None = None,
    ) -> None:
        self.record = record or ObservedRecord(run)
        self._anchor = anchor
        self._dsn, self._table = settings.dsn, sql.Identifier(*settings.table.split("."))
        watched = observed_tables(settings)[0]
        self._key, self._probe = key_expression(watched), sql.Identifier(watched.probe)
        self._poll_s = settings.poll_s
        self._connection: psycopg.Connection[Any] | None = None
        self._snapshot: str | None = None
        self._looked_us = anchor.now_us()
        self._looks = 0
        self._stop = Event()
        self._thread = Thread(target=self._run, name="postgres tap", daemon=True)

    @override
    def start(self) -> TapPlace:
        try:
            psycopg.connect(self._dsn, connect_timeout=CONNECT_S).close()
        except psycopg.Error as error:
            raise TapError(f"the sink's Postgres does not answer: {str(error).strip()}") from error
        self._looked_us = self._anchor.now_us()
        self._thread.start()
        return TapPlace(state=True)

    def _run(self) -> None:
        took_s: deque[float] = deque([0.0], RECENT_LOOKS)
        while not self._stop.wait(max(self._poll_s, 9 * min(took_s))):
            began_s = time.monotonic()
            try:
                self.look()
            except psycopg.errors.UndefinedTable:
                self._looked_us = self._anchor.now_us()  # the sink creates its table when it starts
            except psycopg.Error as error:
                self.record.fail(f"the sink's table cannot be read: {str(error).strip()}", 0)
                self._disconnect()
            took_s.append(time.monotonic() - began_s)
        self._disconnect()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn, connect_timeout=CONNECT_S, autocommit=True
            )
            self._connection.read_only = True
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def look(self) -> None:
        """Take in the rows that were written since the last look."""
        connection = self._connected()
        looked_us = self._anchor.now_us()
        # One statement: one round trip, and the reported snapshot is that of the rows.
        found = connection.execute(self._statement(), {"last": self._snapshot}).fetchall()
        seen_us = self._anchor.now_us()
        self._snapshot = str(found[0][0])
        rows = [row[1:] for row in found if row[3] is not None]
        self._looks += 1
        late_us, self._looked_us = seen_us - self._looked_us, looked_us
        numbers = np.zeros(len(rows), dtype=np.int64)
        self.record.take(
            Events(
                partition=0,
                positions=numbers,
                keys=np.array([key_number(row[0]) for row in rows], dtype=np.int64),
                probes=[(row[1] or "").encode() for row in rows],
                deleted=numbers.astype(np.bool_),
                sizes=np.array([row[2] for row in rows], dtype=np.int64),
                committed_us=numbers,
                seen_us=seen_us,
                late_us=late_us,
            ),
            once=True,
        )

    def _statement(self) -> sql.Composed:
        """Rows whose writer had not committed at the last look, oldest first; all rows at the first
        look.
        """
        statement = sql.SQL(
            "SELECT snapshot, rows.* FROM (SELECT pg_current_snapshot()::text AS snapshot) AS now"
            " LEFT JOIN (SELECT {key}, {probe} AS probe, pg_column_size(t.*) FROM {table} AS t"
        ).format(key=self._key, probe=self._probe, table=self._table)
        if self._snapshot is not None:
            # A row's xmin lacks the epoch: it is the present epoch, or the one before if xmin is
            # higher than the present number.
            statement += sql.SQL(
                " CROSS JOIN (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now)"
                " AS clock WHERE NOT pg_visible_in_snapshot((now - mod(now - t.xmin::text::bigint,"
                " 4294967296))::text::xid8, %(last)s::pg_snapshot)"
            )
        return statement + sql.SQL(") AS rows ON true ORDER BY substr(probe, 18, 10)")

    @override
    def stop(self) -> None:
        end_thread(self._stop, self._thread)

    @override
    def gauges(self) -> dict[str, object]:
        return {"looks": self._looks}


POSTGRES_TAP = TapDeclaration(
    "postgres", make=of_tables(PostgresTap), settings=PostgresSettings, needs=("dsn", "table")
)
