"""The outer parts of Debezium's messages: Confluent's header, and a key as a number.
`infra.avro.row` reads the inner parts.
"""

from __future__ import annotations

import re
import struct

#: Confluent's wire format: a zero, then the schema's id in four bytes.
HEADER = struct.Struct(">bI")
HEADER_BYTES = HEADER.size


class EnvelopeError(ValueError):
    """A message or schema that is no Debezium envelope; the message has the reason."""


def schema_id(message: bytes) -> int:
    """The id in a message's header; raises EnvelopeError if there is none."""
    if len(message) < HEADER_BYTES or message[0] != 0:
        raise EnvelopeError(
            "the message is not in Confluent's wire format: it does not start with a zero and an id"
        )
    return int(HEADER.unpack_from(message)[1])


def key_id(message: bytes | None) -> int:
    """A number for a record's key: the key itself if it is one integer column, otherwise a hash of
    its bytes.

    Two rows of one table never share a number in the first case, and practically never in the
    second.
    """
    if not message:
        return 0
    value = shift = 0
    for position in range(HEADER_BYTES, len(message)):
        byte = message[position]
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            if position == len(message) - 1 and shift <= 70:
                return (value >> 1) ^ -(value & 1)
            break
    return hash(message) >> 1


def is_probe_column(name: str) -> bool:
    """Whether a column name may be given on the command line: a plain identifier."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", name) is not None
