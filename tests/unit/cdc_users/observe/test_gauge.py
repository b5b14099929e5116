"""Gauges say what they see, and why they see nothing; samples that are forgotten are counted."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from cdc_users.measure.clock import new_anchor
from cdc_users.observe import gauge
from cdc_users.observe.gauge import Gauges, GroupGauge, Sampling, SlotGauge
from cdc_users.observe.message import GaugeSample, GroupSample, SlotSample
from cdc_users.observe.settings import GaugeSettings, GroupSettings, SlotSettings
from infra.replication.limited import LimitedConnection
from tests.unit.infra.replication.test_limited import silent_postgres


@dataclass
class Server:
    """A PostgreSQL that has these slots; `error` is what it says instead."""

    slots: list[dict[str, object]]
    error: psycopg.Error | None = None
    connections: int = 0
    closed: bool = False

    def connect(self, *_: object, **__: object) -> Server:
        self.connections += 1
        self.closed = False
        return self

    @contextmanager
    def cursor(self, **_: object) -> Iterator[Server]:
        if self.error is not None:
            raise self.error
        yield self

    def execute(self, _: str) -> Server:
        return self

    def fetchall(self) -> list[dict[str, object]]:
        return [dict(slot) for slot in self.slots]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(
        [
            {"name": "own", "active": True, "lag_bytes": 7, "safe_wal_bytes": None},
            {"name": "other", "active": False, "lag_bytes": 9, "safe_wal_bytes": None},
            {"name": "unused", "active": False, "lag_bytes": None, "safe_wal_bytes": None},
        ]
    )
    monkeypatch.setattr(LimitedConnection, "connect", made.connect)
    return made


def test_a_slot_is_read_with_the_lag_of_all_others(server: Server) -> None:
    sample = SlotGauge(SlotSettings(dsn="", slot="own")).read()

    assert (sample.lag_bytes, sample.active, sample.error) == (7, True, None)
    assert sample.others == {"other": 9}
    assert server.connections == 1


def test_a_slot_that_is_not_there_is_named_and_the_others_are_still_seen(server: Server) -> None:
    sample = SlotGauge(SlotSettings(dsn="", slot="mine")).read()

    assert sample == SlotSample(others={"own": 7, "other": 9}, error="there is no slot 'mine'")
    assert server.connections == 1


def test_a_server_that_fails_is_connected_to_again(server: Server) -> None:
    watched = SlotGauge(SlotSettings(dsn="", slot="own"))
    server.error = psycopg.OperationalError("the server is away\nand more of it")
    first = watched.read()
    server.error = None

    assert first == SlotSample(error="the server is away")
    assert server.closed
    assert watched.read().lag_bytes == 7
    assert server.connections == 2
    watched.close()
    assert server.closed


def test_a_server_that_stands_still_is_told_within_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gauge, "TIMEOUT_S", 1.0)
    with silent_postgres() as dsn:
        sample = SlotGauge(SlotSettings(dsn=dsn, slot="own")).read()

    assert sample == SlotSample(error="the server has not answered for 1 s")


@dataclass
class Broker:
    """A Kafka whose partitions end at `high`; the group has committed `committed`."""

    high: Mapping[int, int]
    committed_at: Mapping[int, int]
    low: int = 3
    looks: int = 0
    error: KafkaException | None = None
    closed: bool = False
    #: What it says of single partitions in place of their offsets.
    refused: Mapping[int, KafkaError] = field(default_factory=dict)
    topics_asked: int = 0

    def list_topics(self, topic: str, timeout: float) -> Any:  # noqa: ARG002 - the client's
        self.topics_asked += 1
        known = SimpleNamespace(topic=topic, partitions=dict.fromkeys(self.high))
        return SimpleNamespace(topics={topic: known})

    def committed(self, places: Iterable[TopicPartition], timeout: float) -> list[TopicPartition]:  # noqa: ARG002
        self.looks += 1
        if self.error is not None:
            raise self.error
        return [cast(TopicPartition, self._committed(place.partition)) for place in places]

    def _committed(self, number: int) -> object:
        offset, error = self.committed_at.get(number, -1001), self.refused.get(number)
        return SimpleNamespace(topic="t", partition=number, offset=offset, error=error)

    def get_watermark_offsets(self, place: TopicPartition, **_: float) -> tuple[int, int]:
        return self.low, self.high[place.partition]

    def close(self) -> None:
        self.closed = True


def group_of(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> GroupGauge:
    monkeypatch.setattr(gauge, "Consumer", lambda _: broker)
    monkeypatch.setattr(gauge, "GROUP_INTERVAL_S", 0.0)
    return GroupGauge(GroupSettings(bootstrap="x", group="g", topics=("t",)))


def test_a_groups_lag_is_what_lies_behind_its_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN a partition that was read to its end, one half read, and one nothing of which was."""
    broker = Broker({0: 10, 1: 10, 2: 10}, {0: 10, 1: 6})
    sample = group_of(monkeypatch, broker).read()

    assert sample.partitions == {"t[0]": 0, "t[1]": 4, "t[2]": 7}
    assert sample.lag == 11
    assert sample.error is None


def test_a_group_at_the_very_beginning_of_a_topic_has_all_of_it_before_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GIVEN a group that has committed offset 0, where retention has deleted nothing."""
    sample = group_of(monkeypatch, Broker({0: 10, 1: 1}, {0: 0, 1: 1}, low=0)).read()

    assert sample.partitions == {"t[0]": 10, "t[1]": 0}


def test_an_offset_that_the_broker_does_not_tell_makes_the_lag_unknown_and_not_the_whole_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = {1: KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)}
    broker = Broker({0: 10, 1: 1_000_000}, {0: 4}, refused=refused)
    watched = group_of(monkeypatch, broker)
    sample = watched.read()

    assert (sample.lag, sample.partitions) == (None, {})
    assert str(sample.error).startswith("t[1]: ")
    broker.refused = {}
    assert watched.read().lag == 6 + 999_997


def test_an_offset_of_a_topic_that_was_deleted_and_made_again_is_no_negative_lag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = Broker({0: 10, 1: 5}, {0: 4, 1: 1000}, low=0)
    watched = group_of(monkeypatch, broker)

    assert watched.read() == GroupSample(
        error="t[1]: the group has committed 1000, beyond the end 5; was the topic made again?"
    )
    broker.committed_at = {0: 4, 1: 3}
    assert watched.read().partitions == {"t[0]": 6, "t[1]": 2}


def test_partitions_that_are_added_to_a_topic_count_in_the_lag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = Broker({0: 10}, {0: 10})
    watched = group_of(monkeypatch, broker)
    assert [watched.read().lag for _ in range(3)] == [0, 0, 0]
    assert broker.topics_asked == 1, "that costs a request, and so is not done at each look"

    broker.high = {0: 10, 1: 53}
    monkeypatch.setattr(gauge, "PARTITIONS_INTERVAL_S", 0.0)
    watched._partitions_due_s = 0.0

    assert watched.read().partitions == {"t[0]": 0, "t[1]": 50}


def test_a_topic_that_is_away_for_a_while_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker = Broker({}, {})
    watched = group_of(monkeypatch, broker)

    assert watched.read().error == "there is no topic t"
    broker.high = {0: 5}
    assert watched.read().lag == 2


def test_a_group_is_not_asked_again_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker({0: 10}, {})
    watched = group_of(monkeypatch, broker)
    monkeypatch.setattr(gauge, "GROUP_INTERVAL_S", 3600.0)

    assert watched.read() is watched.read()
    assert broker.looks == 1
    watched.close()
    assert broker.closed


def test_a_group_whose_lag_is_not_known_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = group_of(monkeypatch, Broker({}, {})).read()
    away = Broker({0: 1}, {}, error=KafkaException(KafkaError(KafkaError._TIMED_OUT)))

    assert nowhere == GroupSample(error="there is no topic t")
    failed = group_of(monkeypatch, away).read()
    assert failed.lag is None
    assert failed.error
    assert failed.took_ms is not None


def test_gauges_are_those_that_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauge, "Consumer", lambda _: Broker({}, {}))
    none = Gauges.of(GaugeSettings())
    some = Gauges.of(GaugeSettings(slot=SlotSettings(dsn="", slot="own")))

    assert not none
    assert none.read(5) == GaugeSample(at_us=5)
    assert some
    assert (some.group, some.processes) == (None, None)


@dataclass
class Counting:
    """A gauge that says how often it was read, up to `most`; then it waits to be closed."""

    most: int
    reads: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def read(self) -> SlotSample:
        self.reads += 1
        if self.reads >= self.most:
            self.done.set()
        return SlotSample(lag_bytes=self.reads)

    def close(self) -> None:
        self.closed.set()


def test_samples_that_were_forgotten_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauge, "INTERVAL_S", 0.0)
    monkeypatch.setattr(gauge, "KEPT", 3)
    counting = Counting(most=10)
    sampling = Sampling(Gauges(slot=cast(Any, counting)), new_anchor())
    assert sampling.last() is None

    sampling.start()
    assert counting.done.wait(60)
    sampling.stop()

    assert counting.closed.wait(60)
    newest = sampling.last()
    assert newest is not None
    assert newest.slot_lag_bytes == counting.reads
    found = sampling.after(0)
    assert [sample.slot_lag_bytes for sample in found.samples] == [
        counting.reads - 2,
        counting.reads - 1,
        counting.reads,
    ]
    assert (found.next, found.forgotten) == (counting.reads, counting.reads - 3)
    assert sampling.after(found.next).samples == []
    assert sampling.after(found.next - 1).forgotten == 0
