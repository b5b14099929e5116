"""Batches on their way into an Iceberg table, and the parts of them that go into one commit."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from infra.platform.sinks.batch import Partition


@dataclass(frozen=True, slots=True)
class Piece:
    """A batch on its way: its partition, its offsets up to `end`, its rows, and their schema in the
    table.
    """

    place: Partition
    offsets: Any
    end: int
    rows: Any
    key: tuple[str, ...]
    schema: Any


@dataclass(slots=True)
class PieceGroup:
    """Pieces that become durable together, under a tag by which the commit is recognised."""

    pieces: list[Piece]
    tag: str = field(default_factory=lambda: uuid.uuid4().hex)

    def commits(self) -> Iterator[tuple[str, list[Piece]]]:
        """The pieces of each snapshot, with its tag: pieces with one key.

        A key that changes in between must not be mistaken for the previous one.
        """
        for number, (_, pieces) in enumerate(groupby(self.pieces, lambda piece: piece.key)):
            yield f"{self.tag}-{number}", list(pieces)


def unwritten(pieces: Sequence[Piece], known: Mapping[Partition, int]) -> list[Piece]:
    """The parts of the pieces that have not taken effect yet, by the table's offsets."""
    found = (_rest(piece, known.get(piece.place, 0)) for piece in pieces)
    return [piece for piece in found if piece is not None]


def _rest(piece: Piece, known: int) -> Piece | None:
    if known >= piece.end:
        return None
    done = int((piece.offsets < known).sum())
    if not done:
        return piece
    return replace(piece, offsets=piece.offsets[done:], rows=piece.rows.slice(done))
