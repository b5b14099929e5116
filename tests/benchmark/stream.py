"""Recorded replication streams, and longer ones made of them: inputs of the microbenchmarks."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FIXTURES = Path(__file__).parent / "fixtures"
#: The first column of every recorded table is a bigint of seven digits, from here on.
FIRST_ID = 1_000_000
#: As many messages as the assembler hands out at once.
CHUNK = 1000
_LENGTH = struct.Struct(">I")
_ID = slice(13, 20)
_CHANGES = b"IUD"


def write(name: str, messages: Sequence[bytes]) -> None:
    """Keep recorded messages."""
    FIXTURES.mkdir(exist_ok=True)
    data = b"".join(_LENGTH.pack(len(message)) + message for message in messages)
    (FIXTURES / f"{name}.pgoutput.gz").write_bytes(gzip.compress(data, 9, mtime=0))


def read(name: str) -> list[bytes]:
    """The messages of one recording."""
    return list(_parts(gzip.decompress((FIXTURES / f"{name}.pgoutput.gz").read_bytes())))


def _parts(data: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(data):
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        yield data[position : position + length]
        position += length


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream in chunks:

    `changes` inserts, updates and deletes, with their transactions and relations around them.
    """

    chunks: Sequence[Sequence[bytes]]
    changes: int
    size_bytes: int

    @property
    def relations(self) -> list[bytes]:
        """The messages that describe its tables."""
        return [message for chunk in self.chunks for message in chunk if message[:1] == b"R"]


def enlarge(name: str, changes: int) -> Stream:
    """A recording played again and again, each time with other ids, until there are so many
    changes.
    """
    recorded = read(name)
    messages: list[bytes] = []
    count = turn = 0
    while count < changes:
        for message in recorded:
            if message[0] in _CHANGES and count < changes:
                count += 1
                old = message[_ID]
                messages.append(
                    message.replace(old, b"%d" % (int(old) + 10_000 * turn)) if turn else message
                )
            elif message[:1] in (b"B", b"C") or (message[:1] == b"R" and not turn):
                messages.append(message)
        turn += 1
    chunks = [messages[first : first + CHUNK] for first in range(0, len(messages), CHUNK)]
    return Stream(chunks, count, sum(map(len, messages)))
