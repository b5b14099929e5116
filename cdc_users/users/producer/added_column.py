"""Rows after a column was added during a run, as the source would send them from then on.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from cdc_users.measure.ledger.probe import LAYOUT
from cdc_users.users.workload.keyspace import RowChange

#: The new column's value in every row that is written with it.
VALUE = "gold"


class Widening:
    """Adds the new column to rows.

    Rows that were written before have NULL in it, as in Postgres. The column stands behind the
    probe. The probe's checksum covers only the columns before the probe, so it does not change.
    """

    def __init__(self) -> None:
        #: Each writer's first sequence with the column.
        self._since: dict[str, int] = {}

    def change(self, change: RowChange) -> RowChange:
        """The change with rows of one column more; the caller passes changes in the order of their
        writing.
        """
        for row in (change.row, change.before):
            if row is not None:
                self._since.setdefault(_field(row[-1], "writer"), change.sequence)
                break
        row, before = (
            None if row is None else self._wide(row) for row in (change.row, change.before)
        )
        wide: RowChange = msgspec.structs.replace(change, row=row, before=before)
        return wide

    def _wide(self, row: Sequence[Any]) -> tuple[Any, ...]:
        probe = row[-1]
        written = int(_field(probe, "sequence")) >= self._since[_field(probe, "writer")]
        return (*row, VALUE if written else None)


def _field(probe: str, name: str) -> str:
    first, width = LAYOUT[name]
    return probe[first : first + width]
