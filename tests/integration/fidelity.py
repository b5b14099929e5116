"""What becomes of a value of each PostgreSQL type on its way: `docs/fidelity.md`, as it is seen.

`python -m tests.integration.fidelity` writes the page anew with the stack that is up;
`test_fidelity.py` compares the page with what it sees. Sinks write in this process, on real
servers, what real connectors have sent.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import requests
from pyiceberg.catalog import load_catalog

from cdc_users.pipeline.provision.kafka_topics import create_topic, delete_subjects, delete_topics
from infra.platform.process.error import PlatformError
from infra.platform.sinks.batch import Batch, Chunk
from infra.platform.sinks.iceberg.sink import CATALOG, IcebergSink, local_properties
from infra.platform.sinks.postgres.sink import PostgresSink
from infra.platform.sinks.webhook.document import documents, encode
from infra.postgres.slot import create_slot, drop_slot
from infra.stack.debezium.connector import (
    DebeziumConnector,
    connector_config,
    delete_connector,
    wait_until_committed,
    wait_until_streaming,
)
from infra.stack.endpoints import Endpoints
from infra.stack.find.locate import locate
from infra.stack.supervise.state import CHECKOUT
from tests.batches import decoded
from tests.integration.debezium_capture import read
from tests.wal_process import WalProcess

PAGE = CHECKOUT / "docs" / "fidelity.md"
#: Types that the page lists: as a column declares them, and one value of each as SQL; `{s}` stands
#: for the schema that has the types of our own.
TYPES: tuple[tuple[str, str], ...] = (
    ("boolean", "true"), ("smallint", "-32768"), ("integer", "2147483647"),
    ("bigint", "9223372036854775807"), ("oid", "4294967295"),
    ("real", "1.1"), ("real", "'-Infinity'"), ("double precision", "0.1"),
    ("double precision", "'NaN'"), ("double precision", "'-0'"),
    ("numeric(10,2)", "1.50"), ("numeric(20,0)", "12345678901234567890"),
    ("numeric(60,30)", "'123456789012345678901234567890.123456789012345678901234567890'"),
    ("numeric", "1.500"), ("numeric", "'NaN'"), ("numeric", "'Infinity'"),
    ("numeric(10,2)", "'NaN'"), ("numeric(5,-2)", "1234567"), ("numeric(3,5)", "0.00123"),
    ("money", "'-12345.67'"),
    ("text", "'a\"b\\c'"), ("varchar(3)", "'abc'"), ("char(5)", "'ab'"), ("\"char\"", "'x'"),
    ("name", "'nm'"), ("bytea", "'\\x00ff'"),
    ("uuid", "'00112233-4455-6677-8899-aabbccddeeff'"),
    ("json", "'{\"b\": 1,  \"a\": [1.10], \"b\": 2}'"), ("json", "'\"\\u0000\"'"),
    ("json", "'1e200000'"), ("jsonb", "'{\"n\": 123456789012345678901234567890.10}'"),
    ("date", "'2026-01-02'"), ("date", "'infinity'"), ("date", "'-infinity'"),
    ("date", "'0044-03-15 BC'"), ("date", "'5874897-12-31'"),
    ("timestamp", "'2026-01-02 03:04:05.678901'"), ("timestamp", "'infinity'"),
    ("timestamp", "'0044-03-15 12:00 BC'"), ("timestamp(3)", "'2026-01-02 03:04:05.123'"),
    ("timestamp(3)", "'-infinity'"), ("timestamp(0)", "'2026-01-02 03:04:05'"),
    ("timestamptz", "'2026-01-02 03:04:05.678901+00'"), ("timestamptz", "'-infinity'"),
    ("timestamptz", "'0044-03-15 12:00+00 BC'"), ("timestamptz", "'12026-01-02 03:04:05+00'"),
    ("time", "'03:04:05.678901'"), ("time", "'24:00'"), ("time(3)", "'24:00'"),
    ("timetz", "'12:30:00+05:30'"), ("timetz", "'24:00+00'"),
    ("interval", "'04:05:06.789'"), ("interval", "'1 year 2 mons 3 days'"),
    ("bit(1)", "B'1'"), ("bit(16)", "B'0000000100000010'"), ("varbit(12)", "B'100000000011'"),
    ("varbit(12)", "B'0011'"), ("varbit", "B'0011'"),
    ("inet", "'10.0.0.1'"), ("inet", "'10.0.0.1/8'"), ("cidr", "'10.0.0.0/8'"),
    ("macaddr", "'08:00:2b:01:02:03'"), ("macaddr8", "'08:00:2b:01:02:03:04:05'"),
    ("point", "'(1.5,-2)'"), ("line", "'{1,2,3}'"), ("lseg", "'[(0,0),(1,1)]'"),
    ("box", "'(1,1),(0,0)'"), ("path", "'[(0,0),(1,1)]'"), ("polygon", "'((0,0),(1,1))'"),
    ("circle", "'<(1,1),2>'"),
    ("tsvector", "'a:1 b:2'"), ("tsquery", "'a & b'"), ("pg_lsn", "'16/B374D848'"),
    ("int4range", "'[1,10)'"), ("int8range", "'[1,10)'"), ("numrange", "'[1.50,)'"),
    ("tsrange", "'[2026-01-02 03:04:05,)'"), ("tstzrange", "'[2026-01-02 03:04:05+00,)'"),
    ("daterange", "'[2026-01-02,2026-01-03)'"), ("int4multirange", "'{[1,3),[5,8)}'"),
    ("{s}.mood", "'très content'"), ("{s}.positive", "7"), ("{s}.email", "'a@b'"),
    ("{s}.pair", "'(1,\"x y\")'"),
    ("integer[]", "'{1,NULL,3}'"), ("integer[]", "'{{1,2},{3,4}}'"), ("bigint[]", "'{1}'"),
    ("text[]", "'{a,NULL,\"NULL\",\"b,c\",\"\"}'"), ("varchar(3)[]", "'{abc}'"),
    ("numeric(10,2)[]", "'{1.50,NULL}'"), ("numeric[]", "'{1.5}'"), ("numeric[]", "'{1.5,NaN}'"),
    ("real[]", "'{1.1}'"), ("boolean[]", "'{t,f,NULL}'"),
    ("uuid[]", "'{00112233-4455-6677-8899-aabbccddeeff}'"), ("bytea[]", "'{\"\\\\x00ff\"}'"),
    ("jsonb[]", "ARRAY['{\"a\": 1}'::jsonb]"), ("date[]", "'{2026-01-02,infinity,-infinity}'"),
    ("date[]", "'{0044-03-15 BC}'"), ("timestamp[]", "'{2026-01-02 03:04:05,infinity}'"),
    ("timestamptz[]", "'{2026-01-02 03:04:05+00,-infinity}'"), ("time[]", "'{03:04:05}'"),
    ("time[]", "'{24:00}'"), ("interval[]", "'{1 day}'"), ("bit(3)[]", "'{011}'"),
    ("point[]", "'{\"(1,2)\"}'"), ("int4range[]", "'{\"[1,3)\"}'"), ("{s}.mood[]", "'{calm}'"),
    ("{s}.mood[]", "'{calm,NULL}'"),
    ("timestamptz", "'infinity'"), ("timestamptz[]", "'{infinity,-infinity}'"),
    ("timestamp[]", "'{-infinity,0044-03-15 12:00 BC}'"),
    ("timestamp(3)[]", "'{2026-01-02 03:04:05.123,infinity,-infinity}'"),
    ("tsrange", "'[2026-01-02,infinity)'"), ("tstzrange", "'[-infinity,infinity]'"),
    ("daterange", "'[2026-01-02,infinity)'"), ("tsrange[]", "'{\"[2026-01-02,infinity)\"}'"),
    ("real[]", "'{NaN,Infinity}'"), ("double precision[]", "'{NaN,-Infinity,0.1}'"),
    ("smallint[]", "'{-32768}'"), ("char(3)[]", "'{ab}'"), ("money[]", "'{1.50}'"),
    ("inet[]", "'{10.0.0.1/8}'"), ("timetz[]", "'{12:30:00+05:30}'"), ("json[]", "'{1.10}'"),
    ("integer DEFAULT 5", "NULL"), ("timestamptz DEFAULT now()", "NULL"),
)  # fmt: skip
COLUMNS = (
    "direct reader, JSON",
    "Debezium, JSON",
    "webhook",
    "Postgres, own table",
    "Postgres, given table",
    "Iceberg",
)
MISSING = object()
DEADLINE_S = 120.0
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Trial:
    """A type with one value in a table of its own."""

    number: int
    type: str
    value: str

    @property
    def table(self) -> str:
        return f"t_{self.number:03d}"


def trials() -> list[Trial]:
    return [Trial(number, kind, value) for number, (kind, value) in enumerate(TYPES)]


#: Brings a connector to store an offset. Until then a restart of its task, as Connect makes when
#: another connector comes, would begin at the log's end of then.
CANARY = "canary"


def captured_tables() -> list[str]:
    return [CANARY, *(trial.table for trial in trials())]


class FidelityWorld:
    """The tables, and everything that reads them."""

    def __init__(self, stack: Endpoints, directory: Path) -> None:
        self.stack = stack
        self.directory = directory
        self.name = f"cdc_fidelity_{uuid.uuid4().hex[:8]}"
        self.connection = psycopg.connect(stack.postgres_dsn, autocommit=True)
        self.connection.execute("SET timezone TO 'UTC'")

    def execute(self, statement: str) -> Any:
        return self.connection.execute(statement.replace("{s}", self.name).encode())

    def make(self) -> None:
        for schema in (self.name, f"{self.name}_given", f"{self.name}_own"):
            self.execute(f"CREATE SCHEMA {schema}")
        self.execute("CREATE TYPE {s}.mood AS ENUM ('calm', 'très content')")
        self.execute("CREATE DOMAIN {s}.positive AS int CHECK (VALUE > 0)")
        self.execute("CREATE DOMAIN {s}.email AS text")
        self.execute("CREATE TYPE {s}.pair AS (a int, b text)")
        for trial in trials():
            for schema in (self.name, f"{self.name}_given"):
                self.execute(
                    f"CREATE TABLE {schema}.{trial.table} (id int PRIMARY KEY, v {trial.type})"
                )
        self.execute(f"CREATE TABLE {self.name}.{CANARY} (id serial PRIMARY KEY)")
        tables = ", ".join(f"{self.name}.{table}" for table in captured_tables())
        self.execute(f"CREATE PUBLICATION {self.name} FOR TABLE {tables}")

    def fill(self) -> None:
        for trial in trials():
            self.execute(f"INSERT INTO {self.name}.{trial.table} VALUES (1, {trial.value})")

    def remove(self) -> None:
        self.execute(f"DROP PUBLICATION IF EXISTS {self.name}")
        for schema in (f"{self.name}_given", f"{self.name}_own", self.name):
            self.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        self.connection.close()

    def text(self, schema: str, trial: Trial) -> Any:
        """What the table has; MISSING where it has no such row or column."""
        try:
            row = self.execute(f"SELECT v::text FROM {schema}.{trial.table}").fetchone()
        except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable):
            return MISSING
        return MISSING if row is None else row[0]

    def as_source(self, trial: Trial, text: str) -> str | None:
        """The text as the source would have it; None where it is none of this type."""
        kind = trial.type.replace("{s}", self.name)
        try:
            (found,) = self.connection.execute(
                f"SELECT %s::{kind}::text".encode(), (text,)
            ).fetchone() or (None,)
        except psycopg.Error:
            return None
        return None if found is None else str(found)

    def are_equal(self, trial: Trial, one: str, other: str) -> bool:
        """Whether the source's type takes two texts for one value."""
        kind = trial.type.replace("{s}", self.name)
        try:
            (found,) = self.connection.execute(
                f"SELECT %s::{kind} = %s::{kind}".encode(), (one, other)
            ).fetchone() or (False,)
        except psycopg.Error:
            return False
        return bool(found)


@contextmanager
def connected(world: FidelityWorld, suffix: str, converter: dict[str, str]) -> Iterator[str]:
    """All tables through a connector of their own, into one topic."""
    name, stack = f"{world.name}_{suffix}", world.stack
    tables = tuple(f"{world.name}.{table}" for table in captured_tables())
    connector = DebeziumConnector(name.replace("_", "-"), name, world.name, f"cdc{suffix}", tables)
    with ExitStack() as undo:
        undo.callback(delete_subjects, stack.schema_registry_url, name)
        undo.callback(delete_topics, stack.kafka_bootstrap, [name])
        create_topic(stack.kafka_bootstrap, name, 1)
        undo.callback(_drop_slot, stack, name)
        # A slot that the connector makes is held while it is made, which looks like streaming.
        create_slot(world.connection, name)
        undo.callback(delete_connector, stack, connector.name)
        config = connector_config(connector, stack) | converter
        config |= {
            "transforms": "one",
            "transforms.one.type": "org.apache.kafka.connect.transforms.RegexRouter",
            "transforms.one.regex": ".*",
            "transforms.one.replacement": name,
        }
        body = {"name": connector.name, "config": config}
        answer = requests.post(f"{stack.connect_url}/connectors", json=body, timeout=60)
        assert answer.status_code == requests.codes.created, answer.text
        wait_until_streaming(stack, connector, DEADLINE_S)
        yield name


def _drop_slot(stack: Endpoints, name: str) -> None:
    with closing(psycopg.connect(stack.postgres_dsn, autocommit=True)) as connection:
        drop_slot(connection, name)


JSON = {
    f"{part}.converter{key}": value
    for part in ("key", "value")
    for key, value in (
        ("", "org.apache.kafka.connect.json.JsonConverter"),
        (".schemas.enable", "false"),
    )
}


def observed(stack: Endpoints, directory: Path) -> dict[Trial, list[str]]:
    """A cell for each trial and column."""
    world = FidelityWorld(stack, directory)
    try:
        with ExitStack() as undo:
            world.make()
            reader_topic = f"{world.name}_reader"
            undo.callback(delete_topics, stack.kafka_bootstrap, [reader_topic])
            create_topic(stack.kafka_bootstrap, reader_topic, 1)
            reader = _reader(world, reader_topic)
            undo.callback(reader.end, signal.SIGTERM)
            avro = undo.enter_context(connected(world, "avro", {}))
            plain = undo.enter_context(connected(world, "json", JSON))
            world.execute(f"INSERT INTO {world.name}.{CANARY} DEFAULT VALUES")
            for topic in (avro, plain):
                wait_until_committed(stack, topic.replace("_", "-"), DEADLINE_S)
            world.fill()
            count = len(TYPES)
            bootstrap = stack.kafka_bootstrap
            direct = [json.loads(m.value() or b"") for m in read(bootstrap, reader_topic, 1, count)]
            _, *events = read(bootstrap, plain, 1, count + 1)
            as_json = [json.loads(m.value() or b"") for m in events]
            _, *batches = _batches(world, avro, read(bootstrap, avro, 1, count + 1))
            return asyncio.run(_cells(world, direct, as_json, batches))
    finally:
        world.remove()


def _reader(world: FidelityWorld, topic: str) -> WalProcess:
    return WalProcess(
        "--dsn", world.stack.postgres_dsn, "--slot", f"{world.name}_reader",
        "--publication", f"{world.name}_reader", "--create",
        ",".join(f"{world.name}.{trial.table}" for trial in trials()),
        "--transport", "kafka", "--endpoint", world.stack.kafka_bootstrap, "--stream", topic,
        directory=world.directory,
    ).await_ready()  # fmt: skip


def _batches(world: FidelityWorld, topic: str, messages: Sequence[Any]) -> list[Batch]:
    """Each table's event as the platform decodes it."""
    chunk = Chunk(
        [m.value() for m in messages],
        [m.key() for m in messages],
        [m.offset() for m in messages],
        [0] * len(messages),
        [0] * len(messages),
    )
    return decoded(world.stack.schema_registry_url, (topic, 0), chunk)


async def _cells(
    world: FidelityWorld,
    direct: Sequence[dict[str, Any]],
    as_json: Sequence[dict[str, Any]],
    batches: Sequence[Batch],
) -> dict[Trial, list[str]]:
    found = {}
    for number, trial in enumerate(trials()):
        upstream = as_json[number]["after"].get("v", MISSING)
        lost = upstream is MISSING or upstream is None
        values = [direct[number]["after"].get("v", MISSING), upstream]
        for put in (_webhook, _own, _given, _iceberg):
            try:
                values.append(await put(world, trial, batches[number]))
            except PlatformError:
                values.append(PlatformError)
        source = world.text(world.name, trial)
        found[trial] = [
            cell(world, trial, source, value, lost and column > 0)
            for column, value in enumerate(values)
        ]
    return found


async def _webhook(world: FidelityWorld, trial: Trial, batch: Batch) -> Any:
    return json.loads(encode(documents(batch)))[0]["after"].get("v", MISSING)


async def _postgres(world: FidelityWorld, schema: str, trial: Trial, batch: Batch) -> Any:
    sink = PostgresSink(world.stack.postgres_dsn, f"{schema}.{trial.table}")
    await sink.open()
    try:
        await sink.write(batch)
    finally:
        await sink.close()
    return world.text(schema, trial)


async def _own(world: FidelityWorld, trial: Trial, batch: Batch) -> Any:
    return await _postgres(world, f"{world.name}_own", trial, batch)


async def _given(world: FidelityWorld, trial: Trial, batch: Batch) -> Any:
    return await _postgres(world, f"{world.name}_given", trial, batch)


async def _iceberg(world: FidelityWorld, trial: Trial, batch: Batch) -> Any:
    properties = local_properties(str(world.directory))
    sink = IcebergSink(properties, f"f.{trial.table}")
    await sink.open()
    try:
        await sink.write(batch)
        await sink.flush()
    finally:
        await sink.close()
    catalog = load_catalog(CATALOG, **properties)
    table = catalog.load_table(f"f.{trial.table}").scan().to_arrow()
    catalog.close()
    if "v" not in table.column_names:
        return MISSING
    column = table["v"]
    try:
        return column.to_pylist()[0]
    except (OverflowError, ValueError):  # a moment that Python does not have
        return str(column.cast("int64" if column.type.bit_width == 64 else "int32")[0].as_py())


def cell(world: FidelityWorld, trial: Trial, source: str | None, value: Any, lost: bool) -> str:
    """What the page says of a value."""
    if value is PlatformError:
        return "refused"
    if source is None and value is not MISSING:
        return "exact" if value is None else f"changed: `{plain(value)}`"
    if lost and (value is MISSING or value is None):
        return "lost upstream"
    if source is None or value is MISSING or value is None:
        return "lost"
    text = plain(value)
    again = None if _is_coded(trial, value) else world.as_source(trial, text)
    if again == source:
        return "exact"
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    shown = shown.replace("|", "\\|").replace("`", "'")
    if again is None:
        return f"as `{shown}`"
    return f"{'equal' if world.are_equal(trial, text, source) else 'changed'}: `{shown}`"


def _is_coded(trial: Trial, value: Any) -> bool:
    """Whether the value stands for another: a number for a moment or a duration, base64 for bytes.

    PostgreSQL would read some of these, for something else.
    """
    if trial.type == "bytea":
        return isinstance(value, str) and not value.startswith("\\x")
    number = isinstance(value, int) and not isinstance(value, bool)
    return number and trial.type in ("interval", "date", "time", "timestamp")


def plain(value: Any) -> str:
    """A value as text, as its reader would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)


def page(found: Mapping[Trial, Sequence[str]], versions: Mapping[str, str]) -> str:
    """The page."""
    debezium = versions.get("debezium", "3.6")
    lines = [INTRODUCTION.replace("{debezium}", debezium)]
    lines.append(f"| type | value | {' | '.join(COLUMNS)} |")
    lines.append(f"|{'---|' * (len(COLUMNS) + 2)}")
    for trial, cells in found.items():
        kind = trial.type.replace("{s}.", "").replace("|", "\\|")
        value = trial.value.replace("|", "\\|")
        value = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
        lines.append(f"| `{kind}` | `{value}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


INTRODUCTION = """\
# Fidelity: what becomes of a value

One value of each PostgreSQL type, through a real server, real connectors and real sinks.
`python -m tests.integration.fidelity` writes this page with the stack that is up, and
`tests/integration/test_fidelity.py` compares it with what is seen; do not edit it.

- **exact**: read as the source's type it is the source's value.
- **equal**: the type takes both for the same value, though they are written in two ways.
- **as**: in another form, such as JSON for an array, which the source's type does not read.
- **changed**: another value of the source's type. Where the direct reader is exact and all of
  Debezium's columns are not, the connector has changed it.
- **refused**: said by name; the event goes to the dead-letter topic or stops its partition, or the
  table is refused before the first event.
- **lost upstream**: Debezium ({debezium}, its defaults) sends NULL, or no such column: NaN and
  infinities of `numeric`, `name`, `box`, `circle` and the like, multiranges, composites, arrays of
  enums with NULL. No sink can see what it was.

The last four columns are behind Debezium with Avro, the one form that the platform reads. What else
the connector does: `timetz` comes in UTC, an interval's months as 30.44 days, `char(n)` padded, a
varying bit string without its leading zeros, arrays of arrays as NULLs, `24:00` within arrays as
00:00, dates before Christ in snapshots and arrays as if they were after, timestamps before Christ
within arrays two days off. Its forms of infinite dates are in `infra/avro/kind.py`. A column of a
given table is written only where it holds the value exactly (`docs/platform.md`). The stack's
connectors tell the source's type of bit strings, `money`, `char(n)`, `jsonb`, addresses and ranges
(`datatype.propagate.source.type`), so the sink's own table has it too.

**NULL in a column with a default** comes as the default: Kafka Connect gives out a default where
a value is NULL (KIP-581). Its converter to JSON can be told not to
(`value.converter.replace.null.with.default=false`), Apicurio's to Avro cannot. Of a default that is
a function, such as `now()`, the connector makes the zero of its type. No reader can tell. The
platform names such columns in its log (`platform.schema.null_is_default`), a run on a table of
yours names them in its result, and a key-only delete is known all the same. Drop the default,
write none of its NULLs, or use the direct reader.

**Whole tables.** For `DROP TABLE` the connector sends nothing, and for a table that is created
again under the same name it goes on as if it were the first: the first one's rows stay in every
sink. No event has the table's OID, and an insert of a key that is there may as well be one that
comes again or whose delete a compacted topic has lost, so the platform cannot see it without asking
the source, whose address it is not given. The direct reader stops by name. In a run, the harness
asks the catalogue for each source table's identity before and after: a table that was dropped and
created again makes it INVALID.
"""


def main() -> int:
    """Write the page with the stack that is up."""
    stack = locate(CHECKOUT, os.environ)
    if stack is None:
        print("no stack is up; bring one up: make stack-up", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory() as directory:
        found = observed(stack, Path(directory))
    PAGE.write_text(page(found, stack.versions), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
