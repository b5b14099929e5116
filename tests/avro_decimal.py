"""Decimals as Debezium writes them, for tests that set its bytes beside fastavro's.

Java's BigInteger.toByteArray gives the shortest two's complement; fastavro takes a byte more for
the least number of each length, such as -128. Both are read alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from fastavro.write import LOGICAL_WRITERS

_FASTAVROS = LOGICAL_WRITERS["bytes-decimal"]


@contextmanager
def shortest_decimals() -> Iterator[None]:
    """Have fastavro write decimals in the shortest form."""
    with mock.patch.dict(LOGICAL_WRITERS, {"bytes-decimal": _shortest}):
        yield


def _shortest(value: Any, schema: dict[str, Any]) -> bytes:
    data: bytes = _FASTAVROS(value, schema)
    number = int.from_bytes(data, "big", signed=True)
    while number == int.from_bytes(data[1:], "big", signed=True) and len(data) > 1:
        data = data[1:]
    return data
