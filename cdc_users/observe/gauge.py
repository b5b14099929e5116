"""Gauges: how far the pipeline's parts are behind and what memory they take, ten times a second."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from threading import Event, Lock, Thread
from typing import Any, Protocol

import psutil
import psycopg
from confluent_kafka import Consumer, KafkaException, TopicPartition

from cdc_users.measure.clock import Anchor

INTERVAL_S = 0.1
#: An hour of samples; older ones are forgotten, and whoever asks for them is told how many.
KEPT = 36_000
#: Asking Kafka for offsets is dearer than the other gauges, and lag does not need to be known so
#: often.
GROUP_INTERVAL_S = 0.5
TIMEOUT_S = 5.0
_SLOT = (
    "SELECT active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,"
    " pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint FROM pg_replication_slots WHERE"
    " slot_name = %s"
)
GaugeSample = Mapping[str, Any]


class Gauge(Protocol):
    """One thing to look at; a look returns plain data, and None for each figure that is not
    known.
    """

    def read(self) -> GaugeSample:
        """Look now; never raises."""

    def close(self) -> None:
        """Give back connections."""


class SlotGauge:
    """A replication slot: lag in bytes behind the current WAL, and whether its WAL is still
    there.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._dsn = str(config["dsn"])
        self._slot = str(config["slot"])
        self._connection: psycopg.Connection[Any] | None = None

    def read(self) -> GaugeSample:
        """See Gauge; `lag_bytes` is None where the slot or the server is not there."""
        unknown = {"active": None, "wal_status": None, "lag_bytes": None, "retained_bytes": None}
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(
                    self._dsn, connect_timeout=int(TIMEOUT_S), autocommit=True
                )
            with self._connection.cursor() as cursor:
                cursor.execute(_SLOT, (self._slot,))
                row = cursor.fetchone()
        except psycopg.Error as error:
            self.close()
            return {
                **unknown,
                "error": str(error).strip().splitlines()[0] if str(error) else type(error).__name__,
            }
        if row is None:
            return {**unknown, "error": f"there is no slot {self._slot!r}"}
        return dict(zip(("active", "wal_status", "lag_bytes", "retained_bytes"), row, strict=True))

    def close(self) -> None:
        """See Gauge."""
        if self._connection is not None:
            with closing(self._connection):
                self._connection = None


class GroupGauge:
    """A consumer group's lag in events, by partition: the end of each partition less what the
    group has committed.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        settings = {
            "bootstrap.servers": config["bootstrap"],
            "group.id": config["group"],
            "log_level": 0,
        }
        self._topics: Sequence[str] = config["topics"] if "topics" in config else [config["topic"]]
        self._consumer = Consumer({**settings, "enable.auto.commit": False})
        self._partitions: list[TopicPartition] = []
        self._last: GaugeSample = {"lag": None, "partitions": {}}
        self._due_s = 0.0

    def read(self) -> GaugeSample:
        """See Gauge;

        `lag` is the sum, None where a partition's is not known. Read anew twice a second.
        """
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + GROUP_INTERVAL_S
            try:
                self._last = self._look()
            except KafkaException as error:
                self._last = {"lag": None, "partitions": {}, "error": error.args[0].str()}
        return self._last

    def _look(self) -> GaugeSample:
        if not self._partitions:
            known = [
                self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
                for topic in self._topics
            ]
            missing = [topic.topic for topic in known if not topic.partitions]
            if missing:
                return {
                    "lag": None,
                    "partitions": {},
                    "error": f"there is no topic {', '.join(missing)}",
                }
            self._partitions = [
                TopicPartition(topic.topic, number)
                for topic in known
                for number in topic.partitions
            ]
        lags: dict[str, int] = {}
        for place in self._consumer.committed(self._partitions, timeout=TIMEOUT_S):
            low, high = self._consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
            # A group that has committed nothing has everything before it.
            lags[f"{place.topic}[{place.partition}]"] = high - (
                place.offset if place.offset >= 0 else low
            )
        return {"lag": sum(lags.values()), "partitions": lags}

    def close(self) -> None:
        """See Gauge."""
        self._consumer.close()


class ProcessGauge:
    """Memory and processor time of some processes; one that has ended has None."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._processes: dict[int, psutil.Process | None] = {}
        for pid in pids:
            try:
                self._processes[pid] = psutil.Process(pid)
            except psutil.NoSuchProcess:
                self._processes[pid] = None

    def read(self) -> GaugeSample:
        """See Gauge."""
        return {str(pid): _memory(process) for pid, process in self._processes.items()}

    def close(self) -> None:
        """See Gauge."""


def _memory(process: psutil.Process | None) -> GaugeSample | None:
    if process is None:
        return None
    try:
        memory = process.memory_full_info()
        return {
            "rss_bytes": memory.rss,
            "uss_bytes": memory.uss,
            "cpu_s": sum(process.cpu_times()[:2]),
        }
    except psutil.AccessDenied:
        return {"rss_bytes": process.memory_info().rss, "uss_bytes": None, "cpu_s": None}
    except psutil.NoSuchProcess:
        return None


def gauges(config: Mapping[str, Any]) -> dict[str, Gauge]:
    """The gauges that the configuration names, by name."""
    found: dict[str, Gauge] = {}
    if "slot" in config:
        found["slot"] = SlotGauge(config["slot"])
    if "group" in config:
        found["group"] = GroupGauge(config["group"])
    if config.get("pids"):
        found["processes"] = ProcessGauge(config["pids"])
    return found


class Sampling:
    """Reads gauges ten times a second, from a thread of its own, and keeps the samples of the last
    hour.
    """

    def __init__(self, named: Mapping[str, Gauge], anchor: Anchor) -> None:
        self._gauges = named
        self._anchor = anchor
        self._samples: list[GaugeSample] = []
        self._first = 0
        self._lock = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="gauges", daemon=True)

    def start(self) -> None:
        """Begin, if there is anything to look at."""
        if self._gauges:
            self._thread.start()

    def stop(self) -> None:
        """End, and close the gauges."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            sample = {
                "at_us": self._anchor.now_us(),
                **{name: gauge.read() for name, gauge in self._gauges.items()},
            }
            with self._lock:
                self._samples.append(sample)
                if len(self._samples) > KEPT:
                    del self._samples[0]
                    self._first += 1
            # What a slow look has missed is not made up for.
            due_s = max(due_s + INTERVAL_S, time.monotonic())
        for gauge in self._gauges.values():
            gauge.close()

    def last(self) -> GaugeSample:
        """The newest sample; empty before the first."""
        with self._lock:
            return self._samples[-1] if self._samples else {}

    def after(self, number: int) -> dict[str, Any]:
        """The samples from this number on (the first is 0), and the number to ask from next
        time.
        """
        with self._lock:
            start = max(number, self._first)
            return {
                "samples": self._samples[start - self._first :],
                "next": self._first + len(self._samples),
                "forgotten": max(0, self._first - number),
            }
