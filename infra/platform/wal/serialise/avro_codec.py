"""How the compiled reader of messages turns a column's text into Avro."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from infra.avro.encoder import encode_bytes, encode_long, encode_unscaled, encoder
from infra.avro.kind import PLACEHOLDER
from infra.platform.wal.serialise.avro_value import WRITERS, write_array
from infra.replication.pgoutput.event import UNCHANGED
from infra.replication.pgoutput.tuple_reader import Codec

_SHORTEST = 256
_STRING, _LONG = "string", "long"
#: Item types whose arrays have a form for a value that was not sent.
_PLAIN_ITEMS = ("string", "bytes")


def codec_of(schema: Any, position: int) -> Codec:
    """The codec of a field of this type, from Postgres's text; raises ValueError for other
    types.
    """
    nullable = isinstance(schema, list)
    branch = b""
    if isinstance(schema, list):
        if len(schema) != 2 or "null" not in schema:
            raise ValueError(
                f"a union of {len(schema)} branches is not written here; null and one other are"
            )
        null = schema.index("null")
        branch, schema = encode_long(1 - null), schema[1 - null]
    lengths, convert = f"len{position}", f"write{position}"
    # A short text's branch and length are looked up together by the length, so no varint is encoded
    # for a value. The reader's fast path has lengths of one byte only, so 256 entries suffice.
    prefixes = [branch + encode_long(length) for length in range(_SHORTEST)]
    write = _writer(schema, branch)
    names = {lengths: prefixes, convert: write}
    null_expression = "NONE" if nullable else f"missing({position})"

    def text(value: bytes) -> bytes:
        return write(str(value, "utf-8"))

    unchanged: Any = UNCHANGED
    if (placeholder := _placeholder(schema)) is not None:
        unchanged = branch + placeholder
    # ASCII is UTF-8 and needs no check. Other texts are decoded once as a check, and their own
    # bytes are sent.
    if schema == _STRING:
        ascii_expression, utf8 = f"{lengths}[p - a] + b[a:p]", f"{lengths}[p - a] + checked(b[a:p])"
    elif schema == _LONG:
        ascii_expression = utf8 = (
            "long(int(b[a:p]))" if not branch else f"{branch!r} + long(int(b[a:p]))"
        )
    else:
        ascii_expression, utf8 = f"{convert}(s[a:p])", f"{convert}(str(b[a:p], 'utf-8'))"
    return Codec(ascii_expression, utf8, text, _refused, names, null_expression, unchanged)


def _writer(schema: Any, branch: bytes) -> Callable[[str], bytes]:
    """A function from a value's text to its Avro bytes, with the union's branch in front."""
    if isinstance(schema, Mapping) and schema.get("logicalType") == "decimal":
        return _decimal(int(schema["scale"]), encoder(schema), branch)
    kind = schema["type"] if isinstance(schema, Mapping) else schema
    if kind == "array":
        nothing, one = schema["items"]
        assert nothing == "null", "items may be NULL"
        items = write_array(_writer(one, encode_long(1)), encode_long(0))
        return lambda text: branch + items(text)
    name = schema.get("connect.name", kind) if isinstance(schema, Mapping) else schema
    write = WRITERS.get(name) or WRITERS.get(kind)
    if write is None:
        raise ValueError(f"Avro type {schema!r} is not written here")
    return lambda text: branch + write(text)


def _decimal(scale: int, encode: Callable[[Any], bytes], branch: bytes) -> Callable[[str], bytes]:
    def write(text: str) -> bytes:
        whole, _, fraction = text.partition(".")
        digits = whole + fraction
        # Postgres always writes numeric(p, s) with s decimal digits, so the text without its point
        # is the unscaled number. Decimal would give the same result more slowly; other texts go
        # there.
        if len(fraction) == scale and digits.removeprefix("-").isdigit():
            return branch + encode_unscaled(int(digits))
        return branch + encode(Decimal(text))

    return write


def checked(value: bytes) -> bytes:
    """The bytes of a text; raises UnicodeDecodeError if they are not UTF-8."""
    str(value, "utf-8")
    return value


def missing(position: int) -> bytes:
    """Called for a NULL that the schema forbids; raises ValueError."""
    raise ValueError(f"column {position} is NULL, but its schema allows none")


def _refused(value: bytes) -> Any:
    raise ValueError(
        f"{len(value)} bytes in binary form; Avro is made of text: leave the option `binary` off"
    )


def has_placeholder(schema: Any) -> bool:
    """Whether a field of this type has a form for a value that was not sent."""
    if isinstance(schema, list):
        schema = next(branch for branch in schema if branch != "null")
    return _placeholder(schema) is not None


def _placeholder(schema: Any) -> bytes | None:
    """The Avro bytes, without the union's branch, that stand for a value of this type that was not
    sent, in Debezium's form (infra/avro/placeholder.py); None if there is no such form.
    """
    kind = schema["type"] if isinstance(schema, Mapping) else schema
    if kind in ("string", "bytes"):
        known = schema == kind or "logicalType" not in schema
        return encode_bytes(PLACEHOLDER.encode()) if known else None
    if kind == "array" and schema["items"][1] in _PLAIN_ITEMS:
        # One item, of the second branch.
        return b"\x02\x02" + encode_bytes(PLACEHOLDER.encode()) + b"\x00"
    return None
