"""What each reader of options takes at its bounds and refuses beyond them, with the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdc_users.options import parse
from cdc_users.options.parse import Alternatives, Choices, Count, Counts, choice
from cdc_users.pipeline.outlets import sink_tap

COUNT, COUNTS = Count(1000), Counts(1000)
FROM_ZERO = Count(10, least=0)
WORDS = Alternatives(("debezium", "wal"))
NAMES = Choices("sink", ("webhook", "postgres"))


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (COUNT, "1", 1),
        (COUNT, "1000", 1000),
        (COUNT, "1k", 1000),
        (COUNT, "1e3", 1000),
        (COUNT, " 7 ", 7),
        (COUNT, "1_000", 1000),
        (FROM_ZERO, "0", 0),
        (FROM_ZERO, "-0", 0),
        (COUNTS, "1, 2,1000", (1, 2, 1000)),
        (COUNTS, "5,5", (5, 5)),
        (parse.durations, "50ms,1s", (0.05, 1.0)),
        (parse.warm_up, "none", 0.0),
        (parse.warm_up, "2s", 2.0),
        (parse.table, "public.customers", "public.customers"),
        (parse.table, "odd.name.orders", "odd.name.orders"),
        (parse.tables, "public.a, public.b", "public.a,public.b"),
        (parse.tables, "sales.orders,stock.orders", "sales.orders,stock.orders"),
        (parse.topics, "a, b.c", "a,b.c"),
        (parse.topic, "x" * 249, "x" * 249),
        (parse.probe_path, "record.data.note", "record.data.note"),
        (parse.factor, "1000", 1000.0),
        (parse.factor, "1.0001", 1.0001),
        (parse.size, "1MB", 1e6),
        (parse.size, "1000000TB", 1e18),
        (parse.size, "1.5 GB", 1.5e9),
        (parse.size, "1000kB", 1e6),
        (parse.precision, "3%", 0.03),
        (parse.precision, "0.5 %", 0.005),
        (parse.precision, "0.005", 0.005),
        (parse.precision, "100%", 1.0),
        (parse.precision, "1", 1.0),
        (parse.late, "catch-up", None),
        (parse.late, "drop", 0.1),
        (parse.late, "drop:50ms", 0.05),
        (choice("a", "b"), "b", "b"),
        (WORDS, "wal", ("wal",)),
        (WORDS, "wal, debezium,wal", ("wal", "debezium")),
        (NAMES, "postgres webhook", ("postgres", "webhook")),
        (NAMES, " postgres,, webhook ,", ("postgres", "webhook")),
        (parse.flag, "yes", True),
        (parse.flag, "ON", True),
        (parse.flag, "1", True),
        (parse.flag, "No", False),
        (parse.flag, "false", False),
        (parse.port, "0", 0),
        (parse.port, "65535", 65535),
        (parse.words, " a,b  c\t", ("a", "b", "c")),
        (parse.words, " , ", ()),
        (parse.targets, "db.example:5432, [::1]:1", ("db.example:5432", "[::1]:1")),
        (parse.platform, "none", "none"),
        (parse.platform, "reference", "reference"),
        (parse.pubsub_endpoint, "127.0.0.1:8085", "127.0.0.1:8085"),
        (parse.kinesis_endpoint, "http://127.0.0.1:4567", "http://127.0.0.1:4567"),
        (parse.column, "note", "note"),
    ],
)
def test_a_text_within_the_bounds_is_read(
    read: Callable[[str], Any], text: str, value: object
) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (COUNT, "0", "must be at least 1"),
        (COUNT, "1001", "must be at most 1,000"),
        (COUNT, "-1", "must be at least 1"),
        (COUNT, "9" * 400, "must be at most 1,000"),
        (COUNT, "1.5", "not a whole number"),
        (COUNT, "", "not a whole number"),
        (COUNT, "nan", "not a whole number"),
        (COUNT, "inf", "not a whole number"),
        (COUNT, "٣", "not a whole number"),
        (COUNT, "1__0", "not a whole number"),
        (COUNT, "0x10", "not a whole number"),
        (FROM_ZERO, "-1", "must be at least 0"),
        (COUNTS, "1,,2", "not a whole number"),
        (COUNTS, "1,2,", "not a whole number"),
        (COUNTS, "1,1001", "must be at most 1,000"),
        (COUNTS, ",".join("1" * 999), "999 values are too many; name at most 998"),
        (parse.durations, "1s,", "write"),
        (parse.durations, ",".join(["1s"] * 999), "too many"),
        (parse.warm_up, "None", "write"),
        (parse.stages, ",".join(["1:1s"] * 999), "too many"),
        (parse.table, "customers", "is not SCHEMA.TABLE"),
        (parse.table, ".customers", "is not SCHEMA.TABLE"),
        (parse.table, "public.", "is not SCHEMA.TABLE"),
        (parse.tables, "public.a,", "is not SCHEMA.TABLE"),
        (parse.tables, "public.a, public.a", "names a table twice"),
        (parse.topic, "x" * 250, "no name for a topic"),
        (parse.topic, "", "no name for a topic"),
        (parse.topic, "..", "no name for a topic"),
        (parse.topic, "ünicode", "no name for a topic"),
        (parse.topics, "a,,b", "no name for a topic"),
        (parse.topics, "a,b, a", "names a topic twice; name each once"),
        (parse.probe_path, "", "is no path"),
        (parse.probe_path, "record..note", "is no path"),
        (parse.probe_path, ".note", "is no path"),
        (parse.probe_path, "record. note", "is no path"),
        (parse.column, "a b", "not a plain column name"),
        (parse.factor, "1", "must be above 1"),
        (parse.factor, "1000.1", "at most 1000"),
        (parse.factor, "nan", "not a number"),
        (parse.factor, "-2", "must be above 1"),
        (parse.size, "999kB", "must be from 1MB"),
        (parse.size, "1000001TB", "must be from 1MB"),
        (parse.size, "5", "is no size"),
        (parse.size, "5gb", "is no size"),
        (parse.size, "GB", "not a number"),
        (parse.size, "-5GB", "must be from 1MB"),
        (parse.size, "infGB", "not a number"),
        (parse.precision, "0.4%", "must be from 0.5%"),
        (parse.precision, "100.1%", "must be from 0.5%"),
        (parse.precision, "3%%", "not a number"),
        (parse.precision, "3", "must be from 0.5%"),
        (parse.late, "drop:", "neither catch-up nor drop"),
        (parse.late, "drop 50ms", "neither catch-up nor drop"),
        (parse.late, "catch-up:50ms", "neither catch-up nor drop"),
        (parse.late, "", "neither catch-up nor drop"),
        (choice("a", "b"), "", "is not one of a, b"),
        (choice("a", "b"), "A", "is not one of a, b"),
        (WORDS, "wal,", "is not one of debezium, wal"),
        (NAMES, "", "names no sink; name some of webhook, postgres"),
        (NAMES, " , ", "names no sink"),
        (NAMES, "webhook,iceberg", "'iceberg' is not one of webhook, postgres"),
        (NAMES, ",".join(["webhook"] * 999), "too many"),
        (parse.flag, "", "neither yes nor no"),
        (parse.flag, "y", "neither yes nor no"),
        (parse.flag, "2", "neither yes nor no"),
        (parse.port, "65536", "is not a port"),
        (parse.port, "-1", "is not a port"),
        (parse.port, "00", "is not a port"),
        (parse.port, "８０", "is not a port"),
        (parse.port, "", "is not a port"),
        (parse.targets, "db.example", "is not HOST:PORT"),
        (parse.targets, "db.example:0", "is not HOST:PORT"),
        (parse.targets, "http://db:5432", "is not HOST:PORT"),
        (parse.platform, "no-such-program --sink x", "names no program"),
        (parse.platform, "'open", "is not a command line"),
        (parse.platform, "", "names no program"),
        (parse.pubsub_endpoint, "http://127.0.0.1:1", "is not HOST:PORT"),
        (parse.pubsub_endpoint, "user@127.0.0.1:1", "user or a password"),
        (parse.kinesis_endpoint, "127.0.0.1:4567", "is not a URL"),
        (parse.kinesis_endpoint, "http://key:word@127.0.0.1", "user or a password"),
        (parse.kinesis_endpoint, "http://127.0.0.1:99999", "is not a URL"),
        (parse.kinesis_endpoint, "http://[", "is not a URL"),
        (sink_tap.checked, "nowhere:x", "is not one of"),
        (sink_tap.checked, "webhook:", "is not one of"),
        (sink_tap.checked, "webhook", "is not one of"),
    ],
)
def test_a_text_beyond_the_bounds_is_refused_with_the_remedy(
    read: Callable[[str], Any], text: str, told: str
) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        read(text)

    assert len(str(refused.value)) < 600, "a long text is not repeated in full"


@pytest.mark.parametrize(
    ("words", "told"),
    [((), ""), (("a",), "a"), (("a", "b"), "a or b"), (("a", "b", "c"), "a, b or c")],
)
def test_alternatives_are_said_as_a_sentence_has_them(words: tuple[str, ...], told: str) -> None:
    assert parse.either(*words) == told


def test_a_directory_need_not_exist_and_must_be_writable(tmp_path: Path) -> None:
    assert parse.directory(str(tmp_path / "not" / "yet")) == tmp_path / "not" / "yet"
    assert not (tmp_path / "not").exists(), "a check leaves nothing behind"

    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="is a file; name another place"):
        parse.directory(str(tmp_path / "file" / "below"))


def test_the_bounds_that_a_reader_names_are_those_that_it_keeps() -> None:
    assert (COUNT.takes, FROM_ZERO.takes) == ("1 to 1,000", "0 to 10")
    assert COUNTS.takes == "1 to 1,000, several by comma"
    assert choice("a", "b").takes == "one of a, b"
    assert WORDS.takes.startswith("one of debezium, wal; several")
