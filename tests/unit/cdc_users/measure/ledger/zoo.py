"""A zoo of pipelines: one that is sound, and many that are broken, each in a way of its own.

A source of 64 writers makes a log of changes; a pipeline is a function from that log to what it
delivers. What is delivered goes as raw messages, Avro in Kafka or JSON in a webhook's request,
through a tap's own parsing. The broken pipelines exist here and nowhere else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import orjson

from cdc_users.measure.clock import Anchor
from cdc_users.measure.ledger.ledger import Outcomes, RowCheck
from cdc_users.measure.ledger.probe import KEYS_PER_WRITER, Operation, Probe, format_probe
from cdc_users.observe.events.envelope import KafkaMessage
from cdc_users.observe.events.value import CUSTOMERS, check
from cdc_users.observe.final_state import ArraySide, DeletedKeys, compare, state_of_probes
from cdc_users.observe.message import Final
from cdc_users.observe.settings import TopicSettings, WebhookSettings
from cdc_users.observe.tap import ObservedRecord
from cdc_users.observe.taps.topic import TopicTap
from cdc_users.observe.taps.webhook import WebhookTap
from cdc_users.users.workload.keyspace import RowChange
from cdc_users.users.workload.workload import Workload, Writer
from infra.avro.encoder import ChangeOrigin, EnvelopeEncoder
from infra.avro.row_reader import RowReader
from infra.postgres.table import CUSTOMERS_COLUMNS
from infra.schemas.debezium import customers_schemas

RUN = "zoo00001"
STEP = 1
WRITERS = 64
PARTITIONS = 8
START_US = 1_790_000_000_000_000
BATCH = 500
ANCHOR = Anchor("", 0, 0)
_DEBEZIUM = {
    Operation.INSERT: "c",
    Operation.UPDATE: "u",
    Operation.STAMP: "u",
    Operation.DELETE: "d",
}
_SCHEMAS = customers_schemas("cdc_zoo.zoo.customers")
_READER = RowReader(_SCHEMAS.value)
_ENCODER = EnvelopeEncoder(_SCHEMAS, 1, 2, ChangeOrigin())
_MOMENT = _ENCODER.moment(START_US)


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """One change in the log: its writer's transaction, its partition and offset, and its rows,
    which may be spoiled.
    """

    change: RowChange
    transaction: tuple[int, int]
    partition: int
    offset: int
    before: Sequence[Any] | None
    after: Sequence[Any] | None

    @property
    def row(self) -> Sequence[Any]:
        row = self.after if self.after is not None else self.before
        assert row is not None
        return row


Log = list[Sent]


@dataclass(frozen=True, slots=True)
class Source:
    """What the writers did: the log of what was committed, what was rolled back, their outcomes
    and final versions.
    """

    log: Log
    rolled_back: Log
    outcomes: Mapping[int, Outcomes]
    versions: Mapping[int, int]


def source(seed: int, events: int, row_bytes: int = 0) -> Source:
    """64 writers in turn, 20 % updates, 5 % deletes, one transaction in fifty rolled back."""
    chance = random.Random(seed)
    workload = Workload(mix=(75, 20, 5), live_keys=40, row_bytes=row_bytes, seed=seed)
    writers = [Writer(RUN, STEP * 10_000 + lane, workload) for lane in range(WRITERS)]
    log, rolled_back = Log(), Log()
    offsets = [0] * PARTITIONS
    versions: dict[int, int] = {}
    while len(log) < events:
        writer = chance.choice(writers)
        transaction = writer.transaction(chance.choice((1, 1, 2, 5)), START_US + len(log))
        failed = chance.random() < 0.02
        writer.settle(transaction, "failed" if failed else "acked")
        for change in transaction.changes:
            partition = change.key * 2_654_435_761 % 2**32 % PARTITIONS
            place = (writer.number, transaction.number)
            sent = Sent(change, place, partition, offsets[partition], change.before, change.row)
            offsets[partition] += not failed
            (rolled_back if failed else log).append(sent)
            if not failed and change.operation is Operation.DELETE:
                versions.pop(change.key)
            elif not failed:
                versions[change.key] = change.key_version
    told = {writer.number: writer.ranges.runs for writer in writers}
    outcomes = {
        number: Outcomes(
            **{name: [(first, last) for first, last in part] for name, part in runs.items()}
        )
        for number, runs in told.items()
    }
    return Source(log, rolled_back, outcomes, versions)


Pipeline = Callable[[Source, random.Random], Log]


def sound(made: Source, chance: random.Random) -> Log:
    """Partitions in any order among each other, each in its own."""
    queues = [
        [sent for sent in made.log if sent.partition == number] for number in range(PARTITIONS)
    ]
    arrived = Log()
    while any(queues):
        queue = chance.choice([queue for queue in queues if queue])
        count = chance.randint(1, 60)
        arrived += queue[:count]
        del queue[:count]
    return arrived


def drops_one_in_ten_thousand(made: Source, chance: random.Random) -> Log:
    return [sent for number, sent in enumerate(sound(made, chance)) if number % 10_000 != 7_777]


def drops_the_tail(made: Source, chance: random.Random) -> Log:
    return sound(made, chance)[:-37]


def replays_a_batch_at_the_end(made: Source, chance: random.Random) -> Log:
    arrived = sound(made, chance)
    return arrived + [sent for sent in arrived if sent.partition == 3][:200]


def repeats_single_events(made: Source, chance: random.Random) -> Log:
    return [
        again for sent in sound(made, chance) for again in [sent] * (1 + (chance.random() < 0.01))
    ]


def swaps_two_updates_of_a_key(made: Source, chance: random.Random) -> Log:
    arrived = sound(made, chance)
    for number, sent in enumerate(arrived):
        later = [
            n for n in range(number + 1, len(arrived)) if arrived[n].change.key == sent.change.key
        ]
        if sent.change.operation is Operation.UPDATE and later:
            arrived[number], arrived[later[0]] = arrived[later[0]], arrived[number]
            return arrived
    raise AssertionError("no key was updated twice")


def last_write_wins_after_a_replay(made: Source, chance: random.Random) -> Log:
    """Comes up again from an old offset, gets half the way, and is taken for caught up."""
    arrived = sound(made, chance)
    mine = [sent for sent in arrived if sent.partition == 5]
    return arrived + mine[len(mine) // 4 : len(mine) // 2]


def splits_a_transaction(made: Source, chance: random.Random) -> Log:
    """Dies between two rows of a transaction and goes on behind it."""
    whole = [sent.transaction for sent in made.log]
    victim = next(place for place in whole if whole.count(place) >= 4)
    parts = [sent for sent in made.log if sent.transaction == victim]
    return [sent for sent in sound(made, chance) if sent not in parts[2:]]


def truncates_text_at_255(made: Source, chance: random.Random) -> Log:
    return [
        _with(sent, lambda value: value[:255] if isinstance(value, str) else value)
        for sent in sound(made, chance)
    ]


def turns_null_into_text(made: Source, chance: random.Random) -> Log:
    return [
        _with(sent, lambda value: "null" if value is None else value, only=(4, 7))
        for sent in sound(made, chance)
    ]


def rounds_a_timestamp(made: Source, chance: random.Random) -> Log:
    def rounded(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.replace(microsecond=value.microsecond // 1000 * 1000)
        return value

    return [_with(sent, rounded) for sent in sound(made, chance)]


def rounds_a_decimal(made: Source, chance: random.Random) -> Log:
    def rounded(value: Any) -> Any:
        return value.quantize(Decimal("0.1")) if isinstance(value, Decimal) else value

    return [_with(sent, rounded) for sent in sound(made, chance)]


def acknowledges_before_the_effect_and_dies(made: Source, chance: random.Random) -> Log:
    """A batch of one partition was acknowledged, then its worker died; the next one began behind
    it.
    """
    arrived = sound(made, chance)
    mine = [sent for sent in arrived if sent.partition == 2]
    gone = mine[20:70]
    return [sent for sent in arrived if sent not in gone]


def emits_a_rolled_back_row(made: Source, chance: random.Random) -> Log:
    arrived = sound(made, chance)
    arrived.insert(len(arrived) // 2, made.rolled_back[0])
    return arrived


def loses_only_deletes(made: Source, chance: random.Random) -> Log:
    return [sent for sent in sound(made, chance) if sent.change.operation is not Operation.DELETE]


def keeps_the_newest_of_each_key(made: Source, chance: random.Random) -> Log:
    arrived = sound(made, chance)
    newest = {sent.change.key: sent for sent in arrived}
    return [sent for sent in arrived if newest[sent.change.key] is sent]


def sends_a_key_two_ways(made: Source, chance: random.Random) -> Log:
    """Every third update takes a way that is slower."""
    arrived = sound(made, chance)
    slow = [sent for sent in arrived if sent.change.operation is Operation.UPDATE][::3]
    return [sent for sent in arrived if sent not in slow] + slow


def puts_a_row_under_its_neighbours_key(made: Source, chance: random.Random) -> Log:
    arrived = sound(made, chance)
    inserts = [n for n, sent in enumerate(arrived) if sent.change.operation is Operation.INSERT]
    for one, other in zip(inserts[0:20:2], inserts[1:20:2], strict=True):
        left, right = arrived[one].row, arrived[other].row
        arrived[one] = replace(arrived[one], after=(*left[:1], *right[1:-1], left[-1]))
        arrived[other] = replace(arrived[other], after=(*right[:1], *left[1:-1], right[-1]))
    return arrived


@dataclass(frozen=True, slots=True)
class Consumer:
    """A plain consumer that keeps a table, and what its table must be accused of.

    `deliver` is the order and number in which changes come; `keep` says what a row becomes in the
    table, `apply` whether a change is applied where the table has a version already (None: a key
    that it does not have).
    """

    name: str
    found: frozenset[str]
    deliver: Pipeline = sound
    keep: Callable[[Any], Any] = lambda value: value
    apply: Callable[[Sent, int | None], bool] = lambda sent, version: (
        version is None or sent.change.key_version > version
    )
    keyless: bool = False

    def __str__(self) -> str:
        return self.name


def _skips_one_in_5000(made: Source, chance: random.Random) -> Log:
    """The one that is left out is the last of its key, so nothing makes up for it."""
    arrived = sound(made, chance)
    last = {sent.change.key: number for number, sent in enumerate(arrived)}
    places = {
        next(
            number for number in range(start, len(arrived)) if _alone(arrived[number], last, number)
        )
        for start in range(100, len(arrived), 5_000)
    }
    return [sent for number, sent in enumerate(arrived) if number not in places]


def _alone(sent: Sent, last: Mapping[int, int], number: int) -> bool:
    insert = sent.change.operation is Operation.INSERT
    return insert and last[sent.change.key] == number


def _loses_one_per_rebalance(made: Source, chance: random.Random) -> Log:
    """Each change of hands skips the first event behind it."""
    arrived = sound(made, chance)
    last = {sent.change.key: number for number, sent in enumerate(arrived)}
    lost = [n for n, sent in enumerate(arrived) if _alone(sent, last, n)][::500]
    return [sent for number, sent in enumerate(arrived) if number not in set(lost)]


def _commits_before_it_writes(made: Source, chance: random.Random) -> Log:
    """It died with forty events that it had said were done."""
    arrived = sound(made, chance)
    last = {sent.change.key: number for number, sent in enumerate(arrived)}
    gone = {n for n, sent in enumerate(arrived) if _alone(sent, last, n) and n > 1_000}
    return [sent for n, sent in enumerate(arrived) if n not in set(sorted(gone)[:40])]


def _redelivered(made: Source, chance: random.Random) -> Log:
    """A quarter of one partition comes again at the end, as after a crash."""
    arrived = sound(made, chance)
    mine = [sent for sent in arrived if sent.partition == 5]
    return arrived + mine[: len(mine) // 4]


def _swallows_deletes(made: Source, chance: random.Random) -> Log:
    return loses_only_deletes(made, chance)


def _to_milliseconds(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value


#: Two that are right, however often they are told a thing, and seven with one fault each.
CONSUMERS = (
    Consumer("applies each change once", frozenset()),
    Consumer("is told twice and keeps the newer", frozenset(), _redelivered, keep=lambda v: v),
    Consumer("commits before it writes", frozenset({"missing"}), _commits_before_it_writes),
    Consumer("skips one in 5,000", frozenset({"missing"}), _skips_one_in_5000),
    Consumer(
        "last write wins by arrival",
        frozenset({"stale", "resurrected"}),
        _redelivered,
        apply=lambda *_: True,
    ),
    Consumer(
        "cuts text at 200",
        frozenset({"corrupt"}),
        keep=lambda value: value[:200] if isinstance(value, str) else value,
    ),
    Consumer("swallows deletes", frozenset({"undeleted"}), _swallows_deletes),
    Consumer("rounds timestamps", frozenset({"corrupt"}), keep=_to_milliseconds),
    Consumer("loses one event per rebalance", frozenset({"missing"}), _loses_one_per_rebalance),
    Consumer(
        "appends where it should replace", frozenset({"repeated"}), _redelivered, keyless=True
    ),
)


def deleted(made: Source) -> DeletedKeys:
    """What the writers have deleted."""
    last = {
        sent.change.key: sent.change.key_version
        for sent in made.log
        if sent.change.operation is Operation.DELETE
    }
    return DeletedKeys.of(
        np.fromiter(last, dtype=np.int64), np.fromiter(last.values(), dtype=np.int64)
    )


def kept_in_a_table(made: Source, consumer: Consumer) -> Final:
    """What the comparison says of the consumer's table."""
    table: dict[int, list[Sent]] = {}
    gone: dict[int, int] = {}
    for sent in consumer.deliver(made, random.Random(11)):
        rows = table.get(sent.change.key, [])
        versions = [row.change.key_version for row in rows]
        known = max(versions, default=gone.get(sent.change.key))
        if not consumer.apply(sent, known) and not consumer.keyless:
            continue
        if sent.change.operation is Operation.DELETE:
            table.pop(sent.change.key, None)
            gone[sent.change.key] = sent.change.key_version
        elif consumer.keyless and known is not None and sent.change.key_version <= known:
            table.get(sent.change.key, rows).append(sent)
        else:
            table[sent.change.key] = [sent]
    kept = [sent for rows in table.values() for sent in rows]
    return compare(_expected(made), _side(kept, consumer.keep), gone=deleted(made))


def _expected(made: Source) -> ArraySide:
    newest = {sent.change.key: sent for sent in made.log if sent.change.key in made.versions}
    return _side(list(newest.values()), lambda value: value)


def _side(rows: Log, keep: Callable[[Any], Any]) -> ArraySide:
    values = [[keep(value) for value in sent.row[1:-1]] for sent in rows]
    damaged = [
        check(str(sent.row[-1]), sent.change.key, list(CUSTOMERS.values()), row) is RowCheck.CORRUPT
        for sent, row in zip(rows, values, strict=True)
    ]
    keys = np.array([sent.change.key for sent in rows], dtype=np.int64)
    probes = [str(sent.row[-1]).encode() for sent in rows]
    state, _ = state_of_probes(keys, probes, RUN, np.array(damaged, dtype=np.bool_))
    return ArraySide("table", state)


def _with(sent: Sent, spoil: Callable[[Any], Any], only: Sequence[int] = range(1, 8)) -> Sent:
    def spoiled(row: Sequence[Any] | None) -> Sequence[Any] | None:
        return row and [spoil(value) if place in only else value for place, value in enumerate(row)]

    return replace(sent, before=spoiled(sent.before), after=spoiled(sent.after))


def fence(partition: int) -> Sent:
    """A fence for one partition."""
    key = 9_999_999 * 10**8 + partition
    probe = Probe(
        RUN, 9_999_999, partition + 1, partition + 1, 0, 1, 1, Operation.FENCE, START_US, 0
    )
    row = (
        key,
        "",
        "",
        "",
        None,
        None,
        datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
        None,
        format_probe(probe),
    )
    change = RowChange(Operation.INSERT, 0, key, 1, partition + 1, None, None)
    return Sent(change, (9_999_999, partition), partition, 10**9, None, row)


def fence_key(number: int) -> int:
    """The key by which the fence of this number is told."""
    return 9_999_999 * KEYS_PER_WRITER + number


def topic_tap(check_every: int = 1, run: str = RUN) -> TopicTap:
    """A topic tap that needs neither broker nor registry."""
    settings = TopicSettings(
        bootstrap="", schema_registry_url="", topic="t", check_every=check_every
    )
    return TopicTap(settings, run, ANCHOR, {2: _READER})


def through_kafka(arrived: Log, run: str = RUN) -> ObservedRecord:
    """Deliver as Avro envelopes, and let the topic tap read them."""
    tap = topic_tap(run=run)
    for group in _batches(arrived):
        tap.take(messages(group), START_US + 1_000_000)
    return tap.record


def messages(log: Log) -> list[KafkaMessage]:
    """Changes as Kafka messages."""
    return [
        KafkaMessage(sent.partition, sent.offset, _ENCODER.key(sent.row), _envelope(sent), START_US)
        for sent in log
    ]


def _envelope(sent: Sent) -> bytes:
    operation = _DEBEZIUM[sent.change.operation]
    return _ENCODER.value(
        operation, sent.before, sent.after, (sent.transaction[1], sent.offset), _MOMENT
    )


def webhook_tap(check_every: int = 1) -> WebhookTap:
    """A webhook tap that does not listen."""
    return WebhookTap(WebhookSettings(check_every=check_every), RUN, ANCHOR)


def through_webhook(arrived: Log) -> ObservedRecord:
    """Deliver as JSON, and let the webhook tap apply the requests."""
    tap = webhook_tap()
    for group in _batches(arrived):
        assert tap.apply(body(group), None).status == 200
    return tap.record


def body(log: Log) -> bytes:
    """Changes as the body of one request."""
    return orjson.dumps([_document(sent) for sent in log], default=_plain, option=orjson.OPT_UTC_Z)


def _document(sent: Sent) -> Mapping[str, Any]:
    def named(row: Sequence[Any] | None) -> Mapping[str, Any] | None:
        return None if row is None else dict(zip(CUSTOMERS_COLUMNS, row, strict=True))

    return {
        "op": _DEBEZIUM[sent.change.operation],
        "key": {"id": sent.change.key},
        "before": named(sent.before),
        "after": named(sent.after),
        "source": {
            "topic": "t",
            "partition": sent.partition,
            "offset": sent.offset,
            "ts_us": START_US,
        },
    }


def _plain(value: Any) -> str:
    assert isinstance(value, Decimal)
    return format(value, "f")


def _batches(arrived: Log) -> list[Log]:
    """Runs of one partition, of a tap's size at most."""
    groups: list[Log] = []
    for sent in arrived:
        if not groups or groups[-1][0].partition != sent.partition or len(groups[-1]) == BATCH:
            groups.append([])
        groups[-1].append(sent)
    return groups
