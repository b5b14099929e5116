"""Changes as JSON, straight from pgoutput's bytes.

One object a change, without white space:

{"op": "c" | "u" | "d" | "t", "source": {"lsn": commit LSN, "commit_ts_us": microseconds since
1970, "xid": ...}, "schema": ..., "table": ..., "before": row | null, "after": row | null}

A row is an object of its columns. Integers and finite floats are numbers, booleans are true and
false; everything else is the text that Postgres writes, numeric and json included, so that nothing
is rounded. NaN and the infinities are strings. A column that is absent was not sent (unchanged
TOAST); one that is null is NULL. `before` is the whole old row (REPLICA IDENTITY FULL) or null;
where only the old key is known, a field `key` follows `before`. A truncated table is one object
with neither row. Integers keep all their digits; readers that take numbers as doubles lose those
over 2**53.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain, pairwise, repeat
from operator import itemgetter
from typing import Any

import msgspec
import orjson

from infra.platform.wal.serialise.commit_source import CommitSource
from infra.platform.wal.serialise.json_form import JsonForm, JsonRecord, KeyColumns, no_key
from infra.platform.wal.serialise.json_template import JsonTemplate
from infra.replication.error import DecodeError
from infra.replication.pgoutput.bulk import FEWEST, Heads, cut
from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.event import Relation, Truncate
from infra.replication.pgoutput.tuple_reader import LONG_BYTES, SHAPES

_SOURCES = msgspec.json.Encoder()
#: With more messages at once, the data no longer fits into the processor's caches.
_MOST = 1000
_CHANGES = b"IUD"
_LOW = 0xFFFFFFFF


class ChangeJson:
    """Serialises the messages of one connection, in commit order.

    Not thread-safe.

    The key that orders a table's changes consists of the replica identity's columns. If these are
    all columns or none (FULL, NOTHING), `keys` gives the columns, usually those of the primary key.
    A key is the column's text; several are joined by zero bytes, in the order that `keys` gives.
    `keys` is called again whenever the server describes a table, because the key may have changed.
    With `any_bytes`, texts may be other than UTF-8 (any_bytes.py).
    """

    def __init__(
        self, keys: KeyColumns = no_key, probe_column: str = "", *, any_bytes: bool = False
    ) -> None:
        self._form = JsonForm(keys, probe_column)
        self._any_bytes = any_bytes
        self._decoder = PgOutputDecoder(self._form)
        self._templates: dict[bytes, JsonTemplate] = {}

    def serialise(self, source: CommitSource, messages: Sequence[bytes]) -> list[JsonRecord]:
        """The records of a transaction's messages, in their order; raises DecodeError."""
        return self.serialise_parts([(source, messages)])[0]

    def serialise_parts(
        self, parts: Sequence[tuple[CommitSource, Sequence[bytes]]]
    ) -> list[list[JsonRecord]]:
        """The records of many transactions, in commit order: much cheaper than one by one if the
        transactions are small.
        """
        counts = [len(part) for _, part in parts]
        messages = list(chain.from_iterable([part for _, part in parts]))
        # All transactions' sources are encoded in one call and split again at line ends, which
        # cannot occur inside JSON. One call for each would dominate where transactions have few
        # rows.
        texts = _SOURCES.encode_lines([source for source, _ in parts]).splitlines()
        sources = list(chain.from_iterable(map(repeat, texts, counts)))
        # One flat list: a list for each message would make the garbage collector traverse all of
        # them again and again.
        made: list[Any] = []
        nested = False
        for first in range(0, len(messages), _MOST):
            block = slice(first, first + _MOST)
            heads = Heads(messages[block])
            if heads.only(_CHANGES):
                made += self._changes(messages[block], heads, sources[block])
            else:
                nested = True
                made += self._mixed(messages[block], sources[block])
        records = [made[first:last] for first, last in pairwise(accumulate(counts, initial=0))]
        return list(map(_flat, records)) if nested else records

    def _mixed(
        self, messages: Sequence[bytes], sources: Sequence[bytes]
    ) -> list[JsonRecord | list[JsonRecord]]:
        """The records of messages of which some are no changes; what these say about relations
        applies to all later ones.
        """
        made: list[JsonRecord | list[JsonRecord]] = []
        borders = [
            row for row, message in enumerate(messages) if not message or message[0] not in _CHANGES
        ]
        for first, last in pairwise([-1, *borders, len(messages)]):
            segment = slice(first + 1, last)
            made += self._changes(messages[segment], Heads(messages[segment]), sources[segment])
            if last < len(messages):
                made.append(self._other(messages[last], sources[last]))
        return made

    def _other(self, message: bytes, source: bytes) -> list[JsonRecord]:
        self._form.source = orjson.Fragment(source)
        event = self._decoded(message, source)
        if isinstance(event, Relation):
            self._described(event)
        return (
            list(map(self._form.truncated, event.relations)) if isinstance(event, Truncate) else []
        )

    def _described(self, relation: Relation) -> None:
        """A table is described, for the first time or again; forget what was compiled for another
        key.
        """
        if self._form.learn_key(relation):
            self._decoder.forget(relation.oid)
            number = relation.oid.to_bytes(4, "big")
            for head in [head for head in self._templates if head[1:5] == number]:
                del self._templates[head]

    def _decoded(self, message: bytes, source: bytes) -> Any:
        """One message's event; a DecodeError names its transaction."""
        try:
            return self._decoder.decode(message)
        except DecodeError as error:
            raise _placed(error, message, source) from error

    def _changes(
        self, messages: Sequence[bytes], heads: Heads, sources: Sequence[bytes]
    ) -> list[JsonRecord]:
        places, made = self._at_once(messages, heads, sources)
        if len(made) == len(messages) and isinstance(places, range):
            return made
        # Filling a list by index is faster than sorting.
        records: list[Any] = [None] * len(messages)
        for place, record in zip(places, made, strict=True):
            records[place] = record
        if len(made) < len(messages):
            for place, record in enumerate(records):
                records[place] = record or self._singly(messages[place], sources[place])
        return records

    def _at_once(
        self, messages: Sequence[bytes], heads: Heads, sources: Sequence[bytes]
    ) -> tuple[Sequence[int], list[JsonRecord]]:
        """Indexes and records of the messages that can be serialised in bulk."""
        groups = [
            (template, places)
            for head, places in heads.places().items()
            if len(places) >= FEWEST and (template := self._template(head, messages[places[0]]))
        ]
        # `cut` walks over all groups at once, and needs descending numbers of values (bulk.py).
        groups.sort(key=lambda group: -group[0].values)
        places = (
            groups[0][1]
            if len(groups) == 1
            else list(chain.from_iterable([listed for _, listed in groups]))
        )
        rows, cuts = cut(
            _pick(messages, places), [template.group(len(listed)) for template, listed in groups]
        )
        places = _pick(places, rows)
        sources = _pick(sources, places)
        made_at: list[int] = []
        made: list[JsonRecord] = []
        last = 0
        for (template, _), piece in zip(groups, cuts, strict=True):
            first, last = last, last + piece.count
            # Every message of this group has a form that only the single reader knows.
            if not piece.count:
                continue
            try:
                keys, values, probes = template.fill(piece, sources[first:last])
            except (ValueError, KeyError):
                # Some value is not of its type; the single reader will say which one.
                continue
            made_at += places[first:last]
            # Only if a record has a probe or is a delete: two more fields would cost time for every
            # change.
            more = (
                (probes or repeat(b""), repeat(template.deletes))
                if probes or template.deletes
                else ()
            )
            made += map(JsonRecord, repeat(template.relation), keys, values, *more)
        return (places if len(made) == len(places) else made_at), made

    def _singly(self, message: bytes, source: bytes) -> JsonRecord:
        self._form.source = orjson.Fragment(source)
        try:
            # Not a function of its own, because a call would cost time for every change.
            record: JsonRecord = self._decoder.decode(message)
        except DecodeError as error:
            if not self._any_bytes:
                raise _placed(error, message, source) from error
            placed = _placed(error, message, source)
            return self._form.of_any_bytes(self._decoder.relations, message, placed)
        return record

    def _template(self, head: bytes, example: bytes) -> JsonTemplate | None:
        """The template of a head; None if messages of this head are read one at a time."""
        relation = self._decoder.relations.get(int.from_bytes(head[1:5], "big"))
        shape = head[:1] + head[5:6]
        # With long messages copying dominates, and cutting copies the most.
        if relation is None or shape not in SHAPES or len(example) > LONG_BYTES:
            return None
        if int.from_bytes(head[6:8], "big") != len(relation.columns):
            return None
        # Relations are compared by identity: the decoder keeps one object while the description
        # stays the same, so a changed table cannot find an old template.
        known = self._templates.get(head)
        if known is None or known.relation is not relation:
            known = self._templates[head] = JsonTemplate(
                relation, shape, self._form.key_positions(relation), self._form.probe_of(relation)
            )
        return known


def _placed(error: DecodeError, message: bytes, source: bytes) -> DecodeError:
    """The same error with the message's kind and its transaction."""
    place = orjson.loads(source)
    kind = chr(message[0]) if message else "?"
    return DecodeError(
        f"{error.reason} (message of kind {kind!r} in transaction {place['xid']} at"
        f" {place['lsn'] >> 32:X}/{place['lsn'] & _LOW:X})",
        error.offset,
    )


def _flat(made: Sequence[JsonRecord | list[JsonRecord]]) -> list[JsonRecord]:
    return list(
        chain.from_iterable(records if isinstance(records, list) else [records] for records in made)
    )


def _pick(listed: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    if places == range(len(listed)):
        return listed
    return itemgetter(*places)(listed) if len(places) > 1 else [listed[place] for place in places]
