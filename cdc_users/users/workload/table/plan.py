"""How the rows of one table of the user's own are made: plain data, so that it travels to every
process with lanes.
"""

from __future__ import annotations

import msgspec

#: A run's numeric keys lie in one span of this size, and texts and UUIDs begin with the run.
KEY_SPAN = 10**15


class ValuePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How values of one type are made: by `maker`, within its bounds.

    `kind` is what the checksum takes them for (infra.avro.kind); empty where carriers write the
    type in too many ways to be compared. `low` and `high` bound numbers, counted in the least that
    two of them differ by, and lengths; both are included.
    """

    maker: str
    kind: str = ""
    low: int | None = None
    high: int | None = None
    scale: int = 0
    labels: tuple[str, ...] = ()
    item: ValuePlan | None = None


class ColumnPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column that is written.

    A `fixed` one depends on the row's key alone: it is part of a key, unique, or a reference, and
    no update changes it. A `distinct` one carries the key itself, so that no two rows have the
    same.
    """

    name: str
    value: ValuePlan
    nullable: bool = False
    fixed: bool = False
    distinct: bool = False


class ReferencePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key: its columns, and the rows that may be referred to, as texts."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class TablePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One table: the columns that are written, in table order and without the probe's.

    `key_base` is where the run's numeric keys begin; `head` is what its texts begin with. With
    `overriding` an identity column of the key is written. `unaudited` says what of this table
    cannot be audited, or never arrives, and why.
    """

    schema: str
    name: str
    columns: tuple[ColumnPlan, ...]
    key: tuple[str, ...]
    probe: str
    head: str
    key_base: int
    seed: int = 1
    references: tuple[ReferencePlan, ...] = ()
    overriding: bool = False
    unaudited: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """SCHEMA.TABLE."""
        return f"{self.schema}.{self.name}"

    @property
    def compared(self) -> tuple[tuple[str, str], ...]:
        """The columns that the checksum covers, in table order, as name and kind."""
        return tuple((c.name, c.value.kind) for c in self.columns if c.value.kind)
