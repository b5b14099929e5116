"""A Postgres table as a side of the final state, and as a tap that waits for fences at the sink's end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import Any

import numpy as np
import psycopg2
from psycopg2 import sql

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger import Check
from cdc_users.observe.final import State, Totals, probe_part, state_of_probes
from cdc_users.observe.tap import Events, Record, TapError
from cdc_users.observe.value import CUSTOMERS, check
from infra.schemas.kind import Kind

CONNECT_S = 10
#: Rows fetched at a time.
PAGE_ROWS = 20_000
FENCE_POLL_S = 0.2


class PostgresSide:
    """A table's rows by key. The server makes the sums; `check` reads every row of the table and checks its checksum.

    Rows without a probe of this run, and fences, are left out; `foreign` counts the former after `totals`.
    """

    marked = True

    def __init__(self, config: Mapping[str, Any], run: str) -> None:
        self.name = str(config.get("name", "postgres"))
        self.foreign = 0
        self._dsn = str(config["dsn"])
        self._table = sql.Identifier(*str(config["table"]).split("."))
        self._key = sql.Identifier(config.get("key_column", "id"))
        self._probe = sql.Identifier(config.get("probe_column", "probe"))
        columns = config.get("columns")
        self._kinds = {name: Kind(kind) for name, kind in columns} if columns else dict(CUSTOMERS)
        self._check = bool(config.get("check", True))
        self._run = run
        self._damaged: dict[int, set[int]] = {}

    def totals(self, buckets: int) -> Totals:
        """See Side."""
        statement = sql.SQL(
            "SELECT mod(mod({key}, {buckets}) + {buckets}, {buckets})::int, count(*), sum({key}), sum({version}), "
            "sum(({sequence} << 24) + {checksum}) FROM {table} WHERE {ours} GROUP BY 1"
        ).format(
            key=self._key,
            buckets=sql.Literal(buckets),
            version=self._number("key_version"),
            sequence=self._number("sequence"),
            checksum=self._hexadecimal("checksum"),
            table=self._table,
            ours=self._ours(),
        )
        found = Totals(
            np.zeros(buckets, dtype=np.int64), *(np.zeros(buckets, dtype=np.uint64) for _ in ("key", "version", "mark"))
        )
        with self._cursor() as cursor:
            cursor.execute(statement)
            for bucket, count, *sums in cursor.fetchall():
                found.count[bucket] = count
                for column, value in zip((found.key, found.version, found.mark), sums, strict=True):
                    column[bucket] = int(value) % 2**64
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(self._table))
            (everything,) = cursor.fetchone()
            cursor.execute(sql.SQL("SELECT count(*) FROM {} WHERE {}").format(self._table, self._fences()))
            (fences,) = cursor.fetchone()
        self.foreign = int(everything) - int(fences) - int(found.count.sum())
        return found

    def _number(self, name: str) -> sql.Composable:
        first, width = probe_part(name)
        return sql.SQL("substr({}, {}, {})::bigint").format(self._probe, sql.Literal(first), sql.Literal(width))

    def _hexadecimal(self, name: str) -> sql.Composable:
        first, width = probe_part(name)
        text = sql.SQL("substr({}, {}, {})").format(self._probe, sql.Literal(first), sql.Literal(width))
        return sql.SQL("('x' || {})::bit(32)::bigint").format(text)

    def _ours(self) -> sql.Composable:
        pattern = f"^P1{re.escape(self._run)}[0-9]{{45}}[iuds][0-9]{{16}}[0-9a-f]{{8}}$"
        return sql.SQL("{} ~ {}").format(self._probe, sql.Literal(pattern))

    def _fences(self) -> sql.Composable:
        return sql.SQL("{} ~ {}").format(self._probe, sql.Literal(f"^P1{re.escape(self._run)}[0-9]{{45}}f"))

    def suspects(self, buckets: int) -> Iterable[int]:
        """See Side; reads the whole table where rows are to be checked."""
        if not self._check:
            return ()
        found: dict[int, set[int]] = {}
        for key, probe, *values in self._rows(list(self._kinds), None):
            if self._ours_text(probe) and check(probe, key, list(self._kinds.values()), values) is Check.CORRUPT:
                found.setdefault(key % buckets, set()).add(key)
        self._damaged = found
        return found

    def _ours_text(self, probe: Any) -> bool:
        return isinstance(probe, str) and probe[2:10] == self._run and probe[55:56] != "f"

    def state(self, numbers: Sequence[int], buckets: int) -> State:
        """See Side."""
        condition = sql.SQL("mod(mod({key}, {buckets}) + {buckets}, {buckets}) = ANY({numbers})").format(
            key=self._key, buckets=sql.Literal(buckets), numbers=sql.Literal(list(numbers))
        )
        rows = list(self._rows([], condition))
        keys = np.array([row[0] for row in rows], dtype=np.int64)
        probes = [(row[1] or "").encode() for row in rows]
        hurt = [int(key) for number in numbers for key in self._damaged.get(number, ())]
        return state_of_probes(keys, probes, self._run, np.isin(keys, hurt))[0]

    def _rows(self, columns: Sequence[str], condition: sql.Composable | None) -> Iterator[tuple[Any, ...]]:
        names = sql.SQL(", ").join([self._key, self._probe, *map(sql.Identifier, columns)])
        where = sql.SQL(" WHERE {}").format(condition) if condition is not None else sql.SQL("")
        with self._cursor("rows") as cursor:
            cursor.itersize = PAGE_ROWS
            cursor.execute(sql.SQL("SELECT {} FROM {}{}").format(names, self._table, where))
            yield from cursor

    @contextmanager
    def _cursor(self, name: str | None = None) -> Iterator[Any]:
        """A cursor; raises TapError with what the server says."""
        try:
            with closing(psycopg2.connect(self._dsn, connect_timeout=CONNECT_S)) as connection:
                connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                with connection, connection.cursor(name) as cursor:
                    yield cursor
        except psycopg2.Error as error:
            raise TapError(f"{self.name} cannot be read: {str(error).strip() or type(error).__name__}") from error


class PostgresTap:
    """The tap on a sink's table. It sees rows, not events: of a key's versions only the last one, when asked.

    So its ledger has fences only, found by their range of keys (`fence_keys` in the configuration); what the table
    holds is a matter of the final state.
    """

    kind = "postgres"

    def __init__(self, config: Mapping[str, Any], run: str, anchor: Anchor) -> None:
        self.record = Record(run)
        self.side = PostgresSide(config, run)
        self._anchor = anchor
        self._range = config.get("fence_keys")
        self._dsn, self._table = str(config["dsn"]), sql.Identifier(*str(config["table"]).split("."))
        self._columns = (config.get("key_column", "id"), config.get("probe_column", "probe"))
        self._seen: set[int] = set()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="postgres tap", daemon=True)

    def start(self) -> dict[str, Any]:
        """See Tap."""
        try:
            psycopg2.connect(self._dsn, connect_timeout=CONNECT_S).close()
        except psycopg2.Error as error:
            raise TapError(f"the sink's Postgres does not answer: {str(error).strip()}") from error
        if self._range is not None:
            self._thread.start()
        return {}

    def _run(self) -> None:
        while not self._stop.wait(FENCE_POLL_S):
            try:
                self._look()
            except psycopg2.errors.UndefinedTable:
                continue  # the sink makes its table when it starts
            except psycopg2.Error as error:
                self.record.fail(f"the sink's table cannot be read: {str(error).strip()}", 0)

    def _look(self) -> None:
        key, probe = map(sql.Identifier, self._columns)
        statement = sql.SQL("SELECT {key}, {probe} FROM {table} WHERE {key} BETWEEN %s AND %s").format(
            key=key, probe=probe, table=self._table
        )
        with (
            closing(psycopg2.connect(self._dsn, connect_timeout=CONNECT_S)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, list(self._range or ()))
            rows = [row for row in cursor.fetchall() if row[0] not in self._seen and row[1]]
        self._seen.update(row[0] for row in rows)
        numbers = np.zeros(len(rows), dtype=np.int64)
        self.record.take(
            Events(
                partition=0,
                positions=numbers,
                keys=np.array([row[0] for row in rows], dtype=np.int64),
                probes=[row[1].encode() for row in rows],
                deleted=numbers.astype(np.bool_),
                sizes=numbers,
                committed_us=numbers,
                seen_us=self._anchor.now_us(),
            )
        )

    def stop(self) -> None:
        """See Tap."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def gauges(self) -> dict[str, Any]:
        """See Tap."""
        return {}
