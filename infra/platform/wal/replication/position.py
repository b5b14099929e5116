"""A position with its history: an LSN has a meaning only in its own cluster and timeline.

A restored copy, a new cluster, a promoted standby and a recreated slot all have LSNs that look like
ours. Positions are therefore compared only within one history. If two histories cannot be joined,
the gap is an error that names the positions.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.platform.wal.serialise.commit_source import CommitSource
from infra.replication.connection import ServerIdentity, lsn_text


@dataclass(frozen=True, slots=True)
class CommitMark:
    """A published transaction, with enough data to recognise it when the server sends it again.

    No two histories of a cluster have the same commit record at one position: the transaction's
    number and the commit's microsecond differ.
    """

    source: CommitSource
    end_lsn: int


@dataclass(frozen=True, slots=True)
class Place:
    """A reader's position in one slot, and the last transaction up to it.

    Timeline 0 and no transaction mean that they are not known, as in a state file of an older
    version.
    """

    system: str
    timeline: int
    lsn: int
    last: CommitMark | None = None

    @property
    def published_lsn(self) -> int:
        """Changes up to this position may have been published; behind it the WAL had none
        for us.
        """
        return self.last.end_lsn if self.last is not None else self.lsn


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a session starts, and the transaction that must come first.

    A `start_lsn` of 0 means the slot's own position. With `first` the server is asked for a
    transaction that was published before: if it sends that one, both histories are equal up to
    there.
    """

    start_lsn: int = 0
    first: CommitMark | None = None


def resume_from(last: CommitMark | None, slot_lsn: int) -> Resume:
    """How a session continues behind a transaction, if there is no gap to the slot's position."""
    if last is None or slot_lsn > last.source.lsn:
        return Resume()
    return Resume(last.source.lsn, last)


def gap(place: Place, server: ServerIdentity, slot_lsn: int, slot: str) -> str | None:
    """Why changes may be missing between the last published one and the slot's position; None if
    certainly none are.
    """
    if place.system != server.system:
        return (
            f"{lsn_text(place.lsn)} is a position in cluster {place.system}, and the server is"
            f" cluster {server.system}: its positions mean something else"
        )
    reach = _common_lsn(place, server)
    if reach is None:
        return (
            f"{lsn_text(place.lsn)} is on timeline {place.timeline}, which is no part of the"
            f" server's timeline {server.timeline}"
        )
    if server.end_lsn < place.published_lsn:
        return (
            f"the server's WAL ends at {lsn_text(server.end_lsn)} on timeline {server.timeline},"
            f" before {lsn_text(place.published_lsn)} up to which changes were published: it was"
            " restored from an older copy, or is a standby that lagged behind"
        )
    if place.published_lsn > reach:
        return (
            f"changes were published up to {lsn_text(place.published_lsn)} on timeline"
            f" {place.timeline}, which the server left at {lsn_text(reach)} for timeline"
            f" {server.timeline}: what was committed between is not in this server"
        )
    if slot_lsn > min(reach, place.lsn):
        return (
            f"slot {slot!r} stands at {lsn_text(slot_lsn)}, beyond"
            f" {lsn_text(min(reach, place.lsn))} which this reader confirmed: it was dropped and"
            " created again or advanced by another reader, and what lies between is lost"
        )
    return None


def _common_lsn(place: Place, server: ServerIdentity) -> int | None:
    """The position up to which the place's timeline and the server's are one; None if they never
    were.
    """
    if place.timeline in (0, server.timeline):
        return max(server.end_lsn, place.lsn)
    return server.forks.get(place.timeline)
