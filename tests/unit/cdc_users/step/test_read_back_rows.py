"""What had no answer is looked up in the tables, once no backend of the run is at work any more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from cdc_users.measure.ledger.ledger import Outcomes
from cdc_users.measure.ledger.probe import Operation, Probe, format_probe
from cdc_users.step import read_back
from cdc_users.step.read_back import WrittenTables, key_sequences, settle_unknown
from cdc_users.users.source.look import SourceLook
from cdc_users.users.target import DatabaseTarget
from cdc_users.users.workload.workload import KEYS_PER_WRITER, Workload

pytestmark = pytest.mark.gevent

RUN, WRITER = "abcd1234", 10_000
TARGET = DatabaseTarget("dsn", "public", ("customers",))
BASE = WRITER * KEYS_PER_WRITER


def probe(sequence: int) -> str:
    return format_probe(Probe(RUN, WRITER, sequence, sequence, 0, 1, 1, Operation.INSERT, 0, 0))


@dataclass
class Source:
    """A database with these rows (probe by key); its lanes are at work for `busy` more looks."""

    rows: dict[int, str | None] = field(default_factory=dict)
    busy: int = 0
    looks: list[str] = field(default_factory=list)
    waits: int = 0
    asked: list[list[int]] = field(default_factory=list)

    @contextmanager
    def opened(self, target: DatabaseTarget, run: str) -> Iterator[Source]:
        assert target is TARGET
        self.looks.append(run)
        yield self

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        assert query.startswith('SELECT id, probe FROM "public"."customers" WHERE id IN (')
        keys = [int(key) for key in re.findall(r"\d+", query)]
        self.asked.append(keys)
        return [(key, self.rows[key]) for key in keys if key in self.rows]

    def lanes_idle(self) -> bool:
        self.waits += 1
        self.busy -= 1
        return self.busy < 0


def settled(
    source: Source, monkeypatch: pytest.MonkeyPatch, outcome: Outcomes, limit_s: float = 30.0
) -> Outcomes:
    monkeypatch.setattr(read_back, "source_look", source.opened)
    written = WrittenTables(TARGET, RUN, Workload(), 1)
    return settle_unknown(written, {WRITER: outcome}, limit_s)[WRITER]


def test_outcomes_that_are_all_known_ask_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    source, known = Source(), Outcomes(acked=[(1, 3)], failed=[(4, 4)])

    assert settled(source, monkeypatch, known) == known
    assert source.looks == []


def test_a_row_that_is_there_was_written_and_one_that_is_not_was_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GIVEN three inserts without an answer, of which one has its row."""
    source = Source({BASE + 2: probe(2)})
    found = settled(source, monkeypatch, Outcomes(acked=[(1, 1)], unknown=[(2, 4)]))

    assert list(found.acked) == [(1, 1), (2, 2)]
    assert list(found.failed) == [(3, 4)]
    assert list(found.unknown) == []
    assert source.asked == [[BASE + 2, BASE + 3, BASE + 4]]
    assert source.looks == [RUN]


def test_a_row_without_a_probe_or_with_another_ones_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Source({BASE + 2: None, BASE + 3: "nonsense", BASE + 4: probe(9)})
    found = settled(source, monkeypatch, Outcomes(unknown=[(2, 4)]))

    assert (list(found.acked), list(found.failed)) == ([], [(2, 4)])


def test_backends_at_work_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_back, "POLL_S", 0.0)
    source = Source({BASE + 2: probe(2)}, busy=3)
    found = settled(source, monkeypatch, Outcomes(unknown=[(2, 2)]))

    assert list(found.acked) == [(2, 2)]
    assert source.waits == 4


def test_what_may_still_be_written_stays_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_back, "POLL_S", 0.0)
    source, doubtful = Source({BASE + 2: probe(2)}, busy=10**9), Outcomes(unknown=[(2, 2)])

    assert settled(source, monkeypatch, doubtful, limit_s=0.02) == doubtful
    assert source.asked == []


def test_many_keys_are_asked_for_in_parts_and_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_back, "KEYS_PER_QUERY", 3)
    source = Source({key: probe(key) for key in range(1, 8)})
    found = key_sequences(cast(SourceLook, source), TARGET, list(range(1, 8)))

    assert source.asked == [[1, 2, 3], [4, 5, 6], [7]]
    assert found == {key: key for key in range(1, 8)}
    assert key_sequences(cast(SourceLook, source), TARGET, []) == {}
    assert len(source.asked) == 3
