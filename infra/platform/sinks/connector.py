"""The protocol of every sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol

from infra.platform.sinks.batch import Batch, Partition


class WriteStatus(Enum):
    """The state of a batch when `write` returns."""

    #: Accepted; it is durable only after the next `flush` has returned.
    ACCEPTED = "accepted"
    #: It survives a crash of this process; its offsets may be committed.
    DURABLE = "durable"


class SinkConnector(Protocol):
    """Where events go. Delivery is at-least-once: a batch may come again, and its effects must then
    not double.

    The platform calls `open` once, before anything else. When it is assigned partitions, it passes
    the ids of their topics (`identify`) and asks for `positions`. It continues from there if that
    is further than Kafka's offset, or if the books have gone back. It calls `write` for one batch
    of a partition at a time, in order, and for several partitions concurrently; the events of a
    batch are in order, and so are those of each key. `flush` may run at any time, also during
    writes, but never twice at once.

    Failures: RetryableError, and any error that is not a PlatformError, means that the batch may or
    may not have taken effect; writing it again repairs that. RefusedError means that nothing of it
    took effect, and that the same events would be refused again. ConfigError ends the platform.
    """

    name: str

    @property
    def incomplete_rows(self) -> int:
        """The rows that were inserted without values that the source did not send."""
        return 0

    async def open(self) -> None:
        """Connect; raises UnreachableError saying what was tried, or ConfigError saying what to
        change.
        """

    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        """The ids of the topics of the next events (empty if the broker gives none; KIP-516).

        A sink with books keeps them beside its positions; raises ConfigError if the positions
        belong to an earlier topic of the same name.
        """

    async def positions(self, places: Sequence[Partition]) -> Mapping[Partition, int] | None:
        """The next offsets of partitions by the sink's own books, without those that it does not
        know. None if the sink keeps no books.

        Events before these offsets have taken effect, so they must not come again if that would
        double them.
        """

    async def write(self, batch: Batch) -> WriteStatus:
        """Take a batch. Returning DURABLE allows its offsets to be committed."""

    async def flush(self) -> None:
        """Make everything durable that was ACCEPTED before the call; may be repeated if it
        fails.
        """

    async def close(self) -> None:
        """Release the sink's resources, without a flush. Called once, last."""
