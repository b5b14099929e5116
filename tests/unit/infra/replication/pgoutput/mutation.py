"""Messages with mistakes in them, for fuzzing: most get past the message's type and relation, so
that rows are hit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

from infra.platform.wal.serialise.change_json import ChangeJson
from infra.platform.wal.serialise.commit_source import CommitSource
from infra.replication.error import DecodeError
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.form import LazyChange, LazyForm, TextForm, ValueForm
from infra.replication.pgoutput.tuple_reader import HEAD_BYTES, Form
from tests.unit.infra.replication.pgoutput import wire
from tests.unit.infra.replication.pgoutput.wire import Binary, Value

_SOURCE = CommitSource(1, 2, 3)
_TYPES = (20, 25, 1700, 1184, 16, 3802, 1007, 3904, 17, 1082)
_COLUMNS = [(f"c{number}", kind, number < 2) for number, kind in enumerate(_TYPES)]
_RELATIONS = (wire.relation(0x4141, _COLUMNS), wire.relation(0x40FF, _COLUMNS, identity="f"))
_ROWS: Sequence[Sequence[Value]] = (
    ["1", "some text", "12.50", "2026-11-24 07:03:40.12+00", "t", '{"a": 1}', "{1,NULL}",
     "[1,5)", "\\x00ff", "2026-11-24"],
    ["-7", "ünï" * 50, "NaN", "infinity", "f", "null", "{{1},{2}}", "empty", "\\x",
     "0044-03-15 BC"],
    ["9", None, None, None, None, None, None, None, None, None],
    [Binary(b"\0" * 7 + b"\1"), "", Binary(b"\0\1\0\0\0\0\0\2\0\5"), Binary(bytes(8)),
     Binary(b"\1"), Binary(b"\1{}"),
     Binary(b"\0\0\0\1\0\0\0\0\0\0\0\x17\0\0\0\1\0\0\0\1\0\0\0\4\0\0\0\7"),
     Binary(b"\1"), Binary(b"x"), Binary(bytes(4))],
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of mutated messages: how many there were, got past type and relation, and were
    read.
    """

    messages: int
    deep: int
    read: int


def originals() -> list[bytes]:
    """Well-formed messages of all kinds."""
    changes = []
    for oid in (0x4141, 0x40FF):
        for row in _ROWS:
            old = _ROWS[0]
            changes += [
                wire.insert(oid, row),
                wire.update(oid, row),
                wire.update(oid, row, old),
                wire.delete(oid, row),
            ]
            changes += [wire.update(oid, row, old, "K"), wire.delete(oid, old, "K")]
    control = [
        wire.begin(5), wire.commit(), *_RELATIONS, b"T\0\0\0\1\0\0\0\x41\x41",
        wire.message("p", b"c", transactional=True),
        b"O" + bytes(8) + b"o\0", b"Y\0\0\0\1s\0t\0",
        wire.stream_commit(5), wire.stream_abort(5, 6),
        wire.two_phase("P", 5, "g"), wire.rollback_prepared(5, "g"),
    ]  # fmt: skip
    return [*changes * 3, *control]


def mutations(count: int, seed: int) -> Iterator[bytes]:
    """So many mutated messages, the same for the same seed."""
    chance = random.Random(seed)
    base = originals()
    for _ in range(count):
        message = bytearray(chance.choice(base))
        first = HEAD_BYTES if message[0] in b"IUD" and chance.random() < 0.9 else 0
        for _ in range(chance.choice((1, 1, 2, 4))):
            _mutate(message, min(first, len(message)), chance)
        yield bytes(message)


def _mutate(message: bytearray, first: int, chance: random.Random) -> None:
    place = chance.randint(first, len(message))
    step = chance.randrange(6)
    if step == 0:
        message[place : place + 1] = bytes(
            [chance.choice((0, 1, 4, 0x6E, 0x74, 0x75, 0x62, 0x7F, 0xFF))]
        )
    elif step == 1:
        message[place : place + 1] = bytes([chance.randrange(256)])
    elif step == 2:
        del message[place : place + chance.choice((1, 1, 3, 20))]
    elif step == 3:
        message[place:place] = chance.randbytes(chance.choice((1, 4)))
    elif step == 4:
        del message[place:]
    else:
        other = chance.randint(first, len(message))
        message[place:place] = message[other : other + chance.randrange(30)]


def run(count: int, seed: int) -> Tally:
    """Feed mutated messages to every way of reading; anything but a result or a DecodeError with
    its place is a bug.
    """
    forms: Sequence[Form] = (TextForm(), ValueForm(), LazyForm())
    kept = [_decoder(form) for form in forms]
    serialiser = ChangeJson()
    serialiser.serialise(_SOURCE, _RELATIONS)
    deep = read = 0
    for message in mutations(count, seed):
        change = message[:1] in (b"I", b"U", b"D")
        # Any other message may be a relation, which would spoil the decoder for the next.
        text, values, lazy = map(
            _outcome, kept if change else map(_decoder, forms), repeat(message)
        )
        assert text == lazy, message
        assert text or not values, message
        if change:
            _check(lambda: serialiser.serialise(_SOURCE, [message]), message)  # noqa: B023 - called at once
        deep += _is_deep(message)
        read += text
    return Tally(count, deep, read)


def _decoder(form: Form) -> PgOutputDecoder:
    decoder = PgOutputDecoder(form)
    decoder.decode_many(_RELATIONS)
    return decoder


def _outcome(decoder: PgOutputDecoder, message: bytes) -> bool:
    def read() -> None:
        decoded = decoder.decode(message)
        if isinstance(decoded, LazyChange):
            decoded.text()

    return _check(read, message)


def _check(read: Callable[[], object], message: bytes) -> bool:
    """Whether the message can be read."""
    try:
        read()
    except DecodeError as error:
        if not 0 <= error.offset <= len(message):
            raise AssertionError(f"{message!r} has no byte {error.offset}") from error
        return False
    return True


def _is_deep(message: bytes) -> bool:
    """Whether type, relation and number of columns are right, so that the row itself is what is
    read.
    """
    count = len(_TYPES).to_bytes(2, "big")
    return (
        message[:1] in (b"I", b"U", b"D")
        and message[1:5] in (b"\0\0AA", b"\0\0@\xff")
        and message[6:8] == count
    )
