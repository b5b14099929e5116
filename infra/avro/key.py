"""Reads the keys of Debezium's Avro records, each by its own writer schema."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import fastavro
import numpy as np
from numpy.typing import NDArray

from infra.avro.kind import ColumnKind
from infra.avro.octets import Octets
from infra.avro.walk import AvroSchema, declared_column
from infra.schemas.debezium import AvroDefinition
from infra.schemas.envelope import HEADER_BYTES, EnvelopeError, key_id

#: The bytes of a number of 64 bits at most.
LONGEST_NUMBER = 10
_HEAD = np.uint64((1 << 40) - 1)
NO_KEY = np.uint64(2**64 - 1)


class KeyReader:
    """Reads record keys of one writer schema; raises EnvelopeError if the schema is no record."""

    def __init__(self, schema: AvroDefinition) -> None:
        if schema.get("type") != "record":
            raise EnvelopeError(
                f"key schema {schema.get('name', schema.get('type'))!r} is no record; use"
                " Debezium's keys"
            )
        parsed = AvroSchema(schema)
        self.columns = tuple(
            declared_column(parsed, item["name"], item["type"]) for item in schema["fields"]
        )
        self._schema = fastavro.parse_schema(dict(schema))
        step = parsed.step(schema)
        nested = any(column.kind is ColumnKind.OTHER for column in self.columns)
        # fastavro would believe an array that claims 2**62 items, and create them.
        self._walk = step if nested else None

    def read(self, message: bytes) -> tuple[Any, ...]:
        """The key's values in column order; raises EnvelopeError for bytes of another schema."""
        try:
            if self._walk is not None:
                octets = Octets([message])
                self._walk(octets, octets.begin + HEADER_BYTES)
            found: Any = fastavro.schemaless_reader(
                io.BytesIO(message[HEADER_BYTES:]), self._schema, None
            )
        except (EOFError, IndexError, ValueError, UnicodeDecodeError) as error:
            raise EnvelopeError(f"the key is not of its schema: {error}") from error
        return tuple(found[column.name] for column in self.columns)


def key_octets(messages: Sequence[bytes | None]) -> Octets:
    """The keys of many records as one `Octets`; a missing key is an empty message."""
    return Octets([message or b"" for message in messages])


def key_heads(octets: Octets) -> NDArray[np.uint64]:
    """For each key a number that only keys of the same writer schema have; NO_KEY for a missing
    key. Shape (keys,), uint64.
    """
    # Magic byte and schema id are the first five of eight bytes, so one mask compares schemas for
    # all records; the slow way would slice each key into an object.
    heads = octets.eights[octets.begin] & _HEAD
    return np.where(octets.end - octets.begin >= HEADER_BYTES, heads, NO_KEY)


def key_ids(keys: Octets) -> NDArray[np.int64]:
    """`key_id` of many keys at once: shape (keys,), int64."""
    at, end = keys.begin + HEADER_BYTES, keys.end
    found, plain = np.zeros(len(at), dtype=np.int64), np.zeros(len(at), dtype=np.bool_)
    whole = at < end
    # Most keys are a single whole number, and these are read by columns. Such a key is recognised
    # by its end: the varint ends where the key ends. All other keys are read one by one, the slow
    # way.
    ends = keys.after_numbers(at[whole])
    plain[whole] = (ends == end[whole]) & (ends - at[whole] <= LONGEST_NUMBER)
    found[plain] = keys.numbers(at[plain])[0]
    for row in np.flatnonzero(~plain).tolist():
        found[row] = key_id(keys.bytes[keys.begin[row] : keys.end[row]])
    return found
