"""A publisher that keeps nothing: what the reader alone costs."""

from __future__ import annotations

from collections.abc import Sequence

from infra.platform.transports import naming
from infra.platform.transports.plugin import TransportPlugin
from infra.platform.transports.transport import Record


class NullWalPublisher:
    """Counts records and forgets them."""

    name = "null"

    def __init__(self) -> None:
        self.count = 0

    def publish(self, records: Sequence[Record]) -> None:
        """See WalPublisher."""
        self.count += len(records)

    def flush(self) -> None:
        """See WalPublisher."""

    def close(self) -> None:
        """See WalPublisher."""


NULL = TransportPlugin("null", connect=lambda _: NullWalPublisher(), naming=naming.KAFKA)
