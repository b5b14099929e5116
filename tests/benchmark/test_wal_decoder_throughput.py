"""WAL decoder: pgoutput bytes as a real server sent them, to rows; messages a second, beside the
plain decoder.

Unit of work: every message of a stream of so many changes, in chunks as the assembler hands them
out; what a chunk gives is dropped before the next. Run by `make bench-micro`, or by itself; no
server is needed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import pytest

from infra.replication.pgoutput.decoder import PgOutputDecoder
from infra.replication.pgoutput.event import Delete, Insert, Update
from infra.replication.pgoutput.form import LazyChange, LazyForm, TextForm, ValueForm
from infra.replication.pgoutput.tuple_reader import Form
from tests.benchmark import baseline
from tests.benchmark.micro import Measure, Work, measure, micro_report
from tests.benchmark.stream import Stream, enlarge

__all__ = ["measure", "micro_report"]

pytestmark = pytest.mark.micro

INSERT_FLOOR_PER_S = 50_000
WIDE_FLOOR_PER_S = 5_000
LARGE_FLOOR_PER_S = 500
CHANGES = (Insert, Update, Delete, LazyChange, baseline.Insert, baseline.Update, baseline.Delete)


@cache
def stream(name: str, changes: int) -> Stream:
    return enlarge(name, changes)


def decode(made: Stream, form: Callable[[], Form]) -> int:
    """The task: decode all, count what came."""
    decoder = PgOutputDecoder(form())
    return sum(len(decoder.decode_many(chunk)) for chunk in made.chunks)


def decode_plainly(made: Stream) -> int:
    """The same by the plain decoder."""
    decoder = baseline.Decoder()
    return sum(len([decoder.decode(message) for message in chunk]) for chunk in made.chunks)


def events(made: Stream, form: Form) -> Iterator[Any]:
    decoder = PgOutputDecoder(form)
    for chunk in made.chunks:
        for event in decoder.decode_many(chunk):
            yield event.text() if isinstance(event, LazyChange) else event


def plain_events(made: Stream) -> Iterator[Any]:
    decoder = baseline.Decoder()
    for chunk in made.chunks:
        yield from map(decoder.decode, chunk)


def checksum(decoded: Iterable[Any]) -> tuple[int, int]:
    """Rows, and one number over all their values in order."""
    rows = total = 0
    for event in decoded:
        if isinstance(event, CHANGES):
            rows += 1
            values = [
                *(getattr(event, "before", None) or ()),
                "|",
                *(getattr(event, "after", None) or ()),
            ]
            total = zlib.crc32(repr(values).encode(), total)
    return rows, total


def compare(
    measure: Measure,
    made: Stream,
    name: str,
    form: Callable[[], Form] = TextForm,
    *,
    goal: float | None = None,
    floor_per_s: float | None = None,
) -> None:
    """The rows must be the plain decoder's before anything is measured."""
    expected = checksum(plain_events(made))
    assert expected[0] == made.changes
    if form is not ValueForm:
        assert checksum(events(made, form())) == expected
    assert decode(made, form) == decode_plainly(made) == sum(map(len, made.chunks))

    work = Work(name, made.changes, made.size_bytes, goal, floor_per_s)
    measure(work, lambda: decode(made, form), lambda: decode_plainly(made))


@pytest.mark.parametrize("changes", [10_000, 50_000, 100_000])
def test_inserts_are_decoded(measure: Measure, changes: int) -> None:
    compare(
        measure,
        stream("insert", changes),
        f"decoder-insert-{changes}",
        goal=3,
        floor_per_s=INSERT_FLOOR_PER_S,
    )


def test_inserts_updates_and_deletes_are_decoded(measure: Measure) -> None:
    compare(measure, stream("mixed", 20_000), "decoder-mixed-20000")


@pytest.mark.parametrize(("columns", "changes"), [(10, 10_000), (50, 5_000), (100, 2_500)])
def test_wide_tables_are_decoded(measure: Measure, columns: int, changes: int) -> None:
    made = stream(f"wide_{columns}", changes)
    compare(measure, made, f"decoder-wide-{columns}-columns", goal=2, floor_per_s=WIDE_FLOOR_PER_S)


def test_interleaved_tables_are_decoded(measure: Measure) -> None:
    compare(measure, stream("interleaved", 20_000), "decoder-5-tables-interleaved")


def test_large_values_are_decoded(measure: Measure) -> None:
    made = stream("large", 2_000)
    assert made.size_bytes > 10_000 * made.changes
    compare(measure, made, "decoder-large-10KB", floor_per_s=LARGE_FLOOR_PER_S)


def test_rows_with_many_nulls_are_decoded(measure: Measure) -> None:
    compare(measure, stream("sparse", 10_000), "decoder-sparse-41-columns")


@pytest.mark.parametrize("name", ["insert", "wide_100"])
def test_rows_are_kept_to_be_read_later(measure: Measure, name: str) -> None:
    changes = 20_000 if name == "insert" else 2_500
    compare(measure, stream(name, changes), f"decoder-lazy-{name}", LazyForm, goal=12)


def test_values_of_their_types_are_read(measure: Measure) -> None:
    made = stream("insert", 20_000)
    first = next(event.after for event in events(made, ValueForm()) if isinstance(event, Insert))
    assert [type(value).__name__ for value in first] == [
        "int", "str", "str", "str", "NoneType", "Decimal", "datetime", "NoneType", "str",
    ]  # fmt: skip
    compare(measure, made, "decoder-values-insert", ValueForm)
