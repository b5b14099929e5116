"""The probe: the text in every row by which its way is measured and its arrival proved.

One fixed-width ASCII text of 80 bytes, so that a whole batch is parsed as one array. docs/probe.md
has the layout. Numbers are decimal and padded with zeros; the checksum is hexadecimal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

VERSION = "P1"
PROBE_BYTES = 80
LANES_PER_STEP = 10_000
#: A writer's keys are its number times this, plus the sequence that created them.
KEYS_PER_WRITER = 10**8
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
#: The largest transaction whose events can be told apart.
LARGEST_TRANSACTION = 10 ** LAYOUT["size"][1] - 1
_NUMBERS = ("writer", "sequence", "transaction", "index", "size", "key_version", "intended_us")
_OPERATION = LAYOUT["operation"][0]


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

    `writer` is step * 10,000 + lane; `sequence` counts a writer's events from 1 without gaps;
    `transaction`, `index` and `size` place the event in its transaction; `key_version` counts the
    writes of the row's key; `intended_us` is when the schedule wants the row to be written, in wall
    microseconds.
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
        raise ProbeError(
            f"{line[:90]!r} is not a probe: {PROBE_BYTES} characters starting with {VERSION} are"
            " needed"
        )
    parts = {name: line[first : first + width] for name, (first, width) in LAYOUT.items()}
    wrong = [name for name in _NUMBERS if not (parts[name].isascii() and parts[name].isdigit())]
    if parts["operation"] not in tuple(Operation):
        wrong.append("operation")
    if not set(parts["checksum"]) <= _HEXADECIMAL:
        wrong.append("checksum")
    if wrong:
        raise ProbeError(f"{line!r} is not a probe: its {', '.join(wrong)} cannot be read")
    numbers = {name: int(parts[name]) for name in _NUMBERS}
    return Probe(
        run=parts["run"],
        operation=parts["operation"],
        checksum=int(parts["checksum"], 16),
        **numbers,
    )


_HEXADECIMAL = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class ProbeBatch:
    """Many probes as columns of equal length; `valid` is false where a text is no probe of this
    run.
    """

    valid: NDArray[np.bool_]
    writer: NDArray[np.int64]
    sequence: NDArray[np.int64]
    transaction: NDArray[np.int64]
    index: NDArray[np.int64]
    size: NDArray[np.int64]
    key_version: NDArray[np.int64]
    operation: NDArray[np.uint8]
    intended_us: NDArray[np.int64]
    checksum: NDArray[np.int64]

    @property
    def step(self) -> NDArray[np.int64]:
        """Each probe's step."""
        return self.writer // LANES_PER_STEP

    def __len__(self) -> int:
        return len(self.valid)

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> ProbeBatch:
        """Some of the rows, as a batch."""
        return ProbeBatch(*(getattr(self, column.name)[rows] for column in fields(self)))

    def with_rows(self, rows: Mapping[int, ProbeBatch]) -> ProbeBatch:
        """The batch, with the rows of these numbers replaced by the single row of another batch."""
        columns = [getattr(self, column.name).copy() for column in fields(self)]
        for row, other in rows.items():
            for column, item in zip(columns, fields(self), strict=True):
                column[row] = getattr(other, item.name)[0]
        return ProbeBatch(*columns)

    def after_deletes(self, deleted: NDArray[np.bool_]) -> ProbeBatch:
        """The batch with each delete as an event of its own.

        A delete event carries the probe of the row that it removes: that of the stamp just before
        it, in the same transaction. So the delete itself is one sequence, one index and one version
        further. A row that was deleted without a stamp gives no number for its delete, which is
        then not valid.
        """
        stamped = self.operation == _STAMP
        shift = (deleted & stamped).astype(np.int64)
        return ProbeBatch(
            valid=self.valid & (stamped | ~deleted),
            writer=self.writer,
            sequence=self.sequence + shift,
            transaction=self.transaction,
            index=self.index + shift,
            size=self.size,
            key_version=self.key_version + shift,
            operation=np.where(deleted, _DELETE, self.operation),
            intended_us=self.intended_us,
            checksum=self.checksum,
        )


_STAMP = np.uint8(ord(Operation.STAMP))
_DELETE = np.uint8(ord(Operation.DELETE))
_NOTHING = bytes(PROBE_BYTES)


def parse_probes(texts: Sequence[bytes], run: str) -> ProbeBatch:
    """Read many probes at once; probes of other runs and other texts become invalid rows, never
    errors.
    """
    if not texts:  # numpy cannot make a strided view of an empty buffer
        return parse_probes([_NOTHING], run)[np.empty(0, dtype=np.int64)]
    if not set(map(len, texts)) <= {PROBE_BYTES}:
        texts = [text if len(text) == PROBE_BYTES else _NOTHING for text in texts]
    joined = b"".join(texts)
    count = len(texts)
    table = np.frombuffer(joined, dtype=np.uint8).reshape(count, PROBE_BYTES)
    words, valid = _decimals(joined, count)
    valid &= (_text(joined, count, 0) == _HEAD) & (
        _text(joined, count, 2) == np.frombuffer(f"{run:8}".encode(), "<u8")
    )
    checksum, readable = _hexadecimal(joined, table, count)
    valid &= readable & _IS_OPERATION[table[:, _OPERATION]]
    (
        writer,
        sequence_high,
        sequence,
        transaction_high,
        transaction,
        index,
        size,
        key_version,
        us_high,
        us,
    ) = words
    return ProbeBatch(
        valid=valid,
        writer=writer,
        sequence=sequence_high * 10**8 + sequence,
        transaction=transaction_high * 10**8 + transaction,
        index=index,
        size=size,
        key_version=key_version,
        operation=table[:, _OPERATION],
        intended_us=us_high * 10**8 + us,
        checksum=checksum,
    )


# Eight characters are read as one 64-bit number, which three multiplications turn into its value
# for all rows at once; int() would take one call for each field of each row. A field of more than
# eight digits is two such words. Each word is (end of the field's part, its digits).
_WORDS = ((17, 7), (19, 2), (27, 8), (29, 2), (37, 8), (42, 5), (47, 5), (55, 8), (64, 8), (72, 8))
_KEEP = np.array(
    [(2**64 - 1) << (64 - 8 * digits) & (2**64 - 1) for _, digits in _WORDS], dtype=np.uint64
)[:, None]
_ZEROS = np.uint64(0x3030303030303030)
_ABOVE_NINE = np.uint64(0x7676767676767676)
_TOP_BITS = np.uint64(0x8080808080808080)
_IS_OPERATION = np.isin(np.arange(256), [ord(operation) for operation in Operation])
_IS_HEXADECIMAL = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdef", dtype=np.uint8))


def _text(joined: bytes, count: int, offset: int) -> NDArray[np.uint64]:
    """Eight characters of every row as one number; at offset 0 only the first two."""
    kind = "<u2" if offset == 0 else "<u8"
    return np.ndarray((count,), kind, joined, offset, (PROBE_BYTES,))


_HEAD = np.frombuffer(VERSION.encode(), dtype="<u2")


def _decimals(joined: bytes, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The value of each decimal word, and which rows have digits only."""
    words = np.empty((len(_WORDS), count), dtype=np.uint64)
    for number, (end, _) in enumerate(_WORDS):
        words[number] = _text(joined, count, end - 8)
    words ^= _ZEROS
    words &= _KEEP
    valid: NDArray[np.bool_] = np.all(((words + _ABOVE_NINE) | words) & _TOP_BITS == 0, axis=0)
    words = (words * np.uint64(10) + (words >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    words = (words * np.uint64(100) + (words >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    words = (words * np.uint64(10_000) + (words >> np.uint64(32))) & np.uint64(0x00000000FFFFFFFF)
    return words.view(np.int64), valid


def _hexadecimal(
    joined: bytes, table: NDArray[np.uint8], count: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The checksums' values, and which rows have hexadecimal digits only."""
    first = LAYOUT["checksum"][0]
    words = _text(joined, count, first)
    nibbles = (words & np.uint64(0x0F0F0F0F0F0F0F0F)) + np.uint64(9) * (
        (words >> np.uint64(6)) & np.uint64(0x0101010101010101)
    )
    pairs = ((nibbles << np.uint64(4)) | (nibbles >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    quads = ((pairs << np.uint64(8)) | (pairs >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    whole = ((quads << np.uint64(16)) | (quads >> np.uint64(32))) & np.uint64(0x00000000FFFFFFFF)
    valid: NDArray[np.bool_] = np.all(_IS_HEXADECIMAL[table[:, first:]], axis=1)
    return whole.view(np.int64), valid
