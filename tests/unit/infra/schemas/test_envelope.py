"""The head of messages, and keys as numbers."""

from __future__ import annotations

import io
import struct

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.schemas.envelope import EnvelopeError, key_id, schema_id

HEAD = struct.pack(">bI", 0, 7)
longs = st.integers(-(2**63), 2**63 - 1)


@given(longs)
def test_an_integer_key_is_its_own_number(key: int) -> None:
    out = io.BytesIO()
    schema = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}
    fastavro.schemaless_writer(out, schema, {"id": key})

    assert key_id(HEAD + out.getvalue()) == key


@pytest.mark.parametrize("message", [b"", b"{}", b"\x01\x00\x00\x00\x07"])
def test_another_wire_format_is_refused(message: bytes) -> None:
    with pytest.raises(EnvelopeError, match="wire format"):
        schema_id(message)
