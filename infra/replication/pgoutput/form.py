"""Three ways to read a row: as text, as Python values, or later."""

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
    """Rows of the texts that Postgres writes, one message at a time; a value in binary form stays
    bytes.
    """

    # A text is sliced out of the whole message's string where that is ASCII: decoding once and
    # slicing is cheaper than decoding each value.
    _codec = Codec(ascii="s[a:p]", utf8="str(b[a:p], 'utf-8')", text=_text, binary=bytes)

    def reader(self, relation: Relation, shape: bytes, example: bytes) -> Read:
        """Compiled for the relation."""
        return compile_reader(relation, shape, self, example)

    def learn(self, described: Type) -> None:
        """Texts are texts."""

    def codec(self, relation: Relation, position: int) -> Codec:
        """The same for every column."""
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
        """The relation and the events' classes."""
        return {"R": relation, "Insert": Insert, "Update": Update, "Delete": Delete}


class TextForm(RowForm):
    """The same, many rows at once where that is faster."""

    def read_many(
        self, relation: Relation, shape: bytes, messages: Sequence[bytes]
    ) -> list[Any] | None:
        """Only inserts of short rows."""
        # Updates carry tuples that are only sometimes there, and of long rows copying is the cost:
        # both are read one at a time, at the same price as before.
        if shape != b"IN" or len(messages[0]) > LONG_BYTES:
            return None
        rows = read_rows(messages, len(relation.columns))
        return None if rows is None else list(map(Insert, repeat(relation), rows))


def _row(prefix: str, positions: range | tuple[int, ...]) -> str:
    return "(" + "".join(f"{prefix}{position}, " for position in positions) + ")"


class ValueForm(RowForm):
    """Rows of Python values (value.py), whether they were sent as text or in binary form."""

    def __init__(self, kinds: ValueKinds | None = None) -> None:
        self._kinds = kinds or ValueKinds()

    def learn(self, described: Type) -> None:
        """A domain may be of a type that is known."""
        self._kinds.learn(described)

    def codec(self, relation: Relation, position: int) -> Codec:
        """By the column's type."""
        kind = self._kinds.kind(relation.columns[position].type_oid)
        if kind.text is None:
            return Codec("s[a:p]", "str(b[a:p], 'utf-8')", _text, kind.binary)
        # Bound to a name of the column's own, so that the compiled reader calls it directly;
        # looking the type up again would be a dictionary access for each value.
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
    """A change that is not read yet: its message, and what is needed to read it.

    Malformed rows show only then.
    """

    layout: Layout
    message: bytes

    @property
    def relation(self) -> Relation:
        """The table."""
        return self.layout.relation

    @property
    def operation(self) -> str:
        """I, U or D."""
        return chr(self.message[0])

    def text(self) -> ChangeMessage:
        """The change with rows of texts."""
        return self.layout.text(self.message)

    def values(self) -> ChangeMessage:
        """The change with rows of Python values."""
        return self.layout.values(self.message)

    def spans(self) -> Iterator[tuple[str, str, int, int]]:
        """Where the values of all tuples stand in the message: the tuple's kind (K, O, N), the
        value's, start, end.
        """
        # Behind the first tuple each further one has a kind and a count of two bytes, which the
        # head has for the first.
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
        """One value's bytes, of the new row or of the old row or key;

        LookupError where there is no such row.
        """
        wanted = "N" if not old else "O" if "O" in self.layout.kinds else "K"
        # All spans are walked, although one is wanted: a value's place is known only from the
        # lengths before it.
        spans = [span for span in self.spans() if span[0] == wanted]
        if not spans:
            raise LookupError(
                f"a change of kind {self.operation} has no {'old' if old else 'new'} row"
            )
        _, how, first, last = spans[column]
        return None if how == "n" else UNCHANGED if how == "u" else self.message[first:last]


class Layout:
    """How one kind of a relation's changes is laid out; its readers are compiled when they are
    first needed.
    """

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
        # Both readers of a layout are rarely needed, and compiling one costs far more than reading
        # a row.
        if form not in self._readers:
            self._readers[form] = self._forms[form].reader(self.relation, self._shape, message)
        change: ChangeMessage = self._readers[form](message)
        return change


class LazyForm:
    """Changes that keep their message and are read when asked."""

    def __init__(self, kinds: ValueKinds | None = None) -> None:
        self._values = ValueForm(kinds)

    def reader(self, relation: Relation, shape: bytes, example: bytes) -> Read:
        """Nothing is read."""
        # The message itself is what is kept: a tuple of its values would cost what being lazy
        # saves.
        del example
        return partial(LazyChange, Layout(relation, shape, self._values))

    def learn(self, described: Type) -> None:
        """For those that are read as values later."""
        self._values.learn(described)
