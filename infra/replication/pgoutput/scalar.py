"""Single values other than dates, each from its text or its binary form.

All functions raise ValueError or ArithmeticError for input that is not of the type. For the binary
forms see the `*send` functions of src/backend/utils/adt in PostgreSQL's source.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np


def truth(text: str) -> bool:
    """A bool from its text: t or f."""
    if text not in ("t", "f"):
        raise ValueError(f"{text!r} is no boolean")
    return text == "t"


def truth_binary(value: bytes) -> bool:
    """A bool from boolsend: one byte."""
    if value not in (b"\0", b"\1"):
        raise ValueError(f"{value!r} is no boolean")
    return value == b"\1"


def integer(size: int) -> Callable[[bytes], int]:
    """A function for int2send, int4send, int8send: `size` bytes, big-endian, signed."""

    def convert(value: bytes) -> int:
        if len(value) != size:
            raise ValueError(f"{len(value)} bytes, not {size}")
        return int.from_bytes(value, "big", signed=True)

    return convert


def unpacker(layout: str) -> Callable[[bytes], Any]:
    """A function for one value of a `struct` layout."""
    # Compiled once for each type; `struct.unpack` with a text would look up the layout each time.
    unpack = struct.Struct(layout)

    def convert(value: bytes) -> Any:
        if len(value) != unpack.size:
            raise ValueError(f"{len(value)} bytes, not {unpack.size}")
        return unpack.unpack(value)[0]

    return convert


def single(value: bytes) -> float:
    """The double with the same shortest text as this float4, so that text and binary form give one
    value; not the double of equal value.
    """
    if len(value) != 4:
        raise ValueError(f"{len(value)} bytes, not 4")
    # float(numpy.float32) would give 0.10000000149011612 for 0.1. The server's text format has the
    # shortest text, so its double is taken here too.
    return float(str(np.frombuffer(value, ">f4")[0]))


def json_value(text: str | bytes) -> Any:
    """A json value; both forms are text."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply for Python") from error


def string(value: bytes) -> str:
    """A text from textsend and similar functions."""
    return str(value, "utf-8")


def bytea(text: str) -> bytes:
    """A bytea from its text in hex format."""
    if not text.startswith("\\x"):
        raise ValueError("bytea is not in hex format; set bytea_output to hex")
    return bytes.fromhex(text[2:])


def jsonb_value(value: bytes) -> Any:
    """A jsonb from jsonb_send: a version, then the text."""
    if value[:1] != b"\1":
        raise ValueError("jsonb is not of version 1")
    return json_value(value[1:])


_SPECIAL = {0xC000: Decimal("NaN"), 0xD000: Decimal("Infinity"), 0xF000: Decimal("-Infinity")}


def numeric(value: bytes) -> Decimal:
    """A numeric from numeric_send: the number of base-10,000 digits, the first one's weight, sign,
    scale, digits.
    """
    if len(value) < 8 or len(value) % 2:
        raise ValueError(f"{len(value)} bytes are no numeric")
    count, weight, sign, scale = struct.unpack_from(">HhHH", value)
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if len(value) != 8 + 2 * count or sign not in (0, 0x4000):
        raise ValueError(f"{len(value)} bytes with sign {sign:#x} are no numeric")
    # Collected as text, which is exact: a sum of Decimals would be rounded to the context's 28
    # digits. A text has any length: Python refuses to print an integer of more than 4,300 digits.
    digits = "".join([f"{digit:04d}" for digit in struct.unpack_from(f">{count}H", value, 8)])
    exponent = 4 * (weight - count + 1) + scale if count else 0
    # Base-10,000 digits may go beyond the scale by zeros, which are cut off.
    digits = digits + "0" * exponent if exponent >= 0 else digits[:exponent]
    return Decimal(f"{'-' if sign else ''}{digits or '0'}E-{scale}")
