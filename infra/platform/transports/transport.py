"""The protocol of every publisher, and its records.

TransportError            a record that cannot be made durable; the slot keeps the events
├── UnreachableError      exit 3: the service does not answer, or has no such stream
└── PublishRefusedError   exit 2: the service will never take this record (too large, not allowed)
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from infra.platform.process.error import PlatformError, UnreachableError

__all__ = [
    "PublishRefusedError",
    "Record",
    "TransportError",
    "UnreachableError",
    "WalPublisher",
    "backoff_s",
]


class TransportError(PlatformError):
    """A record could not be made durable; nothing of its transaction may be confirmed."""


class PublishRefusedError(TransportError):
    """The service will never take this record; trying again does not help."""


class Record(NamedTuple):
    """One message: its stream, the key within which order is kept, and its bytes.

    The meter reads the row's probe, and whether the change is a delete. A `keyless` record is sent
    without a key if the service allows that; all such records of a stream keep their order.
    """

    stream: str
    key: bytes
    data: bytes
    probe: bytes = b""
    deleted: bool = False
    keyless: bool = False


class WalPublisher(Protocol):
    """Takes records and makes them durable. Used by one thread.

    The order of records with the same stream and key is kept, whatever fails. Records of different
    keys may overtake one another. Delivery is at-least-once: after an unknown outcome a record may
    be there twice. An exception means that some records since the last `flush` may not be durable;
    the publisher must then be discarded, and the events must come again from the slot.

    A record of at most `limit_bytes`, key included, is never too large for the service.
    """

    name: str
    limit_bytes: int

    @property
    def trouble(self) -> str:
        """The failure that repeats at present; empty if there is none."""

    def refusal(self, record: Record) -> str:
        """Why the service can never accept this record, with size and limit; empty if it can.

        Called only for records over `limit_bytes`; a refused record must not be published.
        """

    def publish(self, records: Sequence[Record]) -> None:
        """Take records; may send them, and waits while too many are on their way."""

    def flush(self) -> None:
        """Return when the service has acknowledged everything that was published so far."""

    def moved(self) -> str:
        """How the topic or stream has changed since `connect`, if published records may be lost by
        that; empty otherwise. May ask the service; any thread may call it.
        """
        return ""

    def close(self) -> None:
        """Flush, and close the client. Called once, last."""


def backoff_s(first_s: float, most_s: float, chance: random.Random) -> Iterator[float]:
    """Waits in seconds for successive attempts: doubled up to `most_s`, with jitter, so that
    clients do not retry in step.
    """
    wait_s = first_s
    while True:
        yield chance.uniform(wait_s / 2, wait_s)
        wait_s = min(wait_s * 2, most_s)
