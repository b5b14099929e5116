"""Changes as JSON: what the plain implementation gives for the same messages, one at a time or
many at once.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.platform.wal.serialise.change_json import ChangeJson
from infra.platform.wal.serialise.commit_source import CommitSource
from infra.platform.wal.serialise.json_form import JsonRecord
from infra.replication.error import DecodeError
from infra.replication.pgoutput.event import UNCHANGED, Relation
from tests.unit.infra.replication.pgoutput import wire
from tests.unit.infra.replication.pgoutput.wire import Binary, Value

SOURCE = CommitSource(lsn=100, commit_us=1_700_000_000_000_001, xid=5)
COLUMNS = [
    ("id", 20, True),
    ('na"me%', 25, False),
    ("ratio", 701, False),
    ("ok", 16, False),
    ("doc", 3802, False),
]
RELATION = wire.relation(7, COLUMNS, 'sch"ema', "ta%sble")
#: The same with REPLICA IDENTITY FULL: all columns are of the key.
FULL = wire.relation(7, [(name, oid, True) for name, oid, _ in COLUMNS], 'sch"ema', "ta%sble")
OTHER = wire.relation(0x4141, COLUMNS[:2], "public", "other")

names = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.just("x" * 70_000),
)
ratios = st.one_of(
    st.floats(allow_nan=False).map(repr), st.sampled_from(["NaN", "-Infinity", "1e+20", "-0"])
)
rows = st.tuples(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.one_of(st.none(), st.just(UNCHANGED), names),
    st.one_of(st.none(), ratios.map(lambda text: text.replace("inf", "Infinity"))),
    st.one_of(st.none(), st.sampled_from("tf")),
    st.one_of(st.none(), st.just('{"a": "b\\\\c"}')),
)


def as_json(row: Sequence[Value]) -> dict[str, Any]:
    """What a row of COLUMNS must be."""

    def value(name: str, text: Any) -> Any:
        if text is None or name in ('na"me%', "doc"):
            return text
        if name == "id":
            return int(text)
        if name == "ratio":
            return text if text[-1] in "Ny" else float(text)
        return text == "t"

    return {
        name: value(name, text)
        for (name, _, _), text in zip(COLUMNS, row, strict=False)
        if text is not UNCHANGED
    }


def whole(
    operation: str, *, table: tuple[str, str] = ('sch"ema', "ta%sble"), **rows: Any
) -> dict[str, Any]:
    return {
        "op": operation,
        "schema": table[0],
        "table": table[1],
        "before": None,
        "after": None,
        **rows,
        "source": {"lsn": 100, "commit_ts_us": 1_700_000_000_000_001, "xid": 5},
    }


def read(records: Sequence[JsonRecord]) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in records]


@given(st.lists(st.tuples(st.sampled_from("iuoOkKx"), rows, rows), max_size=60), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_many_changes_are_what_each_of_them_is(
    changes: list[tuple[str, Any, Any]], repeat: int
) -> None:
    changes = [*changes, *changes[:1] * repeat]
    messages = [RELATION, OTHER]
    expected = []
    for kind, row, old in changes:
        key = (old[0], None, None, None, None)
        if kind == "i":
            messages.append(wire.insert(7, row))
            expected.append(whole("c", after=as_json(row)))
        elif kind == "u":
            messages.append(wire.update(7, row))
            expected.append(whole("u", after=as_json(row)))
        elif kind == "o":
            messages.append(wire.update(7, row, old))
            expected.append(whole("u", before=as_json(old), after=as_json(row)))
        elif kind == "k":
            messages.append(wire.update(7, row, key, "K"))
            expected.append(whole("u", key={"id": int(old[0])}, after=as_json(row)))
        elif kind == "O":
            messages.append(wire.delete(7, old))
            expected.append(whole("d", before=as_json(old)))
        elif kind == "K":
            messages.append(wire.delete(7, key, "K"))
            expected.append(whole("d", key={"id": int(old[0])}))
        else:
            messages.append(wire.insert(0x4141, row[:2]))
            expected.append(whole("c", table=("public", "other"), after=as_json(row[:2])))
    together = ChangeJson().serialise(SOURCE, messages)
    alone = ChangeJson()
    singly = [record for message in messages for record in alone.serialise(SOURCE, [message])]

    assert read(together) == expected
    assert [(record.key, record.value) for record in together if b"e+" not in record.value] == [
        (record.key, record.value) for record in singly if b"e+" not in record.value
    ]
    owners = [old if kind in "OK" else row for kind, row, old in changes]
    assert [record.key for record in together] == [owner[0].encode() for owner in owners]


@pytest.mark.parametrize("nullable", [3, 5, 6, 70])
def test_rows_that_are_null_in_many_different_ways_at_once(nullable: int) -> None:
    """Few patterns have a text each, many do not, and beyond 64 columns there are no patterns."""
    kinds = [(25, "t%xt"), (23, "7"), (16, "t")]
    columns = [
        ("id", 20, True),
        *((f'c"{at}%b', kinds[at % 3][0], False) for at in range(nullable)),
    ]
    meant = ["t%xt", 7, True]
    rows = [[at for at in range(nullable) if number >> (at % 6) & 1] for number in range(64)]
    messages = [
        wire.insert(
            7, [str(number), *(None if at in null else kinds[at % 3][1] for at in range(nullable))]
        )
        for number, null in enumerate(rows)
    ]

    records = ChangeJson().serialise(SOURCE, [wire.relation(7, columns), *messages])

    assert [change["after"] for change in read(records)] == [
        {"id": number}
        | {f'c"{at}%b': None if at in null else meant[at % 3] for at in range(nullable)}
        for number, null in enumerate(rows)
    ]


def test_good_values_of_all_kinds_are_made_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were some value not understood there, its whole group would quietly be read one at a time."""
    texts: list[Value] = [
        None,
        "",
        "plain",
        'quo"ted\r\n',
        "back\\slash",
        '","',
        'she said "no",',
        "ü\U0001f600",
        "\x01",
        "100%",
    ]
    rows = [
        (integer, texts[number % len(texts)], ratio, truth, document)
        for number, (integer, ratio, truth, document) in enumerate(
            product(
                ["0", "-1", "10", "-9007199254740993"],
                [None, "-0", "1.5", "NaN", "-Infinity"],
                ["t", None],
                [None, "{}"],
            )
        )
    ]
    messages = [wire.insert(7, row) for row in rows]
    messages += [wire.update(7, row, old) for row, old in pairwise(rows)]
    messages += [wire.delete(7, (row[0], None, None, None, None), "K") for row in rows]
    serialiser = ChangeJson()
    assert serialiser.serialise(SOURCE, [RELATION]) == []
    monkeypatch.setattr(ChangeJson, "_singly", None)

    records = serialiser.serialise(SOURCE, messages)

    expected = [whole("c", after=as_json(row)) for row in rows]
    expected += [whole("u", before=as_json(old), after=as_json(row)) for row, old in pairwise(rows)]
    expected += [whole("d", key={"id": int(row[0])}) for row in rows]
    assert read(records) == expected


def test_a_relation_that_changes_in_mid_batch_counts_from_there_on() -> None:
    altered = wire.relation(7, [("id", 20, True), ("renamed", 25, False), *COLUMNS[2:]], "s", "t")
    row = ("1", "x", None, None, None)
    messages = [RELATION, *[wire.insert(7, row)] * 40, altered, *[wire.insert(7, row)] * 40]
    records = read(ChangeJson().serialise(SOURCE, messages))

    assert [list(record["after"])[1] for record in records] == ['na"me%'] * 40 + ["renamed"] * 40


def test_the_columns_of_a_key_can_be_named() -> None:
    serialiser = ChangeJson(lambda _: ("ok", "id"))
    rows = [(str(number), "x", None, "t", None) for number in range(30)]
    records = serialiser.serialise(SOURCE, [FULL, *(wire.insert(7, row) for row in rows)])

    assert [record.key for record in records] == [b"t\0%d" % number for number in range(30)]
    assert [record.key for record in serialiser.serialise(SOURCE, [wire.insert(7, rows[3])])] == [
        b"t\0003"
    ]


@pytest.mark.parametrize("identity", [True, False])
def test_a_primary_key_that_was_renamed_since_still_orders_unless_the_identity_is_full(
    identity: bool,
) -> None:
    columns = [("id", 20, True), ("name", 25, not identity)]
    serialiser = ChangeJson(lambda _: ("renamed",))
    kind = "d" if identity else "f"
    messages = [wire.relation(7, columns, "public", "other", kind), wire.insert(7, ("1", "x"))]
    if identity:
        assert [record.key for record in serialiser.serialise(SOURCE, messages)] == [b"1"]
        return

    with pytest.raises(DecodeError, match="has no column renamed, which is its primary key now"):
        serialiser.serialise(SOURCE, messages)


@pytest.mark.parametrize("alphabet", ['",\\', '"\n,', "\x00a", "\x01\x7f\u2028é"])
def test_texts_of_marks_that_json_has_itself_keep_apart(alphabet: str) -> None:
    alphabet = alphabet.replace("\x00", "")
    texts = ["".join(marks) for length in range(4) for marks in product(alphabet, repeat=length)]
    rows = [(str(number), text, None, None, None) for number, text in enumerate(texts * 20)]

    records = ChangeJson().serialise(SOURCE, [RELATION, *(wire.insert(7, row) for row in rows)])

    assert read(records) == [whole("c", after=as_json(row)) for row in rows]


def test_a_keys_text_is_the_same_in_bulk_and_alone() -> None:
    """Else one row's changes would go to two partitions."""

    def keys(_: Relation) -> Sequence[str]:
        return "ratio", "ok", "id"

    rows = [
        ("7", "x", ratio, "t", None) for ratio in ("1", "1.5", "1e+15", "-0", "NaN", "1e-07")
    ] * 20
    messages = [FULL, *(wire.insert(7, row) for row in rows)]
    alone = ChangeJson(keys)

    together = [record.key for record in ChangeJson(keys).serialise(SOURCE, messages)]
    singly = [record.key for message in messages for record in alone.serialise(SOURCE, [message])]

    assert together == singly == [f"{row[2]}\0t\x007".encode() for row in rows]


@pytest.mark.parametrize("count", [1, 40])
def test_where_deletes_name_another_index_its_columns_order_all_changes(count: int) -> None:
    """REPLICA IDENTITY USING INDEX: a deleted row comes without its primary key."""
    columns = [("id", 20, False), ("code", 25, True)]
    serialiser = ChangeJson(lambda _: ("id",))
    changes = [
        wire.insert(7, ("1", "c")),
        wire.update(7, ("1", "c")),
        wire.delete(7, (None, "c"), "K"),
    ]
    messages = [
        wire.relation(7, columns, "public", "other"),
        *(message for message in changes for _ in range(count)),
    ]

    assert {record.key for record in serialiser.serialise(SOURCE, messages)} == {b"c"}


def test_an_emptied_table_is_one_record() -> None:
    truncate = b"T" + struct.pack(">IBII", 2, 0, 7, 0x4141)
    records = ChangeJson().serialise(SOURCE, [RELATION, OTHER, truncate])

    assert read(records) == [whole("t"), whole("t", table=("public", "other"))]
    assert [record.relation.table for record in records] == ["ta%sble", "other"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (0, "x"),
        (0, ""),
        (0, "1-"),
        (0, "-"),
        (0, "--1"),
        (0, "1-2"),
        (0, "1,2"),
        (1, b"\xff"),
        (2, "ratio"),
        (3, "true"),
        (0, Binary(b"\0\0\0\1")),
        (1, b"a\xff\xff\xff\xff\xffb"),
    ],
)
def test_one_value_that_is_not_of_its_type_is_refused_among_many(column: int, value: Value) -> None:
    good: list[Value] = ["1", "x", "1.5", "t", "{}"]
    bad = [*good[:column], value, *good[column + 1 :]]
    messages = [
        RELATION,
        *[wire.insert(7, good)] * 50,
        wire.insert(7, bad),
        *[wire.insert(7, good)] * 50,
    ]
    if isinstance(value, Binary):
        assert read(ChangeJson().serialise(SOURCE, messages))[50]["after"]["id"] == 1
        return

    with pytest.raises(DecodeError, match="not of its column's type or encoding"):
        ChangeJson().serialise(SOURCE, messages)


def test_lengths_that_lie_are_refused_among_many() -> None:
    good = wire.insert(7, ["1", "x" * 20, "1.5", "t", "{}"])
    for place in range(8, len(good)):
        for mutated in (
            good[:place],
            good[:place] + b"\0\0" + good[place:],
            good[:place] + b"\xfe" + good[place + 1 :],
        ):
            messages = [RELATION, *[good] * 20, mutated, *[good] * 20]
            try:
                expected = [record.value for record in _singly(messages)]
            except DecodeError:
                with pytest.raises(DecodeError):
                    ChangeJson().serialise(SOURCE, messages)
            else:
                assert [
                    record.value for record in ChangeJson().serialise(SOURCE, messages)
                ] == expected


def _singly(messages: Sequence[bytes]) -> list[JsonRecord]:
    serialiser = ChangeJson()
    return [record for message in messages for record in serialiser.serialise(SOURCE, [message])]


LATIN = "M\xfcller".encode("latin-1")


@pytest.mark.parametrize("count", [1, 60])
def test_texts_in_no_known_encoding_are_written_as_their_bytes_and_listed(count: int) -> None:
    rows: list[tuple[Value, ...]] = [("1", LATIN, "1.5", "t", None), ("2", "ö", "NaN", "f", "{}")]
    messages = [RELATION, *(wire.insert(7, row) for row in rows for _ in range(count))]

    records = ChangeJson(any_bytes=True).serialise(SOURCE, messages)

    written = read(records)
    assert written[0]["bytes"] == ['na"me%']
    assert written[0]["after"] == {
        "id": 1,
        'na"me%': "\\x4dfc6c6c6572",
        "ratio": 1.5,
        "ok": True,
        "doc": None,
    }
    assert "bytes" not in written[count]
    assert written[count]["after"]['na"me%'] == "ö"
    assert {record.key for record in records} == {b"1", b"2"}


def test_without_leave_a_text_that_is_not_utf_8_is_an_error_with_its_place() -> None:
    with pytest.raises(DecodeError, match=r"not of its column's .* in transaction 5 at 0/64"):
        ChangeJson().serialise(SOURCE, [RELATION, wire.insert(7, ("1", LATIN, "1", "t", None))])


def test_what_is_malformed_is_an_error_where_any_bytes_are_taken_too() -> None:
    cut = wire.insert(7, ("1", LATIN, "1", "t", None))[:-3]
    with pytest.raises(DecodeError):
        ChangeJson(any_bytes=True).serialise(SOURCE, [RELATION, cut])


def test_a_table_described_again_is_ordered_by_its_new_key() -> None:
    keys: list[tuple[str, ...]] = [("id",)]
    serialiser = ChangeJson(lambda _: keys[-1])
    row = ("1", "x", None, "t", None)
    first = serialiser.serialise(SOURCE, [FULL, *[wire.insert(7, row)] * 40])
    keys.append(("ok", "id"))

    unaware = serialiser.serialise(SOURCE, [wire.insert(7, row)] * 40)
    after = serialiser.serialise(SOURCE, [FULL, wire.insert(7, row), *[wire.insert(7, row)] * 40])

    assert {record.key for record in first + unaware} == {b"1"}
    assert {record.key for record in after} == {b"t\x001"}


def test_inserts_of_a_table_whose_key_is_not_published_are_ordered_by_all_their_columns() -> None:
    relation = wire.relation(7, [("device", 25, False), ("reading", 701, False)])
    records = ChangeJson(lambda _: ("id",)).serialise(
        SOURCE, [relation, wire.insert(7, ("a", "1.5"))]
    )

    assert [record.key for record in records] == [b"a\x001.5"]
