"""Bulk reading of rows against fastavro's own, on every Avro type and on Debezium's types at their
extremes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.avro.key import KeyReader, key_ids, key_octets
from infra.avro.kind import PLACEHOLDER, UNAVAILABLE, ColumnKind, decimal_text, decimal_value
from infra.avro.row_reader import RowReader
from infra.schemas.envelope import EnvelopeError, key_id
from tests.change_events import VARIABLE

NASTY = "NUL-like \\0 \\u0000 \"quoted\" 'single' \\N \t\r\n 🐘"
HEAD = struct.pack(">bI", 0, 7)


def named(base: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": base, "connect.name": name, **more}


DECIMAL = named(
    "bytes", "org.apache.kafka.connect.data.Decimal", logicalType="decimal", precision=38, scale=4
)
TYPES: dict[str, Any] = {
    "id": "long",
    "small": {"type": "int", "connect.type": "int16"},
    "flag": "boolean",
    "ratio": "double",
    "short_ratio": "float",
    "digest": {"type": "fixed", "name": "Digest", "size": 4},
    "text": "string",
    "data": "bytes",
    "amount": DECIMAL,
    "wide": VARIABLE,
    "day": named("int", "io.debezium.time.Date"),
    "clock": named("long", "io.debezium.time.MicroTime"),
    "short_clock": named("int", "io.debezium.time.Time"),
    "moment": named("long", "io.debezium.time.MicroTimestamp"),
    "short_moment": named("long", "io.debezium.time.Timestamp"),
    "zoned": named("string", "io.debezium.time.ZonedTimestamp"),
    "tags": {"type": "array", "items": ["null", "string"]},
    "nested": {"type": "map", "values": {"type": "array", "items": "long"}},
    "either": ["null", "long", "string"],
    "probe": "string",
}
OPTIONAL = [name for name in TYPES if name not in ("id", "either", "tags")]
ROW = {
    "type": "record",
    "name": "Value",
    "fields": [
        {"name": name, "type": ["null", declared] if name in OPTIONAL else declared}
        for name, declared in TYPES.items()
    ],
}
SOURCE = {
    "type": "record",
    "name": "Source",
    "namespace": "io.debezium.connector.postgresql",
    "fields": [
        {"name": "version", "type": "string"},
        {"name": "ts_ms", "type": "long"},
        {
            "name": "snapshot",
            "type": [{"type": "string", "connect.name": "io.debezium.data.Enum"}, "null"],
        },
        {"name": "ts_us", "type": ["null", "long"]},
        {"name": "ts_ns", "type": ["null", "long"]},
        {"name": "lsn", "type": ["null", "long"]},
    ],
}
ENVELOPE: dict[str, Any] = {
    "type": "record",
    "name": "Envelope",
    "namespace": "cdc.s.customers",
    "fields": [
        {"name": "before", "type": ["null", ROW]},
        {"name": "after", "type": ["null", "Value"]},
        {"name": "source", "type": SOURCE},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"]},
    ],
}
READER = RowReader(ENVELOPE)
PARSED = fastavro.parse_schema(ENVELOPE)

longs = st.integers(-(2**63), 2**63 - 1)
texts = st.text(max_size=300).filter(lambda text: text != PLACEHOLDER)
micros = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31))
rows = st.fixed_dictionaries(
    {
        "id": longs,
        "small": st.none() | st.integers(-(2**15), 2**15 - 1),
        "flag": st.none() | st.booleans(),
        "ratio": st.none() | st.floats(allow_nan=False),
        "short_ratio": st.none() | st.floats(width=32, allow_nan=False),
        "digest": st.none() | st.binary(min_size=4, max_size=4),
        "text": st.none() | texts,
        "data": st.none() | st.binary(max_size=200),
        "amount": st.none() | st.decimals(-(10**33), 10**33, places=4),
        "wide": st.none()
        | st.decimals(
            allow_nan=False, allow_infinity=False, places=7, min_value=-(10**18), max_value=10**18
        ),
        "day": st.none() | st.dates(),
        "clock": st.none() | st.times(),
        "short_clock": st.none() | st.times().map(lambda clock: clock.replace(microsecond=0)),
        "moment": st.none() | micros,
        "short_moment": st.none() | micros.map(lambda moment: moment.replace(microsecond=7000)),
        "zoned": st.none() | micros.map(lambda moment: moment.replace(tzinfo=UTC)),
        "tags": st.lists(st.none() | st.text(max_size=5), max_size=4),
        "nested": st.none()
        | st.dictionaries(st.text(max_size=3), st.lists(longs, max_size=3), max_size=3),
        "either": st.none() | longs | st.text(max_size=5),
        "probe": st.none() | texts,
    }
)
events = st.fixed_dictionaries(
    {
        "before": st.none() | rows,
        "after": st.none() | rows,
        "source": st.fixed_dictionaries(
            {
                "version": st.text(max_size=9),
                "ts_ms": st.integers(0, 2**41),
                "snapshot": st.sampled_from(["false", None]),
                "ts_us": st.none() | st.integers(1, 2**62),
                "ts_ns": st.none() | longs,
                "lsn": st.none() | st.integers(0, 2**62),
            }
        ),
        "op": st.sampled_from(["c", "u", "d", "r"]),
        "ts_ms": st.none() | longs,
    }
)


def on_the_wire(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """A row as Debezium would hand it to Avro."""
    if row is None:
        return None
    epoch, day_zero = datetime(1970, 1, 1), date(1970, 1, 1)

    def us(clock: time) -> int:
        return (
            (clock.hour * 60 + clock.minute) * 60 + clock.second
        ) * 1_000_000 + clock.microsecond

    def moment_us(moment: datetime) -> int:
        since = moment - epoch
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    def variable(number: Decimal) -> dict[str, Any]:
        unscaled = int(number.scaleb(7))
        return {
            "scale": 7,
            "value": unscaled.to_bytes((unscaled.bit_length() + 8) // 8, "big", signed=True),
        }

    encode = {
        "day": lambda day: (day - day_zero).days,
        "clock": us,
        "short_clock": lambda clock: us(clock) // 1000,
        "moment": moment_us,
        "short_moment": lambda moment: moment_us(moment) // 1000,
        "zoned": lambda moment: moment.isoformat().replace("+00:00", "Z"),
        "wide": variable,
    }
    return {
        name: encode[name](value) if name in encode and value is not None else value
        for name, value in row.items()
    }


def message(event: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    whole = {**event, "before": on_the_wire(event["before"]), "after": on_the_wire(event["after"])}
    fastavro.schemaless_writer(out, PARSED, whole)
    return HEAD + out.getvalue()


def expected(many: Sequence[dict[str, Any]], side: str) -> list[tuple[Any, ...] | None]:
    return [
        None if event[side] is None else tuple(event[side][name] for name in TYPES)
        for event in many
    ]


@settings(max_examples=30)
@given(st.lists(events, max_size=6))
def test_whole_rows_come_out_as_they_were_written(many: list[dict[str, Any]]) -> None:
    found = READER.read([message(event) for event in many])

    assert found.rows("before") == expected(many, "before")
    assert found.rows("after") == expected(many, "after")
    assert found.operation.tolist() == [ord(event["op"]) for event in many]
    assert found.lsn.tolist() == [event["source"]["lsn"] or 0 for event in many]
    assert found.committed_us.tolist() == [
        event["source"]["ts_us"] or event["source"]["ts_ms"] * 1000 for event in many
    ]


@settings(max_examples=30)
@given(st.lists(events, min_size=2, max_size=6), st.data())
def test_a_part_reads_like_the_whole(many: list[dict[str, Any]], data: st.DataObject) -> None:
    messages = [message(event) for event in many]
    first = data.draw(st.integers(0, len(many) - 1))

    part = READER.read(messages)[first:]

    assert part.rows("after") == expected(many[first:], "after")
    assert part.messages() == messages[first:]
    assert part.sizes.tolist() == [len(text) for text in messages[first:]]


@settings(max_examples=30)
@given(st.lists(events, min_size=1, max_size=3), events, st.data())
def test_a_message_that_is_cut_short_is_an_error(
    many: list[dict[str, Any]], last: dict[str, Any], data: st.DataObject
) -> None:
    whole = message(last)
    cut = whole[: data.draw(st.integers(5, len(whole) - 1))]

    with pytest.raises(EnvelopeError):
        READER.read([*[message(event) for event in many], cut])


def written(row: dict[str, Any]) -> bytes:
    """The message of a row whose columns are given as they are on the wire; the others are NULL."""
    source = {
        "version": "",
        "ts_ms": 0,
        "snapshot": None,
        "ts_us": None,
        "ts_ns": None,
        "lsn": None,
    }
    out = io.BytesIO()
    whole = {name: [] if name == "tags" else 1 if name == "id" else None for name in TYPES} | row
    fastavro.schemaless_writer(
        out, PARSED, {"before": None, "after": whole, "source": source, "op": "c", "ts_ms": None}
    )
    return HEAD + out.getvalue()


def one(row: dict[str, Any]) -> tuple[Any, ...]:
    """A row through writer and reader, its columns given as they are on the wire."""
    (found,) = READER.read([written(row)]).rows("after")
    assert found is not None
    return tuple(found[list(TYPES).index(name)] for name in row)


def test_a_value_that_was_not_sent_is_not_null() -> None:
    assert one(
        {"text": PLACEHOLDER, "data": PLACEHOLDER.encode(), "tags": [PLACEHOLDER], "probe": None}
    ) == (
        UNAVAILABLE,
        UNAVAILABLE,
        UNAVAILABLE,
        None,
    )


@pytest.mark.parametrize(
    ("column", "wire", "value"),
    [
        ("moment", 9223372036825200000, "infinity"),
        ("moment", -9223372036832400000, "-infinity"),
        ("moment", 9223372036854775807, "294247-01-10 04:00:54.775807"),
        ("moment", -62135596800000001, "0001-12-31 23:59:59.999999 BC"),
        ("zoned", "infinity", "infinity"),
        ("zoned", "+294276-12-31T23:59:59.999999Z", "294276-12-31T23:59:59.999999Z"),
        ("zoned", "-0043-03-15T00:00:00Z", "0044-03-15T00:00:00+00 BC"),
        ("day", 2145042905, "5874897-12-31"),
        ("day", -2440550, "4713-01-01 BC"),
        ("day", -2440588, "4714-11-24 BC"),
        ("clock", 86_400_000_000, "24:00:00"),
        ("amount", Decimal("9" * 34 + ".9999"), Decimal("9" * 34 + ".9999")),
        ("amount", Decimal("-0.0001"), Decimal("-0.0001")),
        ("text", NASTY, NASTY),
        ("text", "x" * 1_000_000, "x" * 1_000_000),
    ],
)
def test_extremes_keep_their_value(column: str, wire: object, value: object) -> None:
    assert one({column: wire}) == (value,)


@given(st.integers(-(10**20), 10**20), st.integers(-3, 30))
def test_a_decimals_text_is_its_value(number: int, scale: int) -> None:
    data = number.to_bytes((number.bit_length() + 8) // 8, "big", signed=True)

    assert Decimal(decimal_text(data, scale)) == decimal_value(data, scale)


@given(
    st.lists(
        st.none() | st.integers(-(10**26), 10**26) | st.integers(-100_000, 100_000), min_size=1
    )
)
def test_a_column_of_decimals_has_the_text_of_each(numbers: list[int | None]) -> None:
    amounts = [None if number is None else Decimal(number).scaleb(-4) for number in numbers]
    found = READER.read([written({"amount": amount}) for amount in amounts])

    assert found.decimal_texts("after", "amount") == [
        None if one is None else format(one, "f") for one in amounts
    ]


def test_columns_tell_their_kinds() -> None:
    kinds = {column.name: column.kind for column in READER.columns}
    (amount,) = (column for column in READER.columns if column.name == "amount")

    assert kinds["amount"] is ColumnKind.DECIMAL
    assert (amount.precision, amount.scale) == (38, 4)
    assert kinds["zoned"] is ColumnKind.ZONED_TIMESTAMP
    assert kinds["small"] is ColumnKind.INT16
    assert kinds["tags"] is ColumnKind.OTHER
    assert [column.name for column in READER.columns if not column.nullable] == ["id", "tags"]


def test_no_messages_are_no_rows() -> None:
    found = READER.read([])

    assert len(found) == 0
    assert found.rows("after") == []


def test_a_column_in_numbers_has_its_nulls_beside_it() -> None:
    event = {
        "before": None,
        "source": {"version": "", "ts_ms": 0, "snapshot": None, "ts_us": None},
        "op": "c",
    }
    blank = dict.fromkeys(TYPES) | {"id": 1, "tags": []}
    many = [{**event, "after": {**blank, "small": number}} for number in (3, None, -4)]

    numbers, there = READER.read([message(one_event) for one_event in many]).numbers(
        "after", "small"
    )

    np.testing.assert_array_equal(there, [True, False, True])
    np.testing.assert_array_equal(numbers[there], [3, -4])


def test_a_flat_record_is_refused_with_a_hint() -> None:
    with pytest.raises(EnvelopeError, match="unwrapping"):
        RowReader(ROW)


def test_a_key_has_its_columns_in_order() -> None:
    schema = {
        "type": "record",
        "name": "Key",
        "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": "string"}],
    }
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, {"a": -5, "b": "x"})
    reader = KeyReader(schema)

    assert reader.read(HEAD + out.getvalue()) == (-5, "x")
    assert [column.name for column in reader.columns] == ["a", "b"]
    with pytest.raises(EnvelopeError, match="key"):
        reader.read(HEAD + out.getvalue()[:-1])


def test_a_key_that_is_no_record_is_refused() -> None:
    with pytest.raises(EnvelopeError, match="no record"):
        KeyReader({"type": "string"})


@given(
    st.lists(
        longs.map(lambda key: HEAD + zigzag(key)) | st.none() | st.binary(max_size=20), max_size=6
    )
)
def test_many_keys_have_the_numbers_that_single_ones_have(keys: list[bytes | None]) -> None:
    assert key_ids(key_octets(keys)).tolist() == [key_id(key) for key in keys]


def zigzag(number: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    return out.getvalue()
