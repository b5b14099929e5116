"""Rows after a column was added in mid-run: what the source's rows would look like from then on.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from cdc_users.measure.ledger.probe import LAYOUT
from cdc_users.users.workload.keyspace import RowChange

#: What the new column holds in every row that is written with it.
VALUE = "gold"


class Widening:
    """Adds the new column to rows.

    What was written before it was added has NULL there, as in Postgres.

    It comes after the probe, so the probe's checksum, which is of the columns before it, stays as
    it is.
    """

    def __init__(self) -> None:
        #: Each writer's first sequence with the column.
        self._since: dict[str, int] = {}

    def change(self, change: RowChange) -> RowChange:
        """The change with rows of one column more; changes come in the order in which they are
        written.
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
