"""The probe: what every row carries so that its way can be measured and its arrival proved.

One fixed-width ASCII text of 80 bytes, so that a whole batch is parsed as one array. docs/probe.md has the layout.
Numbers are decimal and padded with zeros; the checksum is hexadecimal.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = "P1"
PROBE_BYTES = 80
LANES_PER_STEP = 10_000
#: Field names with their first byte and width, in order.
LAYOUT = {
    "run": (2, 8),
    "writer": (10, 7),
    "sequence": (17, 10),
    "transaction": (27, 10),
    "index": (37, 5),
    "size": (42, 5),
    "key_version": (47, 8),
    "operation": (55, 1),
    "intended_us": (56, 16),
    "checksum": (72, 8),
}
_NUMBERS = ("writer", "sequence", "transaction", "index", "size", "key_version", "intended_us")


class ProbeError(ValueError):
    """Text that is not a probe; the message says what is wrong with it."""


class Operation(StrEnum):
    """What a row's writer did: insert, update, delete, stamp (just before a delete), fence."""

    INSERT = "i"
    UPDATE = "u"
    DELETE = "d"
    STAMP = "s"
    FENCE = "f"


@dataclass(frozen=True, slots=True)
class Probe:
    """One row's probe.

    `writer` is step * 10,000 + lane; `sequence` counts a writer's events from 1 without gaps; `transaction`,
    `index` and `size` place the event in its transaction; `key_version` counts the writes of the row's key;
    `intended_us` is when the plan meant the row to be written, wall microseconds.
    """

    run: str
    writer: int
    sequence: int
    transaction: int
    index: int
    size: int
    key_version: int
    operation: str
    intended_us: int
    checksum: int


def format_probe(probe: Probe) -> str:
    """The probe as text."""
    return (
        f"{VERSION}{probe.run:8}{probe.writer:07d}{probe.sequence:010d}{probe.transaction:010d}{probe.index:05d}"
        f"{probe.size:05d}{probe.key_version:08d}{probe.operation}{probe.intended_us:016d}{probe.checksum:08x}"
    )


def parse_probe(text: str | bytes) -> Probe:
    """Read one probe; raises ProbeError."""
    line = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    if len(line) != PROBE_BYTES or not line.startswith(VERSION):
        raise ProbeError(f"{line[:90]!r} is not a probe: {PROBE_BYTES} characters starting with {VERSION} are needed")
    parts = {name: line[first : first + width] for name, (first, width) in LAYOUT.items()}
    try:
        numbers = {name: int(parts[name]) for name in _NUMBERS}
        return Probe(run=parts["run"], operation=parts["operation"], checksum=int(parts["checksum"], 16), **numbers)
    except ValueError as error:
        raise ProbeError(f"{line!r} is not a probe: {error}") from error


@dataclass(frozen=True, slots=True)
class ProbeBatch:
    """Many probes as columns of equal length; `valid` is false where the text is no probe of this run."""

    valid: NDArray[np.bool_]
    writer: NDArray[np.int64]
    sequence: NDArray[np.int64]
    key_version: NDArray[np.int64]
    operation: NDArray[np.uint8]
    intended_us: NDArray[np.int64]

    @property
    def step(self) -> NDArray[np.int64]:
        """Each probe's step."""
        return self.writer // LANES_PER_STEP


def parse_probes(texts: Sequence[bytes], run: str) -> ProbeBatch:
    """Read many probes at once; those of other runs and other texts come out as not valid, never as errors."""
    whole = [text if len(text) == PROBE_BYTES else bytes(PROBE_BYTES) for text in texts]
    table = np.frombuffer(b"".join(whole), dtype=np.uint8).reshape(len(whole), PROBE_BYTES)
    head = np.frombuffer((VERSION + f"{run:8}").encode("ascii"), dtype=np.uint8)
    valid = (table[:, : len(head)] == head).all(axis=1)
    columns = {name: _number(table, valid, *LAYOUT[name]) for name in _NUMBERS}
    return ProbeBatch(
        valid=valid,
        writer=columns["writer"],
        sequence=columns["sequence"],
        key_version=columns["key_version"],
        operation=table[:, LAYOUT["operation"][0]],
        intended_us=columns["intended_us"],
    )


def _number(table: NDArray[np.uint8], valid: NDArray[np.bool_], first: int, width: int) -> NDArray[np.int64]:
    digits = table[:, first : first + width].astype(np.int64) - ord("0")
    valid &= ((digits >= 0) & (digits <= 9)).all(axis=1)
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    numbers: NDArray[np.int64] = digits @ powers
    return numbers


def canonical(value: Any) -> bytes:
    """One value as bytes that are the same whatever carried it; lengths stand before text, so nothing runs together."""
    if value is None:
        return b"n;"
    if isinstance(value, str):
        data = value.encode()
        return b"t%d:%s;" % (len(data), data)
    if isinstance(value, bool):
        return b"b1;" if value else b"b0;"
    if isinstance(value, int):
        return b"d%d;" % value
    if isinstance(value, Decimal):
        return f"d{value.normalize() + 0:f};".encode()
    if isinstance(value, datetime):
        return b"z%d;" % _microseconds(value)
    if isinstance(value, bytes):
        return b"x%d:%s;" % (len(value), value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _microseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def checksum(key: int, key_version: int, columns: Iterable[Any]) -> int:
    """CRC-32 over key, version and the other columns in table order, without the probe."""
    return zlib.crc32(b"%d;%d;" % (key, key_version) + b"".join(map(canonical, columns)))
