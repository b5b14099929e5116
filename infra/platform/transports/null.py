"""A publisher that keeps nothing, to measure the reader alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from typing_extensions import override

from infra.platform.transports import naming
from infra.platform.transports.plugin import TransportPlugin
from infra.platform.transports.transport import Record, WalPublisher


class NullWalPublisher(WalPublisher):
    """Counts records and forgets them."""

    name = "null"
    limit_bytes = sys.maxsize

    def __init__(self) -> None:
        self.count = 0

    @property
    @override
    def trouble(self) -> str:
        return ""

    @override
    def refusal(self, record: Record) -> str:
        return ""

    @override
    def publish(self, records: Sequence[Record]) -> None:
        self.count += len(records)

    @override
    def flush(self) -> None:
        """Nothing is held, so there is nothing to wait for."""

    @override
    def close(self) -> None:
        """Nothing is open."""


NULL = TransportPlugin("null", connect=lambda _: NullWalPublisher(), naming=naming.KAFKA)
