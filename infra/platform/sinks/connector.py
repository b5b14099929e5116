"""The protocol that every sink keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol

from infra.platform.sinks.batch import Batch, Partition


class WriteStatus(Enum):
    """How far a batch has come when `write` returns."""

    #: Taken; it is durable only after the next `flush` has returned.
    ACCEPTED = "accepted"
    #: It will survive whatever happens to this process; its offsets may be committed.
    DURABLE = "durable"


class SinkConnector(Protocol):
    """Where events go. At-least-once: a batch may come again, and its effects must then not double.

    The platform calls `open` once and first. When it is given partitions it tells their topics' ids
    (`identify`) and asks for `positions`, and goes on from there where that is further than what
    Kafka knows, or where the books have gone back. It calls `write` for one
    batch of a partition at a time, in order, and for several partitions concurrently; the whole
    batch is in one order, and so is each key. `flush` may run at any time, also during writes, but
    never twice at once.

    Failures: RetryableError, and anything else that is not a PlatformError, means that the batch
    may or may not have taken effect and can be written again, which repairs it. RefusedError means
    that nothing of it took effect, and that the same events would be refused again. ConfigError
    ends the platform.
    """

    name: str

    async def open(self) -> None:
        """Connect; raises UnreachableError saying what was tried, or ConfigError saying what to
        change.
        """

    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        """The ids of the topics whose events come next ("": the broker gives none; KIP-516).

        A sink with books keeps them beside its positions; raises ConfigError where the positions
        are those of an earlier topic of the same name.
        """

    async def positions(self, places: Sequence[Partition]) -> Mapping[Partition, int] | None:
        """The next offsets of partitions by the sink's own books; none for those that it does not
        know. None where it keeps no books.

        What came before these offsets has taken effect already, so it must not come again where
        that would double it.
        """

    async def write(self, batch: Batch) -> WriteStatus:
        """Take a batch. Returning DURABLE allows its offsets to be committed."""

    async def flush(self) -> None:
        """Make everything that was ACCEPTED before the call durable before returning; may be
        repeated if it fails.
        """

    async def close(self) -> None:
        """Give back what the sink holds, without a flush. Called once, last."""
