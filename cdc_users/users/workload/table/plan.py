"""The plan of one of the user's own tables: how its rows are made, as plain data, so that every
process with lanes can get it.
"""

from __future__ import annotations

import msgspec

#: A run's numeric keys lie in a span of this size; its texts and UUIDs begin with the run's name.
KEY_SPAN = 10**15


class ValuePlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How values of one type are made: by `maker`, within its bounds.

    `kind` says how the checksum reads them (infra.avro.kind); it is empty for types that formats
    write in too many ways to be compared. `low` and `high` bound lengths, and numbers in units of
    their smallest step; both bounds are included.
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

    A `fixed` column depends on the row's key alone: it is part of a key, unique, or a reference,
    and no update changes it. A `distinct` column contains the key, so that no two rows have equal
    values.
    """

    name: str
    value: ValuePlan
    nullable: bool = False
    fixed: bool = False
    distinct: bool = False


class ReferencePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key: its columns, and the rows that it may refer to, as texts."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class TablePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One table: the columns that are written, in table order and without the probe's.

    `key_base` is the first of the run's numeric keys; `head` is the start of its texts. With
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
