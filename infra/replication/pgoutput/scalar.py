"""Single values that are no dates: each from its text or from its binary form.

All raise ValueError or ArithmeticError for what is not of the type. For the binary forms the
`*send` functions of src/backend/utils/adt in PostgreSQL's source.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np


def truth(text: str) -> bool:
    """bool as text: t or f."""
    if text not in ("t", "f"):
        raise ValueError(f"{text!r} is no boolean")
    return text == "t"


def truth_binary(value: bytes) -> bool:
    """boolsend: one byte."""
    if value not in (b"\0", b"\1"):
        raise ValueError(f"{value!r} is no boolean")
    return value == b"\1"


def integer(size: int) -> Callable[[bytes], int]:
    """int2send, int4send, int8send: so many bytes, the highest first, with a sign."""

    def convert(value: bytes) -> int:
        if len(value) != size:
            raise ValueError(f"{len(value)} bytes, not {size}")
        return int.from_bytes(value, "big", signed=True)

    return convert


def unpacker(layout: str) -> Callable[[bytes], Any]:
    """One value of a layout of `struct`."""
    # Compiled once for a type. `struct.unpack` with a text would look its layout up each time.
    unpack = struct.Struct(layout)

    def convert(value: bytes) -> Any:
        if len(value) != unpack.size:
            raise ValueError(f"{len(value)} bytes, not {unpack.size}")
        return unpack.unpack(value)[0]

    return convert


def single(value: bytes) -> float:
    """The double that is written like this float4, which is what its text gives; not the one of
    equal value.
    """
    if len(value) != 4:
        raise ValueError(f"{len(value)} bytes, not 4")
    # float(numpy.float32) would give 0.10000000149011612 for 0.1; its shortest text is what the
    # server's text format has, so both formats lead to one value.
    return float(str(np.frombuffer(value, ">f4")[0]))


def json_value(text: str | bytes) -> Any:
    """json in either form: it is text in both."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply for Python") from error


def string(value: bytes) -> str:
    """textsend and its like."""
    return str(value, "utf-8")


def bytea(text: str) -> bytes:
    """bytea as text in hex format."""
    if not text.startswith("\\x"):
        raise ValueError("bytea is not in hex format; set bytea_output to hex")
    return bytes.fromhex(text[2:])


def jsonb_value(value: bytes) -> Any:
    """jsonb_send: a version, then the text."""
    if value[:1] != b"\1":
        raise ValueError("jsonb is not of version 1")
    return json_value(value[1:])


_SPECIAL = {0xC000: Decimal("NaN"), 0xD000: Decimal("Infinity"), 0xF000: Decimal("-Infinity")}


def numeric(value: bytes) -> Decimal:
    """numeric_send: number of digits of base 10,000, weight of the first, sign, scale, digits."""
    if len(value) < 8 or len(value) % 2:
        raise ValueError(f"{len(value)} bytes are no numeric")
    count, weight, sign, scale = struct.unpack_from(">HhHH", value)
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if len(value) != 8 + 2 * count or sign not in (0, 0x4000):
        raise ValueError(f"{len(value)} bytes with sign {sign:#x} are no numeric")
    # Gathered as one whole number and scaled once: exact, where a sum of Decimals would be rounded
    # to the context's 28 digits.
    number = 0
    for digit in struct.unpack_from(f">{count}H", value, 8):
        number = number * 10_000 + digit
    exponent = 4 * (weight - count + 1) + scale if count else 0
    # The digits may go on beyond the scale by zeros (base 10,000): those are cut off.
    number = number * 10**exponent if exponent >= 0 else number // 10**-exponent
    return Decimal((1 if sign else 0, tuple(map(int, str(number))), -scale))
