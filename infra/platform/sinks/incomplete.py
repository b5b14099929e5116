"""Counts the rows that a sink has inserted without values that the source did not send."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from infra.platform.sinks.batch import Partition

logger = structlog.get_logger()


class IncompleteRows:
    """Rows of an update that left out a large unchanged value, in a table that lacked the row.

    Nothing in the table shows which of its NULLs such a value is, so they are counted and logged.
    They are no error: a connector that sends again what it had sent before a crash updates rows
    that were deleted since, and their deletes follow.
    """

    def __init__(self) -> None:
        self.count = 0

    def note(self, found: Mapping[Partition, int]) -> None:
        """So many rows of these partitions have become durable in this way."""
        for (topic, number), rows in found.items():
            if rows:
                self.count += rows
                logger.warning("platform.rows.incomplete", topic=topic, partition=number, rows=rows)


def remarks(rows: int) -> list[str]:
    """A sentence on so many incomplete rows, for the platform's telemetry; none for none."""
    if not rows:
        return []
    return [
        f"the sink has inserted {rows} row{'s' * (rows > 1)} without a large value: the update did"
        " not send it (unchanged TOAST), and the row did not exist; fill the table from the"
        " source, or run ALTER TABLE ... REPLICA IDENTITY FULL on the source's table"
    ]
