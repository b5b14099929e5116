"""Rows of `customers`: realistic, the same for the same key and version, and cheap to make.

Pure. `columns` defines a row. `Formatter` makes equal rows with their probes several times faster,
because a writer makes one for every event.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from typing_extensions import override

from cdc_users.measure.ledger.checksum import checksum
from cdc_users.users.workload.probe_maker import ProbeMaker

Values = tuple[str, str, str, str | None, Decimal | None, datetime, str | None]
#: id, first_name, last_name, email, phone, balance, created_at, notes, probe: the columns of
#: `customers` in order.
CustomerRow = tuple[int, str, str, str, str | None, Decimal | None, datetime, str | None, str]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_NAMES = (
    "Ada",
    "Grace",
    "Edsger",
    "Barbara",
    "Donald",
    "Radia",
    "Leslie",
    "Jim",
    "Zoë",
    "Søren",
)
LAST_NAMES = (
    "Lovelace",
    "Hopper",
    "Dijkstra",
    "Liskov",
    "Knuth",
    "Perlman",
    "Lamport",
    "Gray",
    "O'Neil",
    "Ångström",
)
NOTE = "a note, 'quoted', with ünïcode"
# This part of a row differs between its versions.
VERSION_STEP = 13


def columns(key: int, intended_us: int, payload: str, key_version: int = 1) -> Values:
    """A customer without key and probe: realistic values, with NULL in columns that allow it."""
    salt = key + VERSION_STEP * (key_version - 1)
    return (
        FIRST_NAMES[key % 10],
        LAST_NAMES[key // 10 % 10],
        f"customer-{key}@example.test",
        None if salt % 3 == 0 else f"+49 30 {salt % 10**7:07d}",
        None if salt % 5 == 0 else Decimal(salt * 37 % 10**7).scaleb(-2),
        EPOCH + timedelta(microseconds=intended_us),
        payload or (None if salt % 2 else NOTE),
    )


def _text(value: str) -> str:
    """Canonical text; measure/ledger/checksum.canonical has the rule."""
    return f"t{len(value.encode())}:{value};"


_NAMES = [(first, last, _text(first) + _text(last)) for last in LAST_NAMES for first in FIRST_NAMES]


class Formatter(ProbeMaker):
    """Makes the rows of one writer, equal to `columns` with a probe of `checksum` and
    `format_probe`.
    """

    def __init__(self, run: str, writer: int, payload: str = "") -> None:
        super().__init__(run, writer)
        self._notes = (payload or None, payload or NOTE)
        canonical = _text(payload or NOTE)
        self._note_texts = (canonical if payload else "n;", canonical)
        self._created = EPOCH
        self._created_text = ""

    @override
    def begin(self, transaction: int, size: int, intended_us: int) -> None:
        super().begin(transaction, size, intended_us)
        self._created = EPOCH + timedelta(microseconds=intended_us)
        self._created_text = f"z{intended_us};"

    def row(
        self, key: int, key_version: int, operation: str, sequence: int, index: int
    ) -> CustomerRow:
        """An inserted or updated row."""
        salt = key + VERSION_STEP * (key_version - 1)
        first, last, names = _NAMES[key % 100]
        email = f"customer-{key}@example.test"
        phone, phone_text = None, "n;"
        if salt % 3:
            phone = f"+49 30 {salt % 10_000_000:07d}"
            phone_text = f"t14:{phone};"
        balance, balance_text = None, "n;"
        if salt % 5:
            whole, cents = divmod(salt * 37 % 10_000_000, 100)
            digits = f"{whole}.{cents:02d}"
            balance = Decimal(digits)
            balance_text = f"d{digits};" if cents % 10 else f"d{digits.rstrip('0').rstrip('.')};"
        odd = 0 if salt % 2 else 1
        text = (
            f"{key};{key_version};{names}t{len(email)}:{email};{phone_text}{balance_text}"
            f"{self._created_text}{self._note_texts[odd]}"
        )
        probe = self._probe(key_version, operation, sequence, index, zlib.crc32(text.encode()))
        return (key, first, last, email, phone, balance, self._created, self._notes[odd], probe)

    def stamp(
        self, before: CustomerRow, key_version: int, operation: str, sequence: int, index: int
    ) -> CustomerRow:
        """The row as it was, with a new probe; it is written just before a delete."""
        code = checksum(before[0], key_version, before[1:-1])
        return (*before[:-1], self._probe(key_version, operation, sequence, index, code))
