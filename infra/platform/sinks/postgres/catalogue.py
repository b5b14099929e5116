"""A target's catalogue entry: its columns' types and rules, its key, and its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import namedtuple_row

from infra.platform.process.error import TableRefusedError

#: The comment of a table that the sink has created, and may therefore alter.
MARKER = "locust-cdc: sink"
#: The comment of such a table's column that the source no longer has.
LEFT_BEHIND = "locust-cdc: the source has dropped this column"

#: A text that is another one as soon as the table `c` of pg_class, a column of it, or a trigger of
#: it or of its partitions is altered: each change writes such rows of the catalogue again.
STATE = """concat_ws('.', c.xmin,
  (SELECT sum(a.xmin::text::bigint) FROM pg_attribute a WHERE a.attrelid = c.oid),
  (SELECT sum(g.xmin::text::bigint) FROM pg_trigger g WHERE g.tgrelid = ANY (CASE c.relkind
    WHEN 'p' THEN ARRAY(SELECT relid::oid FROM pg_partition_tree(c.oid)) ELSE ARRAY[c.oid] END)))"""
#: A domain counts as its base type, however many domains lie in between.
_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       format_type(base.oid, -1) AS base, base.modifier,
       CASE WHEN t.typcategory = 'A' THEN format_type(t.typelem, -1) END AS item,
       coalesce(item.typtype, t.typtype) = 'e' AS is_enum,
       a.attnotnull AS not_null, a.atthasdef OR d.typdefault IS NOT NULL AS has_default,
       a.attidentity::text AS identity, a.attgenerated <> '' AS is_generated,
       col_description(a.attrelid, a.attnum) AS comment,
       array_position((i.indkey::int2[])[0:i.indnkeyatts - 1], a.attnum) AS place_in_key
FROM pg_attribute a
JOIN pg_type d ON d.oid = a.atttypid
CROSS JOIN LATERAL (
  WITH RECURSIVE up(oid, modifier, depth) AS (
    SELECT a.atttypid, a.atttypmod, 0
    UNION ALL
    SELECT t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE up.modifier END,
           depth + 1
    FROM up JOIN pg_type t ON t.oid = up.oid WHERE t.typtype = 'd')
  SELECT oid, modifier FROM up ORDER BY depth DESC LIMIT 1) base
JOIN pg_type t ON t.oid = base.oid
LEFT JOIN pg_type item ON item.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
_TABLE = """
SELECT c.oid, ?STATE AS state, c.relkind::text AS kind,
       (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AS database,
       obj_description(c.oid, 'pg_class') AS comment,
       coalesce(i.indimmediate, true) AS immediate, row_security_active(c.oid) AS secured,
       EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
         AS has_rules,
       EXISTS (SELECT FROM pg_trigger g WHERE g.tgtype & 3 = 3 AND g.tgenabled <> 'D'
               AND NOT g.tgisinternal AND (g.tgrelid = c.oid OR g.tgrelid IN
                 (SELECT relid FROM pg_partition_tree(c.oid)))) AS may_discard
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE n.nspname = %s AND c.relname = %s""".replace("?STATE", STATE)
_STATE = sql.SQL("SELECT {} FROM pg_class c WHERE c.oid = {}")
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence"}


@dataclass(frozen=True, slots=True)
class SinkColumn:
    """One column of a target: its type with and without its limit, and what may be written.

    `modifier` is the limit as PostgreSQL stores it (`atttypmod`), below 0 without one; `item` is
    the type of an array's items; `identity` is "a" if a value needs OVERRIDING SYSTEM VALUE.
    """

    name: str
    type: str
    base: str
    modifier: int = -1
    item: str | None = None
    is_enum: bool = False
    not_null: bool = False
    has_default: bool = False
    identity: str = ""
    is_generated: bool = False
    comment: str | None = None

    @property
    def is_left_behind(self) -> bool:
        """Whether the source had dropped this column when it was last looked at."""
        return self.comment == LEFT_BEHIND

    @property
    def digits(self) -> tuple[int, int]:
        """Precision and scale of a numeric with a limit (PostgreSQL's `numeric_typmod_scale`)."""
        packed = self.modifier - 4
        scale = packed & 0x7FF
        return (packed >> 16) & 0xFFFF, scale - 0x800 if scale & 0x400 else scale

    @property
    def must_be_sent(self) -> bool:
        """Whether every row must have a value for this column."""
        given = self.has_default or self.is_generated or self.identity
        return self.not_null and not given


@dataclass(frozen=True, slots=True)
class SinkTable:
    """A table as it is: its columns, the primary key in order, and whether the sink created it.

    `may_discard` says that triggers run before a row's change and may suppress it.
    `state` is what STATE says of it, and `identity` its database's and its own OID.
    """

    columns: dict[str, SinkColumn]
    key: tuple[str, ...]
    own: bool
    may_discard: bool = False
    oid: int = 0
    state: str = ""
    identity: str = ""


async def read_table(connection: AsyncConnection, schema: str, name: str) -> SinkTable | None:
    """Look up a table; None if there is none. Raises TableRefusedError if upserts cannot
    write it.
    """
    cursor = connection.cursor(row_factory=namedtuple_row)
    table: Any = await (await cursor.execute(_TABLE, (schema, name))).fetchone()
    if table is None:
        return None
    rows: list[Any] = await (await cursor.execute(_COLUMNS, (table.oid,))).fetchall()
    key = sorted((row for row in rows if row.place_in_key is not None), key=_place)
    reason = _obstacle(table, bool(key))
    if reason:
        raise TableRefusedError(f"table {schema}.{name} {reason}, or name another table")
    columns = {row.name: SinkColumn(*row[:-1]) for row in rows}
    names = tuple(row.name for row in key)
    identity = f"{table.database}.{table.oid}"
    own = table.comment == MARKER
    return SinkTable(columns, names, own, table.may_discard, table.oid, table.state, identity)


def state_query(oid: int) -> sql.Composed:
    """The present state of a table; NULL if there is no table with this OID."""
    return _STATE.format(sql.SQL(STATE), sql.Literal(oid))


async def is_altered(connection: AsyncConnection, target: SinkTable) -> bool:
    """Whether a table was altered since it was looked at."""
    found = await (await connection.execute(state_query(target.oid))).fetchone()
    return found is None or found[0] != target.state


def _place(row: Any) -> int:
    return int(row.place_in_key)


def _obstacle(table: Any, has_key: bool) -> str | None:
    if table.kind in _KINDS:
        return f"is {_KINDS[table.kind]}, which upserts cannot write; name a table"
    if not has_key:
        return "has no primary key, which upserts need; add one"
    if not table.immediate:
        return "has a deferrable primary key, which ON CONFLICT cannot use; make it not deferrable"
    if table.has_rules:
        return "has rules, which ON CONFLICT cannot pass; use triggers instead"
    if table.secured:
        return "hides rows from this user (row security); give the user BYPASSRLS"
    return None
