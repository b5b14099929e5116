"""The base of taps on streams of JSON changes: changes by partition, and a reading thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Event, Thread
from typing import Any

import numpy as np
import orjson

from cdc_users.observe.events.change import ChangeParser, ReadChanges
from cdc_users.observe.events.dialect import NO_ROW, ChangeError, change_of
from cdc_users.observe.settings import TapSettings
from cdc_users.observe.tap import ObservedRecord, end_thread

#: The body that stands for a tombstone where messages must have one; a tombstone is no event.
_TOMBSTONES = (b"", b"null")


@dataclass(frozen=True, slots=True)
class StreamItem:
    """One message of a stream: its position in its partition, the record's key (empty if unknown),
    and its bytes.

    `appended_us` is when the service took it, in wall microseconds; `by_service` says that the
    service itself gave that time.
    """

    position: int
    key: str
    data: bytes
    appended_us: int
    by_service: bool = False


class StreamFeed:
    """Takes messages of JSON changes into a record, partition by partition, in their order."""

    def __init__(
        self, record: ObservedRecord, settings: TapSettings, *, polled: bool = False
    ) -> None:
        #: For a service that is polled: how long a message may have waited there unseen.
        self._polled = polled
        self._record = record
        self._parser = ChangeParser.of(settings)

    def take(self, partition: int, items: Sequence[StreamItem], seen_us: int) -> None:
        """Take in messages of one partition; an unreadable one is reported and left out.

        Raises nothing.
        """
        read = [
            (item, change)
            for item in items
            if (change := self._change(partition, item)) is not None
        ]
        if read:
            self._take(partition, read, seen_us)

    def _take(self, partition: int, read: Sequence[tuple[StreamItem, Any]], seen_us: int) -> None:
        """Take in changes; if one of them is none after all, halve the batch until that one is
        alone.
        """
        appended_us = np.array([item.appended_us for item, _ in read], dtype=np.int64)
        try:
            events = self._parser.parse(
                ReadChanges(
                    [change for _, change in read],
                    [len(item.data) for item, _ in read],
                    partition,
                    np.array([item.position for item, _ in read], dtype=np.int64),
                    seen_us,
                    appended_us,
                )
            )
        except ChangeError as error:
            if len(read) == 1:
                self._reject(partition, read[0][0], error)
                return
            middle = len(read) // 2
            self._take(partition, read[:middle], seen_us)
            self._take(partition, read[middle:], seen_us)
        else:
            if all(item.by_service for item, _ in read):
                events = replace(events, visible_us=appended_us)
            elif self._polled:
                waited_us = seen_us - int(appended_us.min())
                events = replace(events, late_us=max(0, waited_us))
            self._record.take(events)

    def _reject(self, partition: int, item: StreamItem, error: Exception) -> None:
        self._record.fail(
            f"an event cannot be read: {error} (partition {partition}, position {item.position})"
        )

    def _change(self, partition: int, item: StreamItem) -> Any:
        """A message's change, with the record's key if the change has none; None if it cannot be
        read.
        """
        if item.data in _TOMBSTONES:
            return None
        try:
            change = change_of(orjson.loads(item.data), self._parser.place)
        except ValueError as error:
            self._reject(partition, item, error)
            return None
        if change["op"] == NO_ROW:
            return None  # a table was emptied; that is no row's event
        if item.key:
            change.setdefault("key", item.key)
        return change


class StreamReading:
    """Calls `step` again and again in a thread until it is stopped; a failing step is reported, and
    the next one is tried.
    """

    def __init__(
        self, name: str, step: Callable[[], bool], pause_s: float, record: ObservedRecord
    ) -> None:
        self._name = name
        self._step = step
        self._pause_s = pause_s
        self._record = record
        self._stop = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current step."""
        end_thread(self._stop, self._thread)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                found = self._step()
            except Exception as error:  # noqa: BLE001 - any failure is reported, and tried again
                self._record.fail(
                    f"{self._name} cannot be read: {type(error).__name__}: {error}", events=0
                )
                found = False
            if not found:
                self._stop.wait(self._pause_s)
