"""The protocol that every sink keeps."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from infra.platform.batch import Batch


class WriteStatus(Enum):
    """How far a batch has come when `write` returns."""

    #: Taken; it is durable only after the next `flush` has returned.
    ACCEPTED = "accepted"
    #: It will survive whatever happens to this process; its offsets may be committed.
    DURABLE = "durable"


class SinkConnector(Protocol):
    """Where events go. At-least-once: a batch may come again, and its effects must then not double.

    The platform calls `write` for one batch of a partition at a time, in order, and for several partitions
    concurrently. An exception means that the batch may or may not have taken effect; its partition stops.
    """

    name: str

    async def write(self, batch: Batch) -> WriteStatus:
        """Take a batch. Returning DURABLE allows its offsets to be committed."""

    async def flush(self) -> None:
        """Make everything that was ACCEPTED durable before returning."""

    async def close(self) -> None:
        """Flush, and give back what the sink holds. Called once, last."""
