"""The operations that a sink of current rows can follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from infra.platform.process.error import RefusedError
from infra.platform.sinks.batch import Batch

_OF_ROWS = [ord(operation) for operation in "curd"]
_NEW = [ord(operation) for operation in "cr"]


def refuse_others(batch: Batch) -> None:
    """Raise RefusedError for an operation that changes no single row."""
    if not np.isin(batch.rows.operation, _OF_ROWS).all():
        raise RefusedError(
            f"{batch.topic}[{batch.partition}] has an operation that changes no row, such as"
            " truncate"
        )


def refuse_rowless(batch: Batch) -> None:
    """Raise RefusedError if an event lacks the row that its operation needs."""
    deleted = batch.rows.operation == ord("d")
    there = np.where(deleted, batch.rows.present("before"), batch.rows.present("after"))
    if not there.all():
        raise RefusedError(
            f"{batch.topic}[{batch.partition}] has an event without its row; let the source send it"
            " (REPLICA IDENTITY)"
        )


def refuse_unsent(batch: Batch, unsent: Mapping[int, Sequence[str]]) -> None:
    """Raise RefusedError where a new row lacks columns, by the event's place in the batch.

    A row whose key is updated comes as a delete and a new row, and a large value that was not
    changed is not sent: only the source has it.
    """
    for row in np.flatnonzero(np.isin(batch.rows.operation, _NEW)).tolist():
        if names := unsent.get(row):
            raise RefusedError(
                f"{batch.topic}[{batch.partition}] has a new row without {', '.join(names)}: its"
                " key was updated, and a large value that was not is not sent; run ALTER TABLE ..."
                " REPLICA IDENTITY FULL on the source's table"
            )
