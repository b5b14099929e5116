"""The columns of one writer schema's rows: their order, and how their values are made."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import fastavro

from infra.avro.default import with_default
from infra.avro.filler import fillers
from infra.avro.item import Maker, item_maker
from infra.avro.kind import Column
from infra.avro.walk import AvroSchema, declared_column
from infra.schemas.debezium import AvroDefinition


class RowColumns:
    """The columns of a row's record in a writer schema; each is analysed on first use."""

    def __init__(self, schema: AvroSchema, row: AvroDefinition) -> None:
        self._schema = schema
        self.ordered = tuple(
            with_default(declared_column(schema, item["name"], item["type"]), item.get("default"))
            for item in row["fields"]
        )
        self._by_name = {column.name: column for column in self.ordered}
        self._fields = {item["name"]: item for item in row["fields"]}
        self._fillers: dict[str, Collection[bytes]] = {}
        self._parsed: dict[str, tuple[Any, Maker]] = {}

    @property
    def hiding_null(self) -> tuple[str, ...]:
        """The names of columns whose NULL comes as their default (infra/avro/filler.py)."""
        return tuple(
            column.name
            for column in self.ordered
            if column.nullable and self._fields[column.name].get("default") is not None
        )

    def column(self, name: str) -> Column:
        """A column by its name; raises KeyError."""
        return self._by_name[name]

    def parsed(self, name: str) -> tuple[Any, Maker]:
        """A column's type for fastavro, without its NULL branch, and the function that makes values
        of what fastavro reads.
        """
        # On first use, because most schemas have no column that fastavro reads.
        if name not in self._parsed:
            declared = self._fields[name]["type"]
            real = (
                [branch for branch in declared if branch != "null"]
                if isinstance(declared, list)
                else [declared]
            )
            alone = real[0] if len(real) == 1 else declared
            # With names written out (`expand`), because the column stands alone and a name would
            # refer to nothing; without logical types, because their values are made here like all
            # others.
            schema = fastavro.parse_schema(self._schema.expand(alone))
            self._parsed[name] = schema, item_maker(self._schema, alone)
        return self._parsed[name]

    def fillers(self, name: str) -> Collection[bytes]:
        """The bytes of a column's non-NULL value if none was sent."""
        if name not in self._fillers:
            # A set of bytes, because the wire's bytes are compared without decoding a value.
            known = fillers(self._schema, self._fields[name], self.column(name))
            self._fillers[name] = frozenset(known)
        return self._fillers[name]
