"""Inserts in bulk: the records that a writer and the encoder would make, several times faster.

A load of inserts is what fills a topic at full speed, and its rows follow from their keys alone.
So a record is one text with its key, its stamps and its times patched in, encoded once (Latin-1,
where a character is a byte). A test holds every byte against `workload.Writer` and
`infra.avro.encoder`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from cdc_users.measure.ledger.probe import PROBE_BYTES, VERSION
from cdc_users.users.producer.added_column import Widening
from cdc_users.users.producer.in_flight import Flight, FlightRecord, PipelinedWriter
from cdc_users.users.producer.record import Outlet
from cdc_users.users.workload.customer import FIRST_NAMES, LAST_NAMES
from cdc_users.users.workload.workload import KEYS_PER_WRITER, Writer
from infra.avro.encoder import encode_long, encode_text, encode_varint

_LOW = 14
_MASK = (1 << _LOW) - 1


def _bytes_as_text(data: bytes) -> str:
    return data.decode("latin-1")


def _canonical(value: str) -> str:
    """A text in the form that the checksum covers (measure.ledger.checksum.canonical)."""
    data = value.encode()
    return f"t{len(data)}:{_bytes_as_text(data)};"


def _avro(value: str) -> str:
    return _bytes_as_text(encode_text(value))


def _long(number: int) -> str:
    return _bytes_as_text(encode_long(number))


#: Two bytes of a varint that are not its last ones: both have the continuation bit (128).
_GOING_ON = [chr(number & 127 | 128) + chr(number >> 7 | 128) for number in range(1 << _LOW)]
_NAMES = [
    (_avro(first) + _avro(last), _canonical(first) + _canonical(last))
    for last in LAST_NAMES
    for first in FIRST_NAMES
]
_SOME = "\x02"
#: The head of a nullable number of this many bytes: the union's branch and the length.
_BALANCE_HEAD = [_SOME + chr(2 * count) for count in range(5)]
_PHONE_HEAD = _SOME + _avro("+49 30 1234567")[0]
_CREATED_HEAD = _avro("2026-01-01T00:00:00.000000Z")[0]
_PROBE_HEAD = _SOME + _long(PROBE_BYTES)


def _balance(key: int) -> tuple[str, str]:
    """A new row's balance, as Avro and as the checksum's text."""
    cents = key * 37 % 10_000_000
    whole, rest = divmod(cents, 100)
    size = cents.bit_length() // 8 + 1
    number = cents.to_bytes(size, "big").decode("latin-1")
    digits = f"{whole}.{rest:02d}" if rest % 10 else f"{whole}.{rest // 10}" if rest else f"{whole}"
    return f"{_BALANCE_HEAD[size]}{number}", f"d{digits};"


def _note(text: str | None) -> tuple[str, str]:
    """A new row's notes, as Avro and as the checksum's text."""
    return ("\x00", "n;") if text is None else (_SOME + _avro(text), _canonical(text))


class Insertion:
    """Makes one writer's inserts, for topics whose schema is that of `customers` in the schema
    files.
    """

    def __init__(self, writer: PipelinedWriter, run: str) -> None:
        self.writer = writer
        self.tables = writer.workload.tables
        self.base = writer.number * KEYS_PER_WRITER
        self.stamp = f"{_PROBE_HEAD}{VERSION}{run:8}{writer.number:07d}"
        # Notes depend only on whether the key is odd.
        examples = Writer(run, writer.number, writer.workload).transaction(2, 0).changes
        notes = {change.key % 2: change.row[-2] for change in examples if change.row is not None}
        self.notes = tuple(
            (
                ("\x00", "n;")
                if (note := notes[odd]) is None
                else (_SOME + _avro(note), _canonical(note))
            )
            for odd in (0, 1)
        )
        self._second = -1
        self._second_text = ""

    def created(self, intended_us: int) -> str:
        """The column created_at."""
        second, rest = divmod(intended_us, 1_000_000)
        if second != self._second:
            self._second = second
            self._second_text = _CREATED_HEAD + datetime.fromtimestamp(second, UTC).strftime(
                "%Y-%m-%dT%H:%M:%S."
            )
        return f"{self._second_text}{rest:06d}Z"


class _Texts:
    """The parts that all records of one outlet share within one push."""

    __slots__ = (
        "after_lsn",
        "after_sequence",
        "after_transaction",
        "head",
        "key_head",
        "outlet",
        "source",
    )

    def __init__(self, outlet: Outlet) -> None:
        encoder, moment = outlet.encoder, outlet.moment
        self.outlet = outlet
        self.key_head = _bytes_as_text(encoder.key_head)
        #: The envelope's head: no row before, one row after.
        self.head = _bytes_as_text(encoder.value_head) + "\x00" + _SOME
        self.source = _bytes_as_text(moment.source)
        self.after_sequence = _bytes_as_text(moment.after_sequence)
        self.after_transaction = _bytes_as_text(moment.after_transaction)
        self.after_lsn = _bytes_as_text(
            moment.after_lsn + encode_text("c") + moment.after_operation
        )


class InsertFlight(Flight):
    """A flight of transactions of `size` inserts each; `intended_us` is `intended_ns` as
    wall time.
    """

    __slots__ = ("_insertion", "_intended_us", "_number", "_size")

    def __init__(
        self,
        insertion: Insertion,
        size: int,
        intended_ns: NDArray[np.int64],
        intended_us: NDArray[np.int64],
        owner: Any = None,
    ) -> None:
        super().__init__(owner)
        count = len(intended_ns) * size
        self._insertion = insertion
        self._size = size
        self._number, self.first = insertion.writer.reserve(len(intended_ns), size)
        self._intended_us: list[int] = intended_us.tolist()
        self.starts = range(0, count, size)
        self.intended_ns = np.repeat(intended_ns, size).tolist()
        self.done_ns = [0] * count

    @override
    def records(
        self, outlets: Sequence[Outlet], lsns: Iterator[int], widening: Widening | None
    ) -> Iterator[FlightRecord]:
        assert widening is None, "rows with an added column are made one by one"
        insertion, size, intended_us = self._insertion, self._size, self._intended_us
        texts = [_Texts(outlet) for outlet in outlets]
        tables, notes, stamp = insertion.tables, insertion.notes, insertion.stamp
        high_number, high = -1, ""
        for index in range(self.sent, len(self)):
            arrival, place = divmod(index, size)
            us, sequence, number = intended_us[arrival], self.first + index, self._number + arrival
            key, lsn = insertion.base + sequence, next(lsns)
            if (zigzag := key << 1) >> 2 * _LOW != high_number:
                high_number = zigzag >> 2 * _LOW
                high = _bytes_as_text(encode_varint(high_number))
            varint = f"{_GOING_ON[zigzag & _MASK]}{_GOING_ON[zigzag >> _LOW & _MASK]}{high}"
            names, names_told = _NAMES[key % 100]
            note, note_told = notes[key & 1]
            phone, phone_told = "\x00", "n;"
            if key % 3:
                digits = f"+49 30 {key % 10_000_000:07d}"
                phone, phone_told = f"{_PHONE_HEAD}{digits}", f"t14:{digits};"
            balance, balance_told = _balance(key) if key % 5 else ("\x00", "n;")
            email = f"customer-{key}@example.test"
            row_text = (
                f"{key};1;{names_told}t{len(email)}:{email};"
                f"{phone_told}{balance_told}z{us};{note_told}"
            )
            code = zlib.crc32(row_text.encode("latin-1"))
            text = texts[key % tables]
            position = f'{_SOME}{chr(4 * len(str(lsn)) + 14)}["{lsn}","{lsn}"]'
            value = (
                f"{text.head}{varint}{names}{chr(2 * len(email))}{email}"
                f"{phone}{balance}{insertion.created(us)}{note}"
                f"{stamp}{sequence:010d}{number:010d}{place:05d}{size:05d}00000001i{us:016d}{code:08x}"
                f"{text.source}{position}{text.after_sequence}{_long(number)}{text.after_transaction}{_long(lsn)}"
                f"{text.after_lsn}"
            )
            yield text.outlet, f"{text.key_head}{varint}".encode("latin-1"), value.encode("latin-1")
