"""The protocol that every publisher keeps, and what it is given.

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
    """One message: where it goes, the key within which order is kept, and its bytes.

    The meter reads the row's probe, and whether the change is a delete. A `keyless` record goes out
    without a key, where the service knows that; its order is kept among all such of its stream.
    """

    stream: str
    key: bytes
    data: bytes
    probe: bytes = b""
    deleted: bool = False
    keyless: bool = False


class WalPublisher(Protocol):
    """Takes records and makes them durable. Used by one thread.

    The order of records with the same stream and key is kept, whatever fails on the way. Records
    of different keys may overtake each other. At-least-once: after an outcome that stays unknown a
    record may be there twice. An exception means that some of what was published since the last
    `flush` may not be durable; the publisher is of no further use, and the events must come again
    from the slot.

    A record of at most `limit_bytes`, key included, is never too large for the service.
    """

    name: str
    limit_bytes: int

    @property
    def trouble(self) -> str:
        """What fails again and again just now; empty where nothing does."""

    def refusal(self, record: Record) -> str:
        """Why the service can never take this record, with size and limit; empty where it can.

        Asked only for records over `limit_bytes`; such a record must not be published.
        """

    def publish(self, records: Sequence[Record]) -> None:
        """Take records; may send them, and waits while too much is under way."""

    def flush(self) -> None:
        """Return when everything published so far is durable: the service has acknowledged it."""

    def moved(self) -> str:
        """What has become of the place since it was connected to, where what was published may be
        gone with it; empty where nothing has. May ask the service; for any thread.
        """
        return ""

    def close(self) -> None:
        """Flush, and give back what the publisher holds. Called once, last."""


def backoff_s(first_s: float, most_s: float, chance: random.Random) -> Iterator[float]:
    """Waits for attempt after attempt: doubled up to `most_s`, with jitter so that clients do not
    retry in step.
    """
    wait_s = first_s
    while True:
        yield chance.uniform(wait_s / 2, wait_s)
        wait_s = min(wait_s * 2, most_s)
