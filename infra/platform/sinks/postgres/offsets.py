"""The sink's own books: the offset up to which each partition of each topic has taken effect.

An offset is valid only within one life of a topic (KIP-516), and a log position only within one
life of the source. So each row has the id of its topic. `life` counts how often the log began again
at a lower position: a new cluster, a restored copy, or a connector that reads again what it has
already sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from psycopg import AsyncConnection, sql

from infra.platform.process.error import ConfigError, TableRefusedError
from infra.platform.sinks.batch import Batch, Partition
from infra.platform.sinks.postgres.catalogue import MARKER
from infra.platform.sinks.postgres.table import alone, identifier

#: A version counts this many bits of log positions for each life: 4 PB of log.
LIFE_BITS = 52
LAST_LIFE = 2**11 - 1
_FIRST = ("topic", "partition", "next_offset")
_LATER = {
    "topic_id": "text",
    "source": "text",
    "life": "int NOT NULL DEFAULT 0",
    "log_position": "bigint NOT NULL DEFAULT 0",
    "target": "text",
}


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The state of a partition: its next offset, the source's life and log position there, and the
    identity of the target that has its rows.
    """

    next_offset: int | None = None
    topic_id: str | None = None
    source: str | None = None
    life: int = 0
    log_position: int = 0
    target: str | None = None

    def after(self, batch: Batch, follow_log: bool) -> Bookmark:
        """The bookmark of the partition after the batch.

        If the log begins lower within a batch, the whole batch counts as the new life: of each key
        only the last event takes effect.
        """
        life, position = self.life, self.log_position
        if follow_log:
            positions = batch.rows.log_position
            lower = position > int(positions[0]) or bool((positions[1:] < positions[:-1]).any())
            life, position = min(life + lower, LAST_LIFE), int(positions[-1])
        return replace(self, next_offset=batch.end, life=life, log_position=position)


async def create_offsets(connection: AsyncConnection, schema: str, name: str) -> None:
    """Create the table of each partition's next offset, or add the later columns to one of an older
    release; raises ConfigError if another object has its name.
    """
    table = identifier(schema, name)
    columns, comment = await _look(connection, schema, name)
    if columns and set(columns) == {*_FIRST, *_LATER} and comment == MARKER:
        return
    async with alone(connection):
        columns, comment = await _look(connection, schema, name)
        if columns:
            _check(schema, name, columns, comment)
        else:
            await connection.execute(
                sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
            )
            await connection.execute(
                sql.SQL(
                    "CREATE TABLE {} (topic text, partition int, next_offset bigint NOT NULL, "
                    "PRIMARY KEY (topic, partition)) WITH (fillfactor = 50)"
                ).format(table)
            )
            await connection.execute(
                sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(MARKER))
            )
        for column, kind in _LATER.items():
            await connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(
                    table, sql.Identifier(column), sql.SQL(kind)
                )
            )


async def _look(
    connection: AsyncConnection, schema: str, name: str
) -> tuple[tuple[str, ...], str | None]:
    rows = await (
        await connection.execute(
            "SELECT a.attname, obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace"
            " n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum"
            " > 0 AND NOT a.attisdropped WHERE n.nspname = %s AND c.relname = %s ORDER BY a.attnum",
            (schema, name),
        )
    ).fetchall()
    return tuple(row[0] for row in rows), rows[0][1] if rows else None


def _check(schema: str, name: str, columns: tuple[str, ...], comment: str | None) -> None:
    if columns[:3] != _FIRST or not set(columns[3:]) <= set(_LATER) or comment != MARKER:
        raise ConfigError(
            f"{schema}.{name}, where the sink keeps its offsets, is not a table of the sink's own;"
            " rename it, or name another table"
        )


async def read_offsets(
    connection: AsyncConnection, table: sql.Identifier
) -> dict[Partition, Bookmark]:
    """All bookmarks in the books."""
    query = sql.SQL(
        "SELECT topic, partition, next_offset, topic_id, source, life, log_position, target FROM {}"
    ).format(table)
    rows = await (await connection.execute(query)).fetchall()
    return {(row[0], row[1]): Bookmark(*row[2:]) for row in rows}


def check_topics(known: Mapping[Partition, Bookmark], ids: Mapping[str, str], table: str) -> None:
    """Raise ConfigError for a topic other than the one in the books."""
    for (topic, _), mark in known.items():
        now = ids.get(topic)
        if now is not None and mark.topic_id is not None and mark.topic_id != now:
            raise ConfigError(
                f"topic {topic!r} was deleted and made again (id {mark.topic_id}, now {now}), so"
                f" the offsets in {table}_offsets are not its own, and what it held unread is"
                f" gone; fill another table, or delete its rows in {table}_offsets to put the new"
                " topic's events over the rows that are there"
            )


def check_target(known: Mapping[Partition, Bookmark], identity: str, table: str) -> None:
    """Raise TableRefusedError if the target is not the table that the books belong to.

    OIDs are valid within one database. Books from another database, as after a copy, are trusted.
    """
    database = identity.partition(".")[0]
    for mark in known.values():
        there = mark.target
        if there and there != identity and there.partition(".")[0] == database:
            raise TableRefusedError(
                f"table {table} was dropped and made again, and {table}_offsets says that events"
                " were written to the earlier one; drop both to fill them from the topic's"
                f" beginning, or, if it has all of those, set the column target of {table}_offsets"
                " to NULL"
            )


def check_source(known: Mapping[Partition, Bookmark], batch: Batch, table: str) -> str | None:
    """The source table of these rows; raises ConfigError if the target would get rows of two
    tables.
    """
    coming = {".".join(names) for names in batch.rows.source_tables()}
    sources = coming | (
        {mark.source for mark in known.values() if mark.source} if coming else set()
    )
    if len(sources) > 1:
        raise ConfigError(
            f"table {table} would take rows of {' and '.join(sorted(sources))}, which have keys of"
            " their own and would overwrite one another; name a table for each"
        )
    return next(iter(coming), None)


async def first_life(
    connection: AsyncConnection, table: sql.Identifier, version: str | None
) -> int:
    """The life of a topic that the books do not know: it comes after every version in the table."""
    if version is None:
        return 0
    query = sql.SQL("SELECT coalesce((max({})::bigint >> {}) + 1, 0)::int FROM {}").format(
        sql.Identifier(version), sql.Literal(LIFE_BITS), table
    )
    (life,) = await (await connection.execute(query)).fetchone() or (0,)
    return min(int(life), LAST_LIFE)
