"""Three forms of a row: texts, Python values, or a message that is read on demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any

import msgspec

from infra.replication.error import DecodeError
from infra.replication.pgoutput.bulk import read_rows
from infra.replication.pgoutput.event import (
    UNCHANGED,
    ChangeMessage,
    Delete,
    Insert,
    Relation,
    Type,
    Unchanged,
    Update,
)
from infra.replication.pgoutput.tuple_reader import (
    HEAD_BYTES,
    LONG_BYTES,
    SHAPES,
    Codec,
    Read,
    compile_reader,
    locate,
)
from infra.replication.pgoutput.value import ValueKinds


def _text(value: bytes) -> str:
    return str(value, "utf-8")


class RowForm:
    """Rows of Postgres's texts, read one message at a time; a value in binary form stays bytes."""

    # If the whole message is ASCII, a text is sliced out of its string: decoding once and slicing
    # is cheaper than decoding each value.
    _codec = Codec(ascii="s[a:p]", utf8="str(b[a:p], 'utf-8')", text=_text, binary=bytes)

    def reader(self, relation: Relation, shape: bytes, example: bytes) -> Read:
        """A reader that is compiled for the relation."""
        return compile_reader(relation, shape, self, example)

    def learn(self, described: Type) -> None:
        """Nothing to learn: all types are texts."""

    def codec(self, relation: Relation, position: int) -> Codec:
        """The same codec for every column."""
        del relation, position
        return self._codec

    def result(self, relation: Relation, operation: str, kinds: str) -> str:
        """An Insert, Update or Delete."""
        everything = range(len(relation.columns))
        after, before = _row("n", everything), _row("o", everything)
        key = _row("k", relation.key_positions)
        if operation == "I":
            return f"Insert(R, {after})"
        old = {
            "N": "",
            "ON": f", {before}",
            "KN": f", None, {key}",
            "O": f", {before}",
            "K": f", None, {key}",
        }[kinds]
        return f"Update(R, {after}{old})" if operation == "U" else f"Delete(R{old})"

    def names(self, relation: Relation) -> Mapping[str, object]:
        """The relation, and the classes of events."""
        return {"R": relation, "Insert": Insert, "Update": Update, "Delete": Delete}


class TextForm(RowForm):
    """Rows of Postgres's texts, read many at once where that is faster."""

    def read_many(
        self, relation: Relation, shape: bytes, messages: Sequence[bytes]
    ) -> list[Any] | None:
        """Reads inserts of short rows; None for all others."""
        # Updates have tuples that are only sometimes there, and with long rows copying dominates;
        # both are read one at a time, at the same cost as before.
        if shape != b"IN" or len(messages[0]) > LONG_BYTES:
            return None
        rows = read_rows(messages, len(relation.columns))
        return None if rows is None else list(map(Insert, repeat(relation), rows))


def _row(prefix: str, positions: range | tuple[int, ...]) -> str:
    return "(" + "".join(f"{prefix}{position}, " for position in positions) + ")"


class ValueForm(RowForm):
    """Rows of Python values (value.py), from text or binary form."""

    def __init__(self, kinds: ValueKinds | None = None) -> None:
        self._kinds = kinds or ValueKinds()

    def learn(self, described: Type) -> None:
        """Note a domain, whose base type may be a known one."""
        self._kinds.learn(described)

    def codec(self, relation: Relation, position: int) -> Codec:
        """The codec of the column's type."""
        kind = self._kinds.kind(relation.columns[position].type_oid)
        if kind.text is None:
            return Codec("s[a:p]", "str(b[a:p], 'utf-8')", _text, kind.binary)
        # Bound to a name of its own for each column, so that the compiled reader calls it directly;
        # a look-up of the type would be a dictionary access for each value.
        convert = kind.text
        name = f"c{position}"

        def from_bytes(value: bytes) -> Any:
            return convert(str(value, "utf-8"))

        return Codec(
            f"{name}(s[a:p])",
            f"{name}(str(b[a:p], 'utf-8'))",
            from_bytes,
            kind.binary,
            names={name: convert},
        )


class LazyChange(msgspec.Struct, gc=False):
    """A change that is not read yet: its message, and the layout to read it by.

    A malformed row raises DecodeError only when it is read.
    """

    layout: Layout
    message: bytes

    @property
    def relation(self) -> Relation:
        """The table."""
        return self.layout.relation

    @property
    def operation(self) -> str:
        """I (insert), U (update) or D (delete)."""
        return chr(self.message[0])

    def text(self) -> ChangeMessage:
        """The change with rows of texts."""
        return self.layout.text(self.message)

    def values(self) -> ChangeMessage:
        """The change with rows of Python values."""
        return self.layout.values(self.message)

    def spans(self) -> Iterator[tuple[str, str, int, int]]:
        """Where the values of all tuples are in the message: the tuple's kind (K, O, N), the
        value's kind, its start and its end.
        """
        # Behind the first tuple, each further one has a kind and a count of two bytes; for the
        # first tuple these are in the head.
        position = HEAD_BYTES
        for number, kind in enumerate(self.layout.kinds):
            if number:
                position += 3
            for _ in self.layout.relation.columns:
                how, first, position = locate(self.message, position)
                yield kind, how, first, position
        if position != len(self.message):
            raise DecodeError(f"{len(self.message) - position} bytes follow the row", position)

    def raw(self, column: int, *, old: bool = False) -> bytes | Unchanged | None:
        """One value's bytes, of the new row or of the old row or key; raises LookupError if there
        is no such row.
        """
        wanted = "N" if not old else "O" if "O" in self.layout.kinds else "K"
        # All spans are walked for one value, because its position follows from the lengths before
        # it.
        spans = [span for span in self.spans() if span[0] == wanted]
        if not spans:
            raise LookupError(
                f"a change of kind {self.operation} has no {'old' if old else 'new'} row"
            )
        _, how, first, last = spans[column]
        return None if how == "n" else UNCHANGED if how == "u" else self.message[first:last]


class Layout:
    """The layout of one kind of a relation's changes; its readers are compiled on first use."""

    def __init__(self, relation: Relation, shape: bytes, values: ValueForm) -> None:
        self.relation = relation
        self.kinds = SHAPES[shape]
        self._shape = shape
        self._forms: Mapping[str, RowForm] = {"text": TextForm(), "values": values}
        self._readers: dict[str, Read] = {}

    def text(self, message: bytes) -> ChangeMessage:
        """Read a message's texts."""
        return self._read("text", message)

    def values(self, message: bytes) -> ChangeMessage:
        """Read a message's values."""
        return self._read("values", message)

    def _read(self, form: str, message: bytes) -> ChangeMessage:
        # A layout rarely needs both readers, and compiling one costs far more than reading a row.
        if form not in self._readers:
            self._readers[form] = self._forms[form].reader(self.relation, self._shape, message)
        change: ChangeMessage = self._readers[form](message)
        return change


class LazyForm:
    """Changes that keep their message and are read on demand."""

    def __init__(self, kinds: ValueKinds | None = None) -> None:
        self._values = ValueForm(kinds)

    def reader(self, relation: Relation, shape: bytes, example: bytes) -> Read:
        """A reader that only wraps the message."""
        # The message itself is kept: a tuple of its values would cost what being lazy saves.
        del example
        return partial(LazyChange, Layout(relation, shape, self._values))

    def learn(self, described: Type) -> None:
        """Note a type for changes that are read as values later."""
        self._values.learn(described)
