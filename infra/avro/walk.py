"""Steps over Avro values, many messages at a time, and notes where the needed fields start.

A schema is turned once into a tree of steps; each step moves the positions of all messages past one
value. Format: Avro 1.11 specification, "Binary Encoding".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.avro.kind import Column, ColumnKind, column_of
from infra.avro.octets import Octets, OffsetArray
from infra.schemas.debezium import AvroDefinition
from infra.schemas.envelope import EnvelopeError

#: Takes positions (int64, one for each message) and returns those behind the field.
WalkStep = Callable[[Octets, OffsetArray], OffsetArray]
#: Where a value starts in each message (int64); -1 where there is none.
Starts = NDArray[np.int64]
#: Steps over one field like a WalkStep, and also returns where its value starts.
Keep = Callable[[Octets, OffsetArray], tuple[Starts, OffsetArray]]

#: Far above the largest message, which has 16 MB.
_LARGEST_FIXED = 2**31
#: More items without bytes than any message means.
_MOST_EMPTY_ITEMS = 10_000
_FIXED = {"null": 0, "boolean": 1, "float": 4, "double": 8}


@dataclass(frozen=True, slots=True)
class RecordWalk:
    """The walk over one record: its fields in order, each noted under its name or only stepped
    over.
    """

    fields: Sequence[tuple[str, Keep | None, WalkStep]]

    def walk(self, octets: Octets, at: OffsetArray, into: dict[str, Starts]) -> OffsetArray:
        """Step over the record; note in `into` where its kept fields start."""
        for name, keep, step in self.fields:
            if keep is None:
                at = step(octets, at)
            else:
                into[name], at = keep(octets, at)
        return at


class AvroSchema:
    """One parsed schema: resolves names, and makes the steps over its types. Raises EnvelopeError
    for types that cannot be walked over.
    """

    def __init__(self, schema: AvroDefinition) -> None:
        self._named: dict[str, AvroDefinition] = {}
        #: The records whose steps are being made, outermost first.
        self._within: list[int] = []
        self._learn(schema, "")

    def _learn(self, schema: Any, namespace: str) -> None:
        """Note named types, because Avro refers to them by name later."""
        if isinstance(schema, list):
            for branch in schema:
                self._learn(branch, namespace)
        elif isinstance(schema, Mapping):
            inner = schema.get("namespace", namespace)
            if schema["type"] in ("record", "fixed", "enum"):
                # Under both names: a reference from the same namespace may leave the namespace out
                # (Avro, "Names").
                self._named[schema["name"]] = self._named[f"{inner}.{schema['name']}"] = schema
            for part in ("fields", "items", "values"):
                found = schema.get(part, ())
                self._learn(
                    [item["type"] for item in found] if part == "fields" else found or [], inner
                )
            if isinstance(schema["type"], (list, Mapping)):
                self._learn(schema["type"], inner)

    def resolve(self, schema: Any) -> Any:
        """The type itself, whether it is written out or named."""
        if isinstance(schema, str):
            return self._named.get(schema, schema)
        if isinstance(schema, Mapping) and not isinstance(schema["type"], str):
            return self.resolve(schema["type"])
        return schema

    def expand(self, schema: Any) -> Any:
        """The type with every reference replaced by the named type."""
        if isinstance(schema, list):
            return [self.expand(branch) for branch in schema]
        resolved = self.resolve(schema)
        if not isinstance(resolved, Mapping):
            return resolved
        whole = {
            name: part for name, part in resolved.items() if name not in ("default", "logicalType")
        }
        for part in ("items", "values"):
            if part in whole:
                whole[part] = self.expand(whole[part])
        if "fields" in whole:
            whole["fields"] = [
                {"name": item["name"], "type": self.expand(item["type"])}
                for item in whole["fields"]
            ]
        return whole

    def step(self, schema: Any) -> WalkStep:
        """The step over values of this type."""
        if isinstance(schema, list):
            return self._union([self.step(branch) for branch in schema])
        resolved = self.resolve(schema)
        kind = resolved["type"] if isinstance(resolved, Mapping) else resolved
        if kind == "fixed" and not 0 <= int(resolved["size"]) <= _LARGEST_FIXED:
            raise EnvelopeError(f"a fixed type of {resolved['size']} bytes")
        if kind in _FIXED or kind == "fixed":
            return _fixed(_FIXED[kind] if kind in _FIXED else int(resolved["size"]))
        if kind in ("int", "long", "enum"):
            return Octets.after_numbers
        if kind in ("string", "bytes"):
            return Octets.after_texts
        if kind == "record":
            return self._record(resolved)
        if kind == "array":
            return self._blocks([resolved["items"]])
        if kind == "map":
            return self._blocks(["string", resolved["values"]])
        raise EnvelopeError(f"Avro type {kind!r} is not known")

    def _record(self, record: AvroDefinition) -> WalkStep:
        """The step over a record; a record that contains itself has no fixed sequence of steps."""
        if id(record) in self._within:
            raise EnvelopeError(f"the type {record.get('name')!r} holds itself")
        self._within.append(id(record))
        try:
            return _sequence([self.step(item["type"]) for item in record["fields"]])
        finally:
            self._within.pop()

    def _union(self, branches: Sequence[WalkStep]) -> WalkStep:
        def union(octets: Octets, at: OffsetArray) -> OffsetArray:
            chosen, at = octets.lengths(at)
            first = int(chosen[0]) if len(chosen) else 0
            # The messages of a topic mostly take one branch; then no column is split.
            if (chosen == first).all():
                return _branch(branches, first)(octets, at)
            for number in np.unique(chosen).tolist():
                here = np.flatnonzero(chosen == number)
                at[here] = _branch(branches, number)(octets, at[here])
            return at

        return union

    def _blocks(self, parts: Sequence[Any]) -> WalkStep:
        """The step over arrays and maps, message by message: blocks of a count and that many items,
        until a count of zero.
        """
        steps = _sequence([self.step(part) for part in parts])

        def one(octets: Octets, at: OffsetArray) -> OffsetArray:
            while True:
                # A negative count is followed by the block's size in bytes (Avro, "Arrays"). The
                # size is ignored and the items are stepped over, because the claimed size may be
                # false.
                count, at = octets.numbers(at)
                items = int(count[0])
                if items == 0:
                    return at
                if items < 0:
                    at = octets.after_numbers(at)
                at = _items(octets, at, abs(items), steps)

        # Each message has its own counts, so there is no column to step over at once. Arrays and
        # maps are rare in rows; other values never come here.
        def blocks(octets: Octets, at: OffsetArray) -> OffsetArray:
            return np.array(
                [one(octets, at[row : row + 1])[0] for row in range(len(at))], dtype=np.int64
            )

        return blocks


def _items(octets: Octets, at: OffsetArray, count: int, step: WalkStep) -> OffsetArray:
    """Step over `count` items of one message, which may claim more items than it has.

    Items without bytes, such as NULLs, are all as long as the first one, so one step suffices for
    any number of them.
    """
    after = step(octets, at)
    # `end` ascends, because messages follow one another: the first end behind this position belongs
    # to this message.
    left = int(octets.end[np.searchsorted(octets.end, at[0], side="right")] - at[0])
    if after[0] == at[0]:
        left = _MOST_EMPTY_ITEMS
        if count <= left:
            return after
    if count > left:
        raise IndexError(f"an array claims {count} items, and its message has {left} bytes left")
    for _ in range(count - 1):
        after = step(octets, after)
    return after


def _branch(branches: Sequence[WalkStep], number: int) -> WalkStep:
    return branches[number]


def _fixed(size: int) -> WalkStep:
    def fixed(_: Octets, at: OffsetArray) -> OffsetArray:
        return at + size

    return fixed


def _sequence(steps: Sequence[WalkStep]) -> WalkStep:
    def sequence(octets: Octets, at: OffsetArray) -> OffsetArray:
        for step in steps:
            at = step(octets, at)
        return at

    return sequence


def keep_of(schema: AvroSchema, declared: Any) -> Keep:
    """The Keep for a field: its value starts behind the union's branch if the union is NULL and one
    other type.
    """
    branches = declared if isinstance(declared, list) else [declared]
    real = [branch for branch in branches if branch != "null"]
    if not isinstance(declared, list) or len(real) != 1:
        step = schema.step(declared)
        return lambda octets, at: (at, step(octets, at))
    return _optional(2 * branches.index(real[0]), schema.step(real[0]))


def _optional(code: int, step: WalkStep) -> Keep:
    def keep(octets: Octets, at: OffsetArray) -> tuple[Starts, OffsetArray]:
        there, at = branch_taken(octets, at, code)
        # Mostly every row has the value or none has; then positions are used as they are, without
        # the copies below.
        if there.all():
            return at, step(octets, at)
        starts = np.where(there, at, -1)
        rows = np.flatnonzero(there)
        if len(rows):
            at[rows] = step(octets, at[rows])
        return starts, at

    return keep


def branch_taken(
    octets: Octets, at: OffsetArray, code: int
) -> tuple[NDArray[np.bool_], OffsetArray]:
    """Which messages have an optional field's value (bool), and the positions behind the branch's
    number. Raises IndexError for a branch that the union does not have.
    """
    # The branches 0 and 1 are the bytes 0 and 2 (zigzag), so one comparison of bytes both reads the
    # number and chooses.
    chosen = octets.ones[at]
    there = chosen == code
    if not (there | (chosen == 2 - code)).all():
        raise IndexError("a union has no such branch")
    return there, at + 1


def declared_column(schema: AvroSchema, name: str, declared: Any) -> Column:
    """The column that a row's field declares; for a union of several types its kind is `other`."""
    branches = declared if isinstance(declared, list) else [declared]
    real = [branch for branch in branches if branch != "null"]
    if len(real) != 1:
        return Column(name, ColumnKind.OTHER, True)
    resolved = schema.resolve(real[0])
    column = column_of(name, resolved, len(branches) > 1)
    if isinstance(resolved, Mapping) and resolved["type"] == "array":
        return replace(column, item=declared_column(schema, "", resolved["items"]))
    return column
