"""Every animal of the zoo is named as what it is, and the sound pipeline is not accused of
anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from cdc_users.measure.ledger.ledger import Audit, audit, audit_taps
from cdc_users.measure.ledger.probe import Operation
from cdc_users.observe.comparison import last_seen
from cdc_users.observe.final_state import ArraySide, DeletedKeys, TableState, compare
from cdc_users.observe.message import FINAL_FINDINGS, Final
from cdc_users.observe.tap import ObservedRecord
from tests.unit.cdc_users.measure.ledger import zoo
from tests.unit.cdc_users.measure.ledger.zoo import (
    PARTITIONS,
    STEP,
    Log,
    Pipeline,
    Source,
    fence,
    source,
)

WAYS = (zoo.through_kafka, zoo.through_webhook)
Way = Callable[[Log], ObservedRecord]


@dataclass(frozen=True, slots=True)
class Animal:
    """A broken pipeline: what it must be found guilty of, and what may follow from that."""

    pipeline: Pipeline
    must: frozenset[str]
    may: frozenset[str] = frozenset()
    events: int = 2_500
    row_bytes: int = 0

    def __str__(self) -> str:
        return getattr(self.pipeline, "__name__", "")


def animal(
    pipeline: Pipeline, must: str, may: str = "", events: int = 2_500, row_bytes: int = 0
) -> Animal:
    return Animal(pipeline, frozenset(must.split()), frozenset(may.split()), events, row_bytes)


# A missing row tears its transaction where that had others; an old row that comes last leaves its
# key stale.
ANIMALS = (
    animal(zoo.drops_one_in_ten_thousand, "lost", "torn", events=20_000),
    animal(zoo.drops_the_tail, "lost", "torn"),
    animal(zoo.replays_a_batch_at_the_end, "duplicated stale"),
    animal(zoo.repeats_single_events, "duplicated"),
    animal(zoo.swaps_two_updates_of_a_key, "reordered", "stale"),
    animal(zoo.last_write_wins_after_a_replay, "duplicated stale"),
    animal(zoo.splits_a_transaction, "torn lost"),
    animal(zoo.truncates_text_at_255, "corrupt", row_bytes=300),
    animal(zoo.turns_null_into_text, "corrupt"),
    animal(zoo.rounds_a_timestamp, "corrupt"),
    animal(zoo.rounds_a_decimal, "corrupt"),
    animal(zoo.acknowledges_before_the_effect_and_dies, "lost", "torn"),
    animal(zoo.emits_a_rolled_back_row, "phantom", "torn"),
    animal(zoo.loses_only_deletes, "lost torn"),
    animal(zoo.keeps_the_newest_of_each_key, "lost", "torn"),
    animal(zoo.sends_a_key_two_ways, "reordered stale"),
    animal(zoo.puts_a_row_under_its_neighbours_key, "corrupt"),
)


def run(made: Source, pipeline: Pipeline, way: Way, seed: int) -> ObservedRecord:
    arrived = pipeline(made, random.Random(seed))
    return way(arrived + [fence(partition) for partition in range(PARTITIONS)])


def conclude(made: Source, record: ObservedRecord) -> Audit:
    arrivals = record.arrivals()
    assert not record.errors
    return audit(
        STEP, made.outcomes, arrivals, fenced=arrivals.fenced_partitions == set(range(PARTITIONS))
    )


def final(made: Source, record: ObservedRecord, *, told_deletes: bool = False) -> Final:
    keys = np.fromiter(made.versions, dtype=np.int64)
    versions = np.fromiter(made.versions.values(), dtype=np.int64)
    expected = ArraySide("expected", TableState.of(keys, versions), marked=False)
    gone = zoo.deleted(made) if told_deletes else None
    return compare(expected, last_seen(record.arrivals(), expected), gone=gone)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("beast", ANIMALS, ids=str)
def test_a_broken_pipeline_is_named_as_what_it_is(beast: Animal, way: Way) -> None:
    made = source(1, beast.events, beast.row_bytes)

    found = conclude(made, run(made, beast.pipeline, way, 1))

    assert beast.must <= set(found.findings) <= beast.must | beast.may
    assert found.sent + found.phantom == found.delivered + found.lost
    for finding in found.findings:
        located = [example for example in found.examples if example.finding == finding]
        assert len(located) == min(100, found.findings[finding])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(20))
def test_a_sound_pipeline_is_accused_of_nothing(seed: int, way: Way) -> None:
    made = source(seed, 1_000, row_bytes=300 if seed % 2 else 0)

    record = run(made, zoo.sound, way, seed)
    found = conclude(made, record)

    assert found.findings == {}
    assert (found.delivered, found.gap, found.replayed, found.uncheckable) == (
        len(made.log),
        0,
        0,
        0,
    )
    assert found.checked == len(made.log)
    assert final(made, record).clean


def test_a_pipeline_that_drops_the_fences_too_is_not_said_to_lose() -> None:
    made = source(3, 1_500)

    found = conclude(made, zoo.through_kafka(zoo.drops_the_tail(made, random.Random(3))))

    assert set(found.findings) == {"unseen"}


def test_what_was_lost_is_exactly_the_deletes() -> None:
    made = source(4, 1_500)

    found = conclude(made, run(made, zoo.loses_only_deletes, zoo.through_kafka, 4))

    deletes = {
        (sent.transaction[0], sent.change.sequence)
        for sent in made.log
        if sent.change.operation is Operation.DELETE
    }
    lost = {
        (example.writer, example.sequence)
        for example in found.examples
        if example.finding == "lost"
    }
    assert found.lost == len(deletes)
    assert lost <= deletes


@pytest.mark.parametrize("way", WAYS)
def test_keys_that_a_replay_left_old_are_stale_in_the_final_state_too(way: Way) -> None:
    made = source(5, 2_500)
    record = run(made, zoo.last_write_wins_after_a_replay, way, 5)

    left = final(made, record)

    assert left.stale + left.extra == conclude(made, record).stale
    assert left.stale > 0
    assert left.missing == 0


def test_rows_whose_delete_was_lost_are_extra_in_the_final_state() -> None:
    made = source(6, 1_500)

    left = final(made, run(made, zoo.loses_only_deletes, zoo.through_kafka, 6))

    deletes = sum(sent.change.operation is Operation.DELETE for sent in made.log)
    assert (left.extra, left.missing, left.stale) == (deletes, 0, 0)


def test_rows_whose_delete_was_swallowed_are_undeleted_where_the_writers_know_of_it() -> None:
    made = source(6, 1_500)

    left = final(made, run(made, zoo.loses_only_deletes, zoo.through_kafka, 6), told_deletes=True)

    deletes = sum(sent.change.operation is Operation.DELETE for sent in made.log)
    assert (left.extra, left.missing, left.stale, left.undeleted) == (0, 0, 0, deletes)


def test_a_row_that_never_was_is_extra_even_where_others_were_deleted() -> None:
    expected = ArraySide("expected", TableState.of(np.array([1]), np.array([1])), marked=False)
    sink = ArraySide("sink", TableState.of(np.array([1, 2, 3, 3, 4]), np.array([1, 5, 1, 2, 1])))

    left = compare(expected, sink, gone=DeletedKeys.of(np.array([4, 3]), np.array([5, 3])))

    found = {name: getattr(left, name) for name in FINAL_FINDINGS if getattr(left, name)}
    assert found == {"extra": 1, "repeated": 1, "undeleted": 1, "resurrected": 1}


@pytest.mark.parametrize("consumer", zoo.CONSUMERS, ids=str)
def test_a_plain_consumer_with_one_fault_is_named_as_what_it_is(consumer: zoo.Consumer) -> None:
    made = source(11, 6_000, row_bytes=300)

    left = zoo.kept_in_a_table(made, consumer)

    assert {name for name in FINAL_FINDINGS if getattr(left, name)} == consumer.found
    assert {one.finding for one in left.examples} == consumer.found


def test_a_loss_behind_the_topic_is_put_down_to_the_sink() -> None:
    made = source(7, 1_500)
    topic = run(made, zoo.sound, zoo.through_kafka, 7)
    sink = run(made, zoo.acknowledges_before_the_effect_and_dies, zoo.through_webhook, 7)

    found = audit_taps(
        STEP, made.outcomes, {"topic": topic.arrivals(), "sink": sink.arrivals()}, fenced=True
    )

    assert found["topic"].clean
    assert found["sink"].lost_at == {"sink": found["sink"].lost}


def test_another_runs_events_are_foreign_and_in_no_count() -> None:
    made = source(8, 500)
    arrived = zoo.sound(made, random.Random(8))

    found = zoo.through_kafka(arrived, run="another1").arrivals()

    assert found.foreign == len(arrived)
    assert not found.steps
