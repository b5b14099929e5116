"""Three ways to read a row: as text, as Python values, or not yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from infra.platform.wal.event import Delete, Insert, Relation, Update
from infra.platform.wal.tuple_reader import Codec


def _text(value: bytes) -> str:
    return str(value, "utf-8")


class TextForm:
    """Rows of the texts that Postgres writes; a value that was sent in binary form stays bytes."""

    _codec = Codec(ascii="s[a:p]", utf8="str(b[a:p], 'utf-8')", text=_text, binary=bytes)

    def codec(self, relation: Relation, position: int) -> Codec:
        """The same for every column."""
        del relation, position
        return self._codec

    def result(self, relation: Relation, operation: str, kinds: str) -> str:
        """An Insert, Update or Delete."""
        width, keys = len(relation.columns), relation.key_positions
        after, before = _row("n", range(width)), _row("o", range(width))
        key = _row("k", keys)
        if operation == "I":
            return f"Insert(R, {after})"
        old = {"N": "", "ON": f", {before}", "KN": f", None, {key}", "O": f", {before}", "K": f", None, {key}"}[kinds]
        return f"Update(R, {after}{old})" if operation == "U" else f"Delete(R{old})"

    def names(self, relation: Relation) -> Mapping[str, Any]:
        """The relation and the events' classes."""
        return {"R": relation, "Insert": Insert, "Update": Update, "Delete": Delete}


def _row(prefix: str, positions: range | tuple[int, ...]) -> str:
    return "(" + "".join(f"{prefix}{position}, " for position in positions) + ")"


Converter = Callable[[str], Any]
