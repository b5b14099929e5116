"""The compiled envelope reader against fastavro, on schemas with every Avro type around what it keeps."""

from __future__ import annotations

import io
import struct
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.schemas.envelope import EnvelopeError, compile_reader, key_id, schema_id

HEAD = struct.pack(">bI", 0, 7)
ROW: dict[str, Any] = {
    "type": "record",
    "name": "Value",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "text", "type": ["null", "string"]},
        {"name": "flag", "type": "boolean"},
        {"name": "ratio", "type": "double"},
        {"name": "small", "type": "float"},
        {"name": "digest", "type": {"type": "fixed", "name": "Digest", "size": 4}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["a", "b"]}},
        {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}},
        {"name": "nested", "type": {"type": "map", "values": {"type": "array", "items": "long"}}},
        {"name": "balance", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]},
        {"name": "probe", "type": ["null", "string"]},
        {"name": "added", "type": ["null", "string"]},
    ],
}
SOURCE = {
    "type": "record",
    "name": "Source",
    "fields": [
        {"name": "version", "type": "string"},
        {"name": "ts_ms", "type": "long"},
        {"name": "snapshot", "type": [{"type": "string", "connect.name": "io.debezium.data.Enum"}, "null"]},
        {"name": "ts_us", "type": ["null", "long"]},
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
READ = compile_reader(ENVELOPE)
PARSED = fastavro.parse_schema(ENVELOPE)

longs = st.integers(-(2**63), 2**63 - 1)
rows = st.fixed_dictionaries(
    {
        "id": longs,
        "text": st.none() | st.text(max_size=300),
        "flag": st.booleans(),
        "ratio": st.floats(allow_nan=False),
        "small": st.just(0.5),
        "digest": st.binary(min_size=4, max_size=4),
        "kind": st.sampled_from(["a", "b"]),
        "tags": st.lists(st.none() | st.text(max_size=5), max_size=4),
        "nested": st.dictionaries(st.text(max_size=3), st.lists(longs, max_size=3), max_size=3),
        "balance": st.none(),
        "probe": st.none() | st.text(max_size=200),
        "added": st.none() | st.text(max_size=3),
    }
)
envelopes = st.fixed_dictionaries(
    {
        "before": st.none() | rows,
        "after": st.none() | rows,
        "source": st.fixed_dictionaries(
            {
                "version": st.text(max_size=9),
                "ts_ms": st.integers(0, 2**41),
                "snapshot": st.sampled_from(["false", None]),
                "ts_us": st.none() | st.integers(1, 2**51),
            }
        ),
        "op": st.sampled_from(["c", "u", "d", "r"]),
        "ts_ms": st.none() | longs,
    }
)


def encode(envelope: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PARSED, envelope)
    return HEAD + out.getvalue()


@given(envelopes)
def test_the_reader_keeps_what_the_writer_wrote(envelope: dict[str, Any]) -> None:
    found = READ(encode(envelope))

    row = envelope["before"] if envelope["op"] == "d" else envelope["after"]
    probe = row["probe"] if row else None
    assert found.operation.decode() == envelope["op"]
    assert found.probe == (None if probe is None else probe.encode())
    assert found.committed_us == (envelope["source"]["ts_us"] or envelope["source"]["ts_ms"] * 1000)


@given(envelopes, st.data())
def test_a_message_that_is_cut_short_is_an_error(envelope: dict[str, Any], data: st.DataObject) -> None:
    message = encode(envelope)
    cut = data.draw(st.integers(5, len(message) - 1))

    with pytest.raises(EnvelopeError, match="ends in the middle"):
        READ(message[:cut])


@given(longs)
def test_an_integer_key_is_its_own_number(key: int) -> None:
    out = io.BytesIO()
    schema = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}
    fastavro.schemaless_writer(out, schema, {"id": key})

    assert key_id(HEAD + out.getvalue()) == key


def test_a_flat_record_is_refused_with_a_hint() -> None:
    with pytest.raises(EnvelopeError, match="unwrapping"):
        compile_reader(ROW)


@pytest.mark.parametrize("message", [b"", b"{}", b"\x01\x00\x00\x00\x07"])
def test_another_wire_format_is_refused(message: bytes) -> None:
    with pytest.raises(EnvelopeError, match="wire format"):
        schema_id(message)
