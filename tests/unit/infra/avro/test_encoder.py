"""Envelopes are written as a general Avro library would write them, byte for byte, and read back
by our own reader.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.avro.encoder import (
    ChangeOrigin,
    EncodeError,
    EnvelopeEncoder,
    compile_row,
    encode_long,
    encoder,
)
from infra.avro.row_reader import RowReader
from infra.schemas.debezium import customers_schemas, namespace, row_schema, with_column
from infra.schemas.envelope import key_id, schema_id
from tests.avro_decimal import shortest_decimals

TOPIC = "cdc.shop.customers"
SCHEMAS = customers_schemas(TOPIC)
VALUE = fastavro.parse_schema(json.loads(json.dumps(SCHEMAS.value)))
COLUMNS = [column["name"] for column in row_schema(SCHEMAS.value)["fields"]]
ENCODER = EnvelopeEncoder(SCHEMAS, key_id=4, value_id=5, origin=ChangeOrigin(schema="shop"))
READER = RowReader(SCHEMAS.value)
MOMENT_US = 1_795_503_852_810_042

LONG = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
CENTS = st.integers(-(10**12) + 1, 10**12 - 1)
TIMES = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))
ROWS = st.tuples(
    LONG,
    TEXT,
    TEXT,
    TEXT,
    st.none() | TEXT,
    st.none() | CENTS.map(lambda cents: Decimal(cents).scaleb(-2)),
    TIMES,
    st.none() | TEXT,
    st.none() | TEXT,
)


def plain(row: Sequence[Any] | None) -> Mapping[str, Any] | None:
    """A row as the general library wants it: Debezium's timestamps are text."""
    if row is None:
        return None
    return dict(zip(COLUMNS, [_plain(value) for value in row], strict=True))


def _plain(value: Any) -> Any:
    return (
        value.isoformat(timespec="microseconds")[:-6] + "Z"
        if isinstance(value, datetime)
        else value
    )


def written(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def envelope(operation: str, before: Any, after: Any, transaction: int, lsn: int) -> dict[str, Any]:
    times = {"ts_ms": MOMENT_US // 1000, "ts_us": MOMENT_US, "ts_ns": MOMENT_US * 1000}
    source = {
        "version": "3.6.3.Final",
        "connector": "postgresql",
        "name": "cdc",
        "snapshot": "false",
        "db": "postgres",
        "sequence": f'["{lsn}","{lsn}"]',
        "schema": "shop",
        "table": "customers",
        "txId": transaction,
        "lsn": lsn,
        **times,
    }
    return {
        "before": plain(before),
        "after": plain(after),
        "source": source,
        "op": operation,
        **times,
    }


@pytest.fixture(autouse=True, scope="module")
def _as_debezium() -> Iterator[None]:
    with shortest_decimals():
        yield


LEAST = (1, "a", "b", "c", None, Decimal("-1.28"), datetime(2000, 1, 1, tzinfo=UTC), None, None)


@given(
    st.sampled_from("crud"),
    st.none() | ROWS,
    st.none() | ROWS,
    st.integers(0, 2**40),
    st.integers(0, 2**60),
)
@example("u", LEAST, LEAST, 1, 1)
def test_an_envelope_is_byte_identical_to_a_general_librarys(
    operation: str, before: Any, after: Any, transaction: int, lsn: int
) -> None:
    ours = ENCODER.value(operation, before, after, (transaction, lsn), ENCODER.moment(MOMENT_US))

    assert schema_id(ours) == 5
    assert ours[5:] == written(VALUE, envelope(operation, before, after, transaction, lsn))


@given(LONG)
def test_numbers_and_keys_are_byte_identical_to_a_general_librarys(number: int) -> None:
    assert encode_long(number) == written("long", number)
    key = ENCODER.key((number,))
    assert key[5:] == written(json.loads(json.dumps(SCHEMAS.key)), {"id": number})
    assert schema_id(key) == 4
    assert key_id(key) == number


@given(ROWS)
def test_what_was_encoded_is_read_back(row: Any) -> None:
    inserted = ENCODER.value("c", None, row, (1, 2), ENCODER.moment(MOMENT_US))
    deleted = ENCODER.value("d", row, None, (1, 2), ENCODER.moment(MOMENT_US))

    rows = READER.read([inserted, deleted])
    assert rows.rows("after") == [row, None]
    assert rows.rows("before") == [None, row]
    assert rows.operation.tobytes() == b"cd"
    assert rows.committed_us.tolist() == [MOMENT_US, MOMENT_US]


@given(st.binary(max_size=300), st.booleans())
def test_other_kinds_of_column_are_byte_identical_too(data: bytes, flag: bool) -> None:
    fields = [
        {"name": "a", "type": "bytes"},
        {"name": "b", "type": ["null", "boolean"]},
        {"name": "c", "type": "int"},
    ]
    schema = {"type": "record", "name": "R", "fields": fields}

    assert compile_row(schema)((data, flag, 7)) == written(schema, {"a": data, "b": flag, "c": 7})


def test_a_time_in_another_zone_is_written_in_utc() -> None:
    encode = encoder(
        next(
            field["type"]
            for field in row_schema(SCHEMAS.value)["fields"]
            if field["name"] == "created_at"
        )
    )

    assert (
        encode(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))[1:]
        == b"2026-01-01T00:00:00.000000Z"
    )


@pytest.mark.parametrize("amount", ["0.001", "10000000000.00", "-10000000000"])
def test_an_amount_that_the_column_cannot_hold_is_refused(amount: str) -> None:
    balance = next(
        field["type"] for field in row_schema(SCHEMAS.value)["fields"] if field["name"] == "balance"
    )

    with pytest.raises(EncodeError, match=r"numeric\(12, 2\)"):
        encoder(balance)(Decimal(amount))


def test_a_schema_that_is_no_envelope_is_refused() -> None:
    flat = {"type": "record", "name": "Flat", "fields": row_schema(SCHEMAS.value)["fields"]}
    broken = type(SCHEMAS)(
        TOPIC,
        SCHEMAS.key,
        {**SCHEMAS.value, "fields": SCHEMAS.value["fields"][:2] + flat["fields"]},
    )

    with pytest.raises(EncodeError, match="no Debezium envelope"):
        EnvelopeEncoder(broken, 1, 2, ChangeOrigin())


def test_an_added_column_comes_last_and_older_readers_still_understand() -> None:
    evolved = with_column(SCHEMAS, "tier")
    encode = EnvelopeEncoder(evolved, 4, 6, ChangeOrigin(schema="shop"))
    row = (
        1,
        "Ada",
        "Lovelace",
        "ada@example.test",
        None,
        None,
        datetime(2026, 1, 1, tzinfo=UTC),
        None,
        "probe",
    )
    value = encode.value("c", None, (*row, "gold"), (1, 2), encode.moment(MOMENT_US))

    schema = fastavro.parse_schema(json.loads(json.dumps(evolved.value)))
    new = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
    old = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, VALUE)

    assert isinstance(new, dict)
    assert isinstance(old, dict)
    assert list(new["after"])[-1] == "tier"
    assert (new["after"]["tier"], "tier" in old["after"]) == ("gold", False)
    assert "tier" not in json.dumps(SCHEMAS.value)


def test_a_column_is_added_once() -> None:
    with pytest.raises(ValueError, match="'notes' is there already"):
        with_column(SCHEMAS, "notes")


def test_names_that_avro_does_not_allow_are_adjusted() -> None:
    assert namespace("cdc.my-shop.2024_orders") == "cdc.my_shop._2024_orders"
    assert SCHEMAS.value["namespace"] == TOPIC
