"""Messages and schemas that lie: each is refused with a reason, in bounded memory and time."""

from __future__ import annotations

import random
import time
from decimal import Decimal
from typing import Any

import pytest

from infra.avro.key import KeyReader
from infra.avro.kind import decimal_text, decimal_value
from infra.avro.row_reader import RowReader
from infra.schemas.envelope import EnvelopeError
from tests.change_events import Columns, Encoder, Event, envelope_schema, inserts

NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
BOUND_S = 5.0


def zigzag(number: int) -> bytes:
    """As Avro writes numbers, of any size."""
    left, out = number << 1 if number >= 0 else (-number << 1) - 1, b""
    while left > 127:
        out += bytes([left & 127 | 128])
        left >>= 7
    return out + bytes([left])


def columns(kind: Any) -> Columns:
    return {"id": ("long", False), "v": (kind, True)}


def message(kind: Any, value: Any, honest: bytes, lie: bytes) -> tuple[RowReader, bytes]:
    """A message with one value, of which some bytes are replaced; they stand in it once."""
    encoder = Encoder(columns(kind))
    whole = encoder.value(Event("c", 1, (1, value))) or b""
    assert whole.count(honest) == 1
    return RowReader(envelope_schema(columns(kind), "cdc.test.customers")), whole.replace(
        honest, lie
    )


def refused(reader: RowReader, *messages: bytes) -> str:
    began_s = time.monotonic()
    with pytest.raises(EnvelopeError) as caught:
        reader.read(list(messages))
    assert time.monotonic() - began_s < BOUND_S
    return str(caught.value)


@pytest.mark.parametrize("claimed", [10_001, 2**40, 2**62, -(2**40), 2**63 - 1])
@pytest.mark.parametrize("items", ["null", {"type": "record", "name": "Empty", "fields": []}])
def test_an_array_of_nothings_cannot_claim_more_than_anybody_means(
    items: Any, claimed: int
) -> None:
    empty: Any = None if items == "null" else {}
    honest = zigzag(1234) + b"\x00"
    size = b"\x00" if claimed < 0 else b""
    reader, lie = message(
        {"type": "array", "items": items}, [empty] * 1234, honest, zigzag(claimed) + size + b"\x00"
    )

    assert "claims" in refused(reader, lie)


def test_an_array_of_nothings_that_is_meant_is_read() -> None:
    kind = {"type": "array", "items": "null"}
    reader, honest = message(kind, [None] * 1234, zigzag(1234), zigzag(1234))

    assert reader.read([honest]).values("after", "v") == [[None] * 1234]


@pytest.mark.parametrize("claimed", [100, 2**31, 2**62])
@pytest.mark.parametrize("kind", ["array", "map"])
def test_what_an_array_or_a_map_claims_is_held_against_its_message(kind: str, claimed: int) -> None:
    honest = (
        zigzag(1) + zigzag(77) + b"\x00" if kind == "array" else zigzag(1) + b"\x02k" + zigzag(77)
    )
    part = {"items": "long"} if kind == "array" else {"values": "long"}
    value: Any = [77] if kind == "array" else {"k": 77}
    reader, lie = message({"type": kind, **part}, value, honest, zigzag(claimed) + honest[1:])

    refused(reader, lie)


@pytest.mark.parametrize("claimed", [2**20, 2**31, 2**62, 2**63 - 1, -1, -(2**63)])
@pytest.mark.parametrize("kind", ["string", "bytes"])
def test_a_length_that_leads_out_of_the_message_is_refused(kind: str, claimed: int) -> None:
    value: Any = "meant" if kind == "string" else b"meant"
    reader, lie = message(kind, value, b"\x0ameant", zigzag(claimed) + b"meant")

    refused(reader, lie, lie)


@pytest.mark.parametrize("operation", ["m", "x", "cr", "", "\x00"])
def test_an_operation_that_is_none_of_a_row_is_not_taken_for_another(operation: str) -> None:
    encoder = Encoder()
    whole = encoder.value(next(iter(inserts(1)))) or b""
    at = whole.rindex(b"\x02c")
    lie = whole[:at] + zigzag(len(operation)) + operation.encode() + whole[at + 2 :]
    reader = RowReader(envelope_schema(encoder.columns, encoder.namespace))

    assert reader.read([whole]).operation.tolist() == [ord("c")]
    assert "is none of a row" in refused(reader, lie)


def test_a_type_that_holds_itself_is_refused_by_name() -> None:
    with pytest.raises(EnvelopeError, match="'Node' holds itself"):
        RowReader(envelope_schema(columns(NODE), "cdc.test.customers"))


def test_a_record_that_two_columns_share_is_no_recursion() -> None:
    point = {"type": "record", "name": "P", "fields": [{"name": "x", "type": "double"}]}
    both: Columns = {"id": ("long", False), "a": (point, True), "b": ("P", True)}
    encoder = Encoder(both)
    whole = encoder.value(Event("c", 1, (1, {"x": 1.0}, {"x": 2.0}))) or b""

    rows = RowReader(envelope_schema(both, encoder.namespace)).read([whole])

    assert rows.values("after", "b") == [{"x": 2.0}]


def test_a_key_cannot_claim_more_than_it_has_either() -> None:
    reader = KeyReader(
        {
            "type": "record",
            "name": "Key",
            "fields": [{"name": "id", "type": {"type": "array", "items": "null"}}],
        }
    )
    began_s = time.monotonic()

    with pytest.raises(EnvelopeError, match="claims"):
        reader.read(bytes(5) + zigzag(2**62) + b"\x00")
    assert time.monotonic() - began_s < BOUND_S


@pytest.mark.parametrize("digits", [4_299, 4_301, 20_000, 131_072])
@pytest.mark.parametrize("sign", [1, -1])
def test_decimals_of_as_many_digits_as_postgres_has_are_exact(digits: int, sign: int) -> None:
    number = sign * (10**digits - 7)
    data = number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)

    assert Decimal(decimal_text(data, 3)) == decimal_value(data, 3)
    assert decimal_text(data, 0).lstrip("-") == "9" * (digits - 1) + "3"


def test_a_decimal_longer_than_any_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than any"):
        decimal_value(b"\x7f" * 1_000_000, 2)


@pytest.mark.parametrize("seed", range(20))
def test_bytes_that_were_changed_anywhere_are_read_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    encoder = Encoder()
    reader = RowReader(envelope_schema(encoder.columns, encoder.namespace))
    honest = [encoder.value(event) or b"" for event in inserts(20)]
    began_s = time.monotonic()
    for _ in range(100):
        lie = bytearray(chance.choice(honest))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(5, len(lie))
            lie[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 10))
        messages = [*chance.sample(honest, 2), bytes(lie)]
        chance.shuffle(messages)
        try:
            rows = reader.read(messages)
        except EnvelopeError:
            continue
        assert len(rows) == 3
    assert time.monotonic() - began_s < BOUND_S * 2
