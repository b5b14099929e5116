"""Where reading of a partition begins, and what is lost before that: an offset counts only within
its topic.

An offset is a number in one topic's lifetime (KIP-516 gives each lifetime an id), and retention may
have moved the partition's beginning past it. So each commit has a note with the topic's id and the
position of the sink's own books, and positions are compared with the partition's present state.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from infra.platform.sinks.batch import Partition

#: The values of `--on-gap`: an error that stops the partition, or a counted and logged skip.
ON_GAP = ("stop", "skip")


@dataclass(frozen=True, slots=True)
class CommitNote:
    """What belongs to a committed offset: the topic's id, and the offset up to which the sink had
    written (None if it keeps no books or had written nothing).
    """

    topic_id: str
    written: int | None = None

    def text(self) -> str:
        """The note as the metadata of a committed offset."""
        return json.dumps({"topic_id": self.topic_id, "written": self.written})


def read_note(metadata: str | None) -> CommitNote | None:
    """The note in a committed offset's metadata; None if other software committed it."""
    try:
        found = json.loads(metadata or "")
        written = found["written"]
        return CommitNote(str(found["topic_id"]), None if written is None else int(written))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class PartitionSpan:
    """The present state of a partition: its first offset, the offset behind its last message, and
    its topic's id (empty if the broker gives none).
    """

    low: int
    high: int
    topic_id: str = ""


@dataclass(frozen=True, slots=True)
class Books:
    """How far a partition was read: by its group, and by the sink.

    `keeps` says whether the sink keeps books at all.
    """

    committed: int | None = None
    note: CommitNote | None = None
    own: int | None = None
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """Records that can no longer be read: `count` of them from `first` on (0: the number is
    unknown), the reason, and where reading could continue.
    """

    place: Partition
    first: int
    count: int
    reason: str
    resume: int

    def __str__(self) -> str:
        topic, number = self.place
        if not self.count:
            what = f"records from offset {self.first} on may be lost"
        elif self.count == 1:
            what = f"1 record is lost, offset {self.first}"
        else:
            end = self.first + self.count - 1
            what = f"{self.count} records are lost, offsets {self.first} to {end}"
        return f"{topic}[{number}]: {what}: {self.reason}"


_REMEDY = "fill the target again from the source, or go on behind the gap with --on-gap skip"


def begin_at(place: Partition, books: Books, span: PartitionSpan) -> tuple[int | None, Gap | None]:
    """The offset to begin at (None for the beginning of a partition that was never read), and the
    records that are lost before it.
    """
    note = books.note
    if note and note.topic_id and span.topic_id and note.topic_id != span.topic_id:
        return None, _made_again(place, books, span)
    if books.keeps and books.own is None and note is not None and note.written is not None:
        return None, _books_gone(place, note.written, span)
    offset = _position(books)
    return (None, None) if offset is None else (offset, gap_before(place, offset, span))


def gap_before(place: Partition, offset: int, span: PartitionSpan) -> Gap | None:
    """The records that are lost between the next offset to read and the partition's first one."""
    if offset < span.low:
        why = (
            "retention or a deletion took them before they were read, the first one left is"
            f" {span.low}"
        )
        return Gap(place, offset, span.low - offset, f"{why}; {_REMEDY}", span.low)
    if offset > span.high:
        why = (
            f"the partition ends at {span.high}, so it was cut, or the topic was made again under"
            " its name"
        )
        return Gap(place, span.high, offset - span.high, f"{why}; {_REMEDY}", span.high)
    return None


def _position(books: Books) -> int | None:
    """The furthest reliable offset. If the sink's books are behind their state at the commit (its
    table was rolled back, dropped or restored), that is the books' offset.
    """
    note, own = books.note, books.own
    if own is not None and note is not None and note.written is not None and own < note.written:
        return own
    if own is not None and note is None:
        # Committed by other software: a tool that moved the group may have moved it past events
        # that the sink never got.
        return own
    known = [offset for offset in (books.committed, own) if offset is not None]
    return max(known, default=None)


def _made_again(place: Partition, books: Books, span: PartitionSpan) -> Gap:
    note, committed = books.note, books.committed or 0
    assert note is not None, "known by its note"
    why = (
        f"the topic was deleted and made again (its id was {note.topic_id} and is {span.topic_id})"
        f" after offset {committed} was committed; what the earlier one had behind that is gone"
    )
    return Gap(place, committed, 0, f"{why}; {_REMEDY}", span.low)


def _books_gone(place: Partition, written: int, span: PartitionSpan) -> Gap:
    """The gap for a table that was dropped, or recreated with unknown rows."""
    why = (
        f"the sink had this partition up to offset {written} and knows it no longer: its table was"
        " dropped or made again; name another --group to fill it from the topic's beginning, or go"
        " on behind the gap with --on-gap skip"
    )
    return Gap(place, span.low, 0, why, min(max(written, span.low), span.high))
