"""Gauges: how far the pipeline's parts are behind and how much memory they use, ten times a
second.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Protocol, TypeVar

import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition
from msgspec.structs import replace
from psycopg.rows import dict_row

from cdc_users.measure.clock import Anchor
from cdc_users.observe.debezium_gauge import DebeziumGauge
from cdc_users.observe.message import (
    DebeziumSample,
    GaugeSample,
    GaugeSamples,
    GroupSample,
    ProcessSample,
    SlotSample,
)
from cdc_users.observe.process_gauge import ProcessGauge
from cdc_users.observe.settings import GaugeSettings, GroupSettings, SlotSettings
from cdc_users.observe.tap import end_thread
from infra.client.kafka import kafka_settings
from infra.replication.limited import LimitedConnection

INTERVAL_S = 0.1
#: An hour of samples; the answer says how many older ones were dropped.
KEPT = 36_000
#: How often partitions that were added to a topic are looked for.
PARTITIONS_INTERVAL_S = 5.0
#: Asking Kafka for offsets costs more than the other gauges, and lag is not needed so often.
GROUP_INTERVAL_S = 0.5
TIMEOUT_S = 5.0
#: All slots of the server. pg_stat_replication has each reader's progress, and
#: pg_stat_replication_slots the cost of decoding (PostgreSQL documentation, "The Cumulative
#: Statistics System"). A walsender that waits for WAL or for its reader's socket has a wait event
#: of the types Activity and Client; the state of others' backends is NULL without the right.
_SLOTS = """
SELECT s.slot_name AS name, s.active, s.wal_status, s.safe_wal_size AS safe_wal_bytes,
       pg_wal_lsn_diff(now, coalesce(s.confirmed_flush_lsn, s.restart_lsn))::bigint AS lag_bytes,
       pg_wal_lsn_diff(now, s.restart_lsn)::bigint AS retained_bytes,
       pg_wal_lsn_diff(now, '0/0')::bigint AS wal_bytes,
       pg_wal_lsn_diff(now, r.sent_lsn)::bigint AS sent_lag_bytes,
       pg_wal_lsn_diff(now, r.write_lsn)::bigint AS write_lag_bytes,
       pg_wal_lsn_diff(now, r.flush_lsn)::bigint AS flush_lag_bytes,
       pg_wal_lsn_diff(now, r.replay_lsn)::bigint AS replay_lag_bytes,
       CASE WHEN a.state = 'active'
            THEN coalesce(a.wait_event_type, '') NOT IN ('Activity', 'Client')
       END AS sender_busy,
       d.spill_bytes AS spilled_bytes, d.stream_bytes AS streamed_bytes
FROM pg_current_wal_lsn() AS now, pg_replication_slots AS s
LEFT JOIN pg_stat_replication AS r ON r.pid = s.active_pid
LEFT JOIN pg_stat_activity AS a ON a.pid = s.active_pid
LEFT JOIN pg_stat_replication_slots AS d ON d.slot_name = s.slot_name"""
Reading = TypeVar("Reading", covariant=True)


class Gauge(Protocol[Reading]):
    """One thing to measure; figures that are not known are None."""

    def read(self) -> Reading:
        """Look now; never raises."""

    def close(self) -> None:
        """Close connections."""


class SlotGauge:
    """A replication slot: how far it and its reader are behind the current WAL, whether its WAL
    still exists, and the lag of the server's other slots.
    """

    def __init__(self, settings: SlotSettings) -> None:
        self._dsn, self._slot = settings.dsn, settings.slot
        self._connection: LimitedConnection | None = None

    def read(self) -> SlotSample:
        """Look at the slot; figures are None if the slot or the server cannot be read."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = LimitedConnection.connect(
                    self._dsn, connect_timeout=int(TIMEOUT_S), autocommit=True
                )
                self._connection.answer_s = TIMEOUT_S
            with self._connection.cursor(row_factory=dict_row) as cursor:
                rows = {row.pop("name"): row for row in cursor.execute(_SLOTS).fetchall()}
        except psycopg.Error as error:
            self.close()
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            return SlotSample(error=first)
        own = rows.pop(self._slot, None)
        others = {
            name: row["lag_bytes"] for name, row in rows.items() if row["lag_bytes"] is not None
        }
        if own is None:
            return SlotSample(others=others, error=f"there is no slot {self._slot!r}")
        return SlotSample(others=others, **own)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with closing(self._connection):
                self._connection = None


class GroupGauge:
    """A consumer group's lag in events, by partition: the end of each partition less what the
    group has committed.
    """

    def __init__(self, settings: GroupSettings) -> None:
        self._topics = settings.all_topics
        own = {"group.id": settings.group, "log_level": 0, "enable.auto.commit": False}
        self._consumer = Consumer(kafka_settings(settings.bootstrap, own))
        self._partitions: list[TopicPartition] = []
        self._last = GroupSample()
        self._due_s = self._partitions_due_s = 0.0

    def read(self) -> GroupSample:
        """The lag, read at most twice a second; None if a partition's lag is not known."""
        if time.monotonic() >= self._due_s:
            began_s = time.monotonic()
            self._due_s = began_s + GROUP_INTERVAL_S
            try:
                self._last = self._look()
            except KafkaException as error:  # a broker that is too late is slow as well
                took_ms = round((time.monotonic() - began_s) * 1000, 3)
                self._last = GroupSample(error=error.args[0].str(), took_ms=took_ms)
        return self._last

    def _look(self) -> GroupSample:
        if time.monotonic() >= self._partitions_due_s:
            known = [
                self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
                for topic in self._topics
            ]
            missing = [topic.topic for topic in known if not topic.partitions]
            if missing:
                return GroupSample(error=f"there is no topic {', '.join(missing)}")
            self._partitions = [
                TopicPartition(topic.topic, number)
                for topic in known
                for number in topic.partitions
            ]
            self._partitions_due_s = time.monotonic() + PARTITIONS_INTERVAL_S
        lags: dict[str, int] = {}
        began_s = time.monotonic()
        for place in self._consumer.committed(self._partitions, timeout=TIMEOUT_S):
            if place.error is not None:  # its offset is not known, which is not "nothing yet"
                return GroupSample(error=f"{place.topic}[{place.partition}]: {place.error.str()}")
            low, high = self._consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
            name = f"{place.topic}[{place.partition}]"
            if place.offset > high:
                return GroupSample(
                    error=f"{name}: the group has committed {place.offset}, beyond the end {high};"
                    " was the topic made again?"
                )
            # A group without commits has everything before it.
            lags[name] = high - (place.offset if place.offset >= 0 else low)
        took_ms = round((time.monotonic() - began_s) * 1000, 3)
        return GroupSample(lag=sum(lags.values()), partitions=lags, took_ms=took_ms)

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()


@dataclass(frozen=True, slots=True)
class Gauges:
    """The configured gauges; None for the others."""

    slot: Gauge[SlotSample] | None = None
    group: Gauge[GroupSample] | None = None
    processes: ProcessGauge | None = None
    debezium: Gauge[DebeziumSample] | None = None

    @classmethod
    def of(cls, settings: GaugeSettings) -> Gauges:
        """The gauges of a configuration."""
        return cls(
            SlotGauge(settings.slot) if settings.slot else None,
            GroupGauge(settings.group) if settings.group else None,
            ProcessGauge(settings.processes) if settings.processes else None,
            DebeziumGauge(settings.debezium) if settings.debezium else None,
        )

    def __bool__(self) -> bool:
        return bool(self._all())

    def _all(self) -> list[Gauge[object]]:
        wanted = (self.slot, self.group, self.processes, self.debezium)
        return [gauge for gauge in wanted if gauge is not None]

    def read(self, at_us: int) -> GaugeSample:
        """Look at all gauges now; processes first, because their figures are divided by time."""
        processes = self.processes.read() if self.processes else None
        return GaugeSample(
            at_us=at_us,
            slot=self.slot.read() if self.slot else None,
            group=self.group.read() if self.group else None,
            processes=processes,
            debezium=self.debezium.read() if self.debezium else None,
        )

    def close(self) -> None:
        """Give back connections."""
        for gauge in self._all():
            gauge.close()


class Sampling:
    """Reads gauges ten times a second in a thread of its own, and keeps an hour of samples."""

    def __init__(self, gauges: Gauges, anchor: Anchor) -> None:
        self._gauges = gauges
        self._anchor = anchor
        self._samples: list[GaugeSample] = []
        self._first = 0
        self._processes: dict[str, ProcessSample] | None = None
        self._lock = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="gauges", daemon=True)

    def start(self) -> None:
        """Begin, if there is anything to look at."""
        if self._gauges:
            self._thread.start()

    def stop(self) -> None:
        """End, and close the gauges."""
        end_thread(self._stop, self._thread)

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            sample = self._gauges.read(self._anchor.now_us())
            with self._lock:
                self._processes = sample.processes or self._processes
                self._samples.append(sample)
                if len(self._samples) > KEPT:
                    del self._samples[0]
                    self._first += 1
            # Samples that a slow look has missed are not made up.
            due_s = max(due_s + INTERVAL_S, time.monotonic())
        self._gauges.close()

    def last(self) -> GaugeSample | None:
        """The newest sample, with the newest figures of processes; None before the first."""
        with self._lock:
            if not self._samples:
                return None
            return replace(self._samples[-1], processes=self._processes)

    def watch(self, processes: Mapping[str, int]) -> None:
        """Measure these processes (pids by name) separately from now on."""
        if self._gauges.processes is not None:
            self._gauges.processes.watch(processes)

    def after(self, number: int) -> GaugeSamples:
        """The samples from this number on (the first is 0), and the number for the next call."""
        with self._lock:
            start = max(number, self._first)
            return GaugeSamples(
                samples=self._samples[start - self._first :],
                next=self._first + len(self._samples),
                forgotten=max(0, self._first - number),
            )
