"""The probes of one writer's rows, equal to `format_probe`. Pure.

A writer makes one for every event, so the part that a transaction's rows share is formatted once.
"""

from __future__ import annotations

from cdc_users.measure.ledger.probe import VERSION


class ProbeMaker:
    """The base of row makers: a row's place in its transaction, and its probe."""

    def __init__(self, run: str, writer: int) -> None:
        self._head = f"{VERSION}{run:8}{writer:07d}"
        self._place = self._size = self._intended = ""

    def begin(self, transaction: int, size: int, intended_us: int) -> None:
        """Begin a transaction of this many events; the following rows belong to it."""
        self._place = f"{transaction:010d}"
        self._size = f"{size:05d}"
        self._intended = f"{intended_us:016d}"

    def _probe(self, key_version: int, operation: str, sequence: int, index: int, code: int) -> str:
        return (
            f"{self._head}{sequence:010d}{self._place}{index:05d}{self._size}"
            f"{key_version:08d}{operation}{self._intended}{code:08x}"
        )
