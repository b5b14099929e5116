"""The ledger against brute force, on streams that are cut, repeated, shuffled and shared out in
every way.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc_users.measure.ledger.arrival import EncodedArrivals
from cdc_users.measure.ledger.ledger import (
    BLOCK,
    Arrivals,
    Ledger,
    Outcomes,
    PartitionEvents,
    audit,
    audit_taps,
    merge,
)
from cdc_users.measure.ledger.probe import (
    LANES_PER_STEP,
    Operation,
    Probe,
    format_probe,
    parse_probes,
)
from cdc_users.measure.wire import decode, encode
from tests.unit.cdc_users.measure.ledger.oracle import Event, Oracle

RUN = "abcd1234"
STEPS = (3, 4)


def workload(
    chance: random.Random, transactions: int, first_sequence: int = 1
) -> dict[int, list[Event]]:
    """What a few writers of two steps have sent, in order: inserts, updates, and deletes with
    their stamps.
    """
    sent: dict[int, list[Event]] = {}
    for writer in (30_001, 30_002, 40_007):
        events, versions, sequence = [], dict[int, int](), first_sequence - 1
        for transaction in range(1, transactions + 1):
            rows: list[tuple[int, int, str, bool]] = []
            for _ in range(chance.randint(1, 5)):
                key = chance.choice([*versions, 0])
                if key == 0:
                    key = writer * 10**8 + sequence + len(rows) + 1
                    versions[key] = 1
                    rows.append((key, 1, Operation.INSERT, False))
                elif chance.random() < 0.3:
                    rows += [(key, versions[key] + 1, Operation.STAMP, False)] * 1
                    rows.append((key, versions[key] + 1, Operation.STAMP, True))
                    del versions[key]
                else:
                    versions[key] += 1
                    rows.append((key, versions[key], Operation.UPDATE, False))
            for index, (key, version, operation, deleted) in enumerate(rows):
                probe = Probe(
                    RUN,
                    writer,
                    sequence + 1 + index - deleted,
                    transaction,
                    index - deleted,
                    len(rows),
                    version,
                    operation,
                    0,
                    0,
                )
                events.append(Event(probe, key, deleted))
            sequence += len(rows)
        sent[writer] = events
    return sent


def spoil(chance: random.Random, events: list[Event], kind: str) -> list[Event]:
    """The stream as a pipeline with one fault delivers it."""
    arrived = list(events)
    if kind in ("drops", "everything"):
        arrived = [event for event in arrived if chance.random() > 0.2]
    if kind in ("repeats", "everything"):
        first = chance.randrange(len(arrived) or 1)
        arrived += arrived[first : first + 10]
    if kind in ("shuffles", "everything"):
        for _ in range(5):
            first = chance.randrange(max(1, len(arrived) - 1))
            arrived[first : first + 2] = arrived[first : first + 2][::-1]
    return arrived


def feed(ledger: Ledger, events: list[Event], batch: int) -> Ledger:
    for first in range(0, len(events), batch):
        part = events[first : first + batch]
        ledger.observe(
            PartitionEvents(
                parse_probes([format_probe(event.probe).encode() for event in part], RUN),
                np.array([event.key for event in part], dtype=np.int64),
                0,
                np.arange(first, first + len(part)),
                at_us=1_000_000 + first * 1000,
            ),
            deleted=np.array([event.deleted for event in part]),
        )
    return ledger


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["nothing", "drops", "repeats", "shuffles", "everything"]),
    st.integers(1, 40),
    st.sampled_from([1, BLOCK - 20]),
)
def test_the_ledger_agrees_with_brute_force(
    seed: int, fault: str, batch: int, first_sequence: int
) -> None:
    chance = random.Random(seed)
    sent = workload(chance, chance.randint(1, 30), first_sequence)
    stream = [event for events in sent.values() for event in events]
    chance.shuffle(stream) if fault == "everything" else None
    arrived = spoil(chance, stream, fault)

    found = feed(Ledger(), arrived, batch).arrivals()

    oracle = Oracle().observe(arrived)
    for step in STEPS:
        counts = found.steps.get(step)
        assert (counts.delivered if counts else 0) == oracle.delivered[step]
        assert (counts.duplicated if counts else 0) == oracle.duplicated[step]
        assert (counts.reordered if counts else 0) == oracle.reordered[step]
        assert (counts.replayed if counts else 0) == oracle.replayed[step]
        assert found.gaps(step) == oracle.gaps[step]
        assert torn(found, step) == oracle.torn(step)
        assert set(found.stale(step).key.tolist()) == oracle.stale(step)
    assert {writer: set(seen) for writer, seen in found.seen.items()} == dict(oracle.seen)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 3))
def test_instances_that_share_the_keys_out_make_the_same_ledger_as_one(
    seed: int, batch: int, instances: int
) -> None:
    chance = random.Random(seed)
    sent = workload(chance, chance.randint(1, 30), BLOCK - 20)
    arrived = spoil(chance, [event for events in sent.values() for event in events], "everything")
    parts = [
        feed(Ledger(), [event for event in arrived if event.key % instances == number], batch)
        for number in range(instances)
    ]

    whole = merge(
        Arrivals.decode(decode(encode(part.arrivals().encode()), EncodedArrivals, "a tap"))
        for part in parts
    )

    alone = feed(Ledger(), arrived, batch).arrivals()
    for (
        step,
        counts,
    ) in (
        alone.steps.items()
    ):  # gaps are compared below: which of them are counted here is by chance
        assert replace(whole.steps[step], gap=0) == replace(counts, gap=0)
    for step in STEPS:
        assert torn(whole, step) == torn(alone, step)
        assert set(whole.stale(step).key.tolist()) == set(alone.stale(step).key.tolist())
        assert whole.gaps(step) == alone.gaps(step)
    assert {writer: seen.ranges() for writer, seen in whole.seen.items()} == {
        writer: seen.ranges() for writer, seen in alone.seen.items()
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 8))
def test_a_handover_between_two_instances_makes_the_same_ledger_as_one(
    seed: int, again: int
) -> None:
    chance = random.Random(seed)
    sent = workload(chance, chance.randint(2, 20))
    stream = [event for events in sent.values() for event in events]
    turn = chance.randrange(1, len(stream))
    first, second = stream[:turn], stream[max(0, turn - again) :]
    one = feed(Ledger(), first, 7)
    other = Ledger()
    for number in range(0, len(second), 7):
        part = second[number : number + 7]
        other.observe(
            PartitionEvents(
                parse_probes([format_probe(event.probe).encode() for event in part], RUN),
                np.array([event.key for event in part], dtype=np.int64),
                0,
                np.arange(len(part)),
                at_us=900_000_000 + number * 1000,
            ),
            deleted=np.array([event.deleted for event in part]),
        )

    whole = merge([one.arrivals(), other.arrivals()])

    alone = feed(Ledger(), [*first, *second], 7).arrivals()
    for step in STEPS:
        assert set(whole.stale(step).key.tolist()) == set(alone.stale(step).key.tolist())
        assert torn(whole, step) == torn(alone, step)
        if step in alone.steps:
            for name in ("delivered", "duplicated", "reordered"):
                assert getattr(whole.steps[step], name) == getattr(alone.steps[step], name)


def torn(arrivals: Arrivals, step: int) -> int:
    return sum(map(len, arrivals.torn(step).values()))


def outcomes_of(sent: dict[int, list[Event]]) -> dict[int, Outcomes]:
    return {
        writer: Outcomes(acked=[(events[0].sequence, events[-1].sequence)])
        for writer, events in sent.items()
    }


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["nothing", "drops", "repeats", "shuffles", "everything"]),
)
def test_what_was_sent_is_delivered_or_lost(seed: int, fault: str) -> None:
    chance = random.Random(seed)
    sent = workload(chance, 20)
    arrived = spoil(chance, [event for events in sent.values() for event in events], fault)
    arrivals = feed(Ledger(), arrived, 50).arrivals()

    for step in STEPS:
        found = audit(step, outcomes_of(sent), arrivals, fenced=True)
        assert found.sent == found.delivered + found.lost
        assert found.clean or fault != "nothing"


def test_a_loss_is_put_down_to_the_first_tap_that_lacks_it() -> None:
    sent = workload(random.Random(1), 30)
    stream = [event for events in sent.values() for event in events]
    topic = [event for event in stream if event.sequence != 4]
    sink = [event for event in topic if event.sequence % 10 != 7]
    taps = {
        "topic": feed(Ledger(), topic, 50).arrivals(),
        "sink": feed(Ledger(), sink, 50).arrivals(),
    }

    found = audit_taps(3, outcomes_of(sent), taps, fenced=True)

    of_step = [event for event in stream if event.probe.writer // LANES_PER_STEP == 3]
    sevens = sum(event.sequence % 10 == 7 for event in of_step)
    assert found["topic"].lost_at == {"topic": 2}
    assert found["sink"].lost_at == {"topic": 2, "sink": sevens}
    assert found["sink"].lost == 2 + sevens
    lost = [example for example in found["sink"].examples if example.finding == "lost"]
    assert {example.tap for example in lost if example.sequence == 4} == {"topic"}
    assert {example.tap for example in lost if example.sequence % 10 == 7} == {"sink"}


def test_a_sink_that_claims_what_the_topic_never_had_is_caught() -> None:
    sent = workload(random.Random(2), 10)
    stream = [event for events in sent.values() for event in events]
    taps = {
        "topic": feed(Ledger(), stream[3:], 50).arrivals(),
        "sink": feed(Ledger(), stream, 50).arrivals(),
    }

    assert audit_taps(3, outcomes_of(sent), taps, fenced=True)["sink"].unsourced == 3


def test_a_delete_without_a_probe_is_matched_to_its_keys_stamp() -> None:
    sent = workload(random.Random(3), 40)
    stream = [event for events in sent.values() for event in events]
    ledger = Ledger()
    for first in range(0, len(stream), 9):
        part = stream[first : first + 9]
        texts = [b"" if event.deleted else format_probe(event.probe).encode() for event in part]
        keys = np.array([event.key for event in part], dtype=np.int64)
        deleted = np.array([event.deleted for event in part])
        events = PartitionEvents(parse_probes(texts, RUN), keys, 0, np.arange(len(part)))
        ledger.observe(events, deleted=deleted)

    assert any(event.deleted for event in stream)
    for step in STEPS:
        assert audit(step, outcomes_of(sent), ledger.arrivals(), fenced=True).clean


def test_the_delete_of_a_row_that_was_not_stamped_is_foreign() -> None:
    ledger = Ledger()
    insert = Probe(RUN, 30_001, 1, 1, 0, 1, 1, Operation.INSERT, 0, 0)
    feed(ledger, [Event(insert, 5), Event(insert, 5, deleted=True)], 2)

    found = ledger.arrivals()
    assert (found.steps[3].delivered, found.steps[3].duplicated, found.foreign) == (1, 0, 1)


def test_fences_name_their_partitions() -> None:
    ledger = Ledger()
    for number, partition in ((1, 2), (2, 5)):
        fence = Probe(RUN, 9_999_999, number, number, 0, 1, 1, Operation.FENCE, 0, 0)
        batch = parse_probes([format_probe(fence).encode()], RUN)
        ledger.observe(PartitionEvents(batch, np.array([77]), partition, np.array([0])))

    assert ledger.fenced_partitions() == {2, 5}
    # By writer and sequence: a table of the user's own has keys that the harness did not choose.
    assert len(ledger.fences()) == 2
    assert not ledger.arrivals().steps


@pytest.mark.parametrize("lost", [BLOCK - 1, BLOCK, BLOCK + 1])
def test_a_transaction_across_full_blocks_is_torn_once(lost: int) -> None:
    ledger = Ledger()
    sequences = [sequence for sequence in range(1, 2 * BLOCK + 1) if sequence != lost]
    probes = [
        Probe(RUN, 30_001, n, (n + 1) // 7, (n + 1) % 7, 7, 1, "i", 0, 0)
        for n in sequences
        if n > 5
    ]
    feed(ledger, [Event(probe, probe.sequence) for probe in probes], 20_000)

    found = ledger.arrivals().torn(3)[30_001].tolist()
    last = len(range((2 * BLOCK + 2) // 7 * 7 - 1, 2 * BLOCK + 1))
    assert found[:1] == [lost]
    assert len(found) == 1 + (0 < last < 7)
