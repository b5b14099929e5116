"""Compiles the functions that read rows from change messages, one for each relation and kind of
message.

PostgreSQL documentation, "Logical Replication Message Formats", TupleData: a column is `n` (NULL),
`u` (unchanged and not sent), or `t` (text) or `b` (binary) with a length in four bytes and that
many bytes.

The compiled code has no loop over columns and no call for a value. A value's head is compared as
one slice with `t` and three zeros, so that the length is a single byte; any other head goes to
`rare`. If the row is ASCII, the text is decoded once for the message and sliced. The message's head
is left out of that test, because OIDs often have bytes over 127.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from types import CodeType
from typing import Any, Protocol, runtime_checkable

from infra.replication.error import DecodeError
from infra.replication.pgoutput.event import UNCHANGED, Relation, Type

#: A change's first bytes: the operation, the relation's OID, and the first tuple's kind and number
#: of columns.
HEAD_BYTES = 8
head_of = itemgetter(slice(HEAD_BYTES))
SHORT = b"t\0\0\0"
#: Above this size, decoding the whole message first costs more than decoding each value.
LONG_BYTES = 4096
#: For each kind of change, its tuples in order; the kind is the operation and the first tuple's
#: kind, as in a message's head.
SHAPES: Mapping[bytes, str] = {
    b"IN": "N",
    b"UN": "N",
    b"UK": "KN",
    b"UO": "ON",
    b"DK": "K",
    b"DO": "O",
}

Read = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Codec:
    """How one column's values are read.

    `ascii` and `utf8` are expressions of `s` (the row as text, ASCII only), `b` (its bytes), and
    `a` and `p` (where the value starts and ends). `text` and `binary` are functions of a value's
    bytes, for cases without an expression. `null` is the expression for NULL; `unchanged` is the
    value for one that was not sent. In a tuple of the key alone every other column is NULL although
    the source did not say so; `absent` is the expression for these columns, if it differs. With
    `from_old` a value that was not sent is the old row's, where that was sent whole.
    """

    ascii: str
    utf8: str
    text: Callable[[bytes], Any]
    binary: Callable[[bytes], Any]
    names: Mapping[str, object] = field(default_factory=dict)
    null: str = "None"
    unchanged: Any = UNCHANGED
    absent: str = ""
    from_old: bool = False


class Form(Protocol):
    """What a decoder makes of changes: texts, values, an object that is read later, or serialised
    bytes.
    """

    def reader(self, relation: Relation, shape: bytes, example: bytes) -> Read:
        """A function from messages of this relation and shape to changes in this form; `example` is
        one such message.

        It is called only with messages of that head, and raises DecodeError for anything malformed
        behind it, unless the form reads later.
        """
        ...

    def learn(self, described: Type) -> None:
        """Note a type that is not built in; called before the relations that use it."""
        ...


@runtime_checkable
class BulkForm(Form, Protocol):
    """A form that can also read many changes at once."""

    def read_many(
        self, relation: Relation, shape: bytes, messages: Sequence[bytes]
    ) -> list[Any] | None:
        """The changes of these messages, all of one head, equal to those of the single readers;
        None if this form cannot read them in bulk.

        Raises nothing: malformed messages are left to the single readers.
        """
        ...


class Program(Protocol):
    """The input of `compile_reader`.

    `codec` says how the column at a position is read; names in its expressions must be unique for
    each column. `result` is the expression of the whole change, in which the values of the tuple of
    kind N are the variables n0, n1, ...; `names` are the names that it uses.
    """

    def codec(self, relation: Relation, position: int) -> Codec:
        """How the column at this position is read."""
        ...

    def result(self, relation: Relation, operation: str, kinds: str) -> str:
        """The expression of a change."""
        ...

    def names(self, relation: Relation) -> Mapping[str, object]:
        """The names to which `result` refers."""
        ...


def compile_reader(
    relation: Relation, shape: bytes, program: Program, example: bytes = b""
) -> Read:
    """A function from one kind of change message of this relation to the program's result.

    The caller must have compared the message's head. The function raises DecodeError for anything
    malformed. The example shows which columns are more often NULL than not, which affects only
    speed.
    """
    kinds = SHAPES[shape]
    codecs = [program.codec(relation, position) for position in range(len(relation.columns))]
    result = program.result(relation, shape.decode()[0], kinds)
    count = len(codecs).to_bytes(2, "big")
    head = shape[:1] + relation.oid.to_bytes(4, "big") + shape[1:] + count
    source = _source(
        kinds, codecs, result, head.isascii(), _nulls(example, len(kinds) * len(codecs))
    )
    space: dict[str, Any] = {
        "BLANK": bytes(HEAD_BYTES),
        "NOT_ASCII": "\x80",
        "NEW": b"N" + count,
        "rare": rare,
        "ended": ended,
        "unread": unread,
        "unexpected": unexpected,
    }
    space |= program.names(relation)
    for position, codec in enumerate(codecs):
        space |= {f"codec{position}": codec, **codec.names}
    exec(_code(source), space)  # noqa: S102 - the source is made here, of numbers and the forms' fixed expressions
    read: Read = space["read"]
    return read


# Tables of the same types have the same source. Compiling is slow compared with reading, which
# matters with thousands of tables or partitions.
@lru_cache(maxsize=256)
def _code(source: str) -> CodeType:
    """The compiled source, shared by all relations that are read alike."""
    return compile(source, "<pgoutput reader>", "exec")


def _nulls(example: bytes, columns: int) -> list[bool]:
    """Which values of a message are NULL, as far as the message is readable."""
    nulls: list[bool] = []
    position = HEAD_BYTES
    try:
        while len(nulls) < columns:
            if example[position : position + 1] == b"N":
                position += 3
            kind, _, position = locate(example, position)
            nulls.append(kind == "n")
    except DecodeError:
        nulls += [False] * (columns - len(nulls))
    return nulls


def _source(
    kinds: str, codecs: Sequence[Codec], result: str, ascii_head: bool, nulls: Sequence[bool]
) -> str:
    # Positions are those in the message: a head that is not ASCII is replaced by another of the
    # same length.
    # The slow way is a loop over columns that calls a function for each value, and the calls are
    # most of its time. Here a column is three lines without a call. The values are those that the
    # loop would give: a test runs both on the same messages.
    lines = ["def read(b):", *([] if ascii_head else [f" b = BLANK + b[{HEAD_BYTES}:]"])]
    lines += [
        f" a = p = {HEAD_BYTES}",
        f" s = str(b, 'latin-1') if len(b) < {LONG_BYTES} else NOT_ASCII",
        " try:",
    ]
    # In ASCII a character is a byte, so the text may be cut at byte positions; otherwise each value
    # is decoded alone. Both branches are compiled, because only the message shows which one
    # applies.
    for ascii_only in (True, False):
        lines.append("  if s.isascii():" if ascii_only else "  else:")
        for number, kind in enumerate(kinds):
            if number:
                lines += ["   if b[p:p + 3] != NEW:", "    unexpected(b, p, NEW)", "   p += 3"]
            for position, codec in enumerate(codecs):
                expression = codec.ascii if ascii_only else codec.utf8
                null_first = nulls[number * len(codecs) + position]
                null = codec.absent or codec.null if kind == "K" else codec.null
                old = f", o{position}" if codec.from_old and kinds[:number] == "O" else ""
                rare_call = f"rare(b, p, codec{position}{old})"
                lines += _column(
                    f"{kind.lower()}{position}", rare_call, expression, null, null_first
                )
        lines.append("   pass")
    lines += [
        " except IndexError:",
        "  raise ended(b) from None",
        " except (ValueError, ArithmeticError) as error:",
        "  raise unread(error, a) from error",
        " if p != len(b):",
        "  raise ended(b, p)",
        f" return {result}",
    ]
    return "\n".join(lines)


def _column(
    variable: str, rare_call: str, expression: str, null: str, null_first: bool
) -> list[str]:
    # 110 is `n`. The example's more frequent form is tried first, because a failing comparison
    # costs as much as a successful one.
    nothing = ["b[p] == 110:", f"    {variable} = {null}", "    p += 1"]
    rest = ["   else:", f"    {variable}, p = {rare_call}"]
    text = ["    a = q + 1", "    p = a + b[q]", f"    {variable} = {expression}"]
    if null_first:
        return [
            "   if " + nothing[0],
            *nothing[1:],
            f"   elif b[p:(q := p + 4)] == {SHORT!r}:",
            *text,
            *rest,
        ]
    return [
        "   q = p + 4",
        f"   if b[p:q] == {SHORT!r}:",
        *text,
        "   elif " + nothing[0],
        *nothing[1:],
        *rest,
    ]


def rare(b: bytes, p: int, codec: Codec, old: Any = UNCHANGED) -> tuple[Any, int]:
    """A value that is long, binary or unchanged, and the position behind it; raises DecodeError for
    any other kind. An unchanged one is the old row's, where that is given.
    """
    # Not inlined on purpose: few values come here, and the compiled code stays short enough for the
    # interpreter's caches.
    kind, first, last = locate(b, p)
    if kind == "u":
        return codec.unchanged if old is UNCHANGED else old, last
    try:
        return (codec.text if kind == "t" else codec.binary)(b[first:last]), last
    except (ValueError, ArithmeticError) as error:
        raise unread(error, first) from error


def locate(b: bytes, p: int) -> tuple[str, int, int]:
    """Kind, start and end of the value at this position of a row; raises DecodeError."""
    if p >= len(b):
        raise DecodeError("the message ends in the middle of a row", p)
    kind = chr(b[p])
    if kind in "nu":
        return kind, p + 1, p + 1
    if kind not in "tb":
        raise DecodeError(f"{kind!r} is no kind of value; n, u, t or b is needed", p)
    first = p + 5
    last = first + int.from_bytes(b[p + 1 : first], "big")
    if first > len(b) or last > len(b):
        raise DecodeError("the message ends in the middle of a value", p)
    return kind, first, last


def unread(error: Exception, a: int) -> DecodeError:
    """The error for a value that is complete, but not of its type."""
    return DecodeError(f"the value is not of its column's type or encoding: {error}", a)


def ended(b: bytes, p: int | None = None) -> DecodeError:
    """The error for a row that is shorter or longer than its message."""
    if p is None or p > len(b):
        return DecodeError("the message ends in the middle of a row", len(b))
    return DecodeError(f"{len(b) - p} bytes follow the row", p)


def unexpected(b: bytes, p: int, head: bytes) -> None:
    """Raise the error for a second tuple that is not the relation's new row."""
    if p >= len(b):
        raise ended(b)
    raise DecodeError(f"{b[p : p + 3]!r} is not the head of a new row, {head!r}", p)
