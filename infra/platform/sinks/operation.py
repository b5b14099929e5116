"""Which operations a sink that keeps the source's current rows can follow."""

from __future__ import annotations

import numpy as np

from infra.platform.process.error import RefusedError
from infra.platform.sinks.batch import Batch

_OF_ROWS = [ord(operation) for operation in "curd"]


def refuse_others(batch: Batch) -> None:
    """Raise RefusedError where an operation changes no row."""
    if not np.isin(batch.rows.operation, _OF_ROWS).all():
        raise RefusedError(
            f"{batch.topic}[{batch.partition}] has an operation that changes no row, such as"
            " truncate"
        )


def refuse_rowless(batch: Batch) -> None:
    """Raise RefusedError where an event has not the row that its operation is about."""
    deleted = batch.rows.operation == ord("d")
    there = np.where(deleted, batch.rows.present("before"), batch.rows.present("after"))
    if not there.all():
        raise RefusedError(
            f"{batch.topic}[{batch.partition}] has an event without its row; let the source send it"
            " (REPLICA IDENTITY)"
        )
