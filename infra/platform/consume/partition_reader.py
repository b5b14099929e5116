"""The reading of a consumer's Kafka client, partition by partition: start offsets and gaps."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from cdc_users.measure.clock import Anchor
from infra.platform.consume.broker import (
    ConsumerSettings,
    Watermarks,
    answered,
    chunks,
    client_settings,
    usable,
)
from infra.platform.consume.buffer import Buffer
from infra.platform.consume.gap import Books, PartitionSpan, begin_at, gap_before, read_note
from infra.platform.consume.gap_log import GapLog
from infra.platform.sinks.batch import Chunk, Partition

POLL_S = 0.1
#: The limit for the broker's answer about offsets.
COMMITTED_S = 60.0
WAKE_S = 1.0


class PartitionReader:
    """The partitions of one Kafka client, and the next offset to read of each.

    For the poll thread alone, except `pause`, `resume`, `forget` and `high`, which the event loop
    calls too.
    """

    def __init__(
        self, settings: ConsumerSettings, anchor: Anchor, buffer: Buffer, gaps: GapLog
    ) -> None:
        self.client = Consumer(client_settings(settings))
        self.polled = 0
        self._anchor = anchor
        self._buffer = buffer
        self._gaps = gaps
        self._watermarks = Watermarks()
        self._next: dict[Partition, int] = {}
        self._overtaken: dict[Partition, None] = {}
        self._revoked: set[Partition] = set()
        self._given_back: dict[Partition, int] = {}

    def poll(self, room: int) -> list[tuple[Partition, Chunk]]:
        """Up to `room` messages that are there now, without waiting for a full batch."""
        first = self.client.poll(POLL_S)
        self._watermarks.look(self.client)
        if first is None:
            return []
        self._revoked.clear()
        self._given_back.clear()
        messages = [first, *(self.client.consume(room - 1, 0) if room > 1 else ())]
        good, overtaken = usable(messages)
        self.polled += len(good)
        found = list(chunks(good, self._anchor.now_us())) if good else []
        self._next.update({place: chunk.offsets[-1] + 1 for place, chunk in found})
        self._overtaken |= dict.fromkeys(overtaken)
        for place in list(self._overtaken):
            self._look_for_gap(place)
        self._read_again()
        # Messages that were read just before their partition was revoked belong to the next owner,
        # which may be us again.
        return [(place, chunk) for place, chunk in found if place not in self._revoked]

    def _look_for_gap(self, place: Partition) -> None:
        """The broker no longer has the next offset of this partition: find out why."""
        part = TopicPartition(*place)
        try:
            span = PartitionSpan(*self.client.get_watermark_offsets(part, timeout=POLL_S))
        except KafkaException:
            return  # the next poll tries again
        del self._overtaken[place]
        if place not in self._next:
            return
        gap = gap_before(place, self._next[place], span)
        if gap is not None and not self._gaps.goes_on(gap):
            del self._next[place]
            return
        if gap is not None:
            self._next[place] = gap.resume
        # The client has stopped fetching this partition, and would refuse a seek. So all partitions
        # are assigned again, each at its offset.
        self.client.assign([TopicPartition(*each, offset) for each, offset in self._next.items()])
        self.client.pause(
            [TopicPartition(*each) for each, queue in self._buffer.queues.items() if queue.paused]
        )

    def _read_again(self) -> None:
        """Seek to the start position of each partition that one poll revoked and assigned again.

        Messages that were read for it may come from before or after that, so their order is not
        certain.
        """
        for place, offset in self._given_back.items():
            # If the client refuses the seek, nothing has been read yet.
            with contextlib.suppress(KafkaException):
                self.client.seek(TopicPartition(*place, offset))
        self._given_back.clear()

    def wake(self, place: Partition) -> None:
        """Send the broker a request, because the client's thread for it sleeps for up to a second
        if everything was paused.
        """
        with contextlib.suppress(KafkaException):
            self.client.get_watermark_offsets(TopicPartition(*place), timeout=WAKE_S)

    def pause(self, places: Sequence[Partition]) -> None:
        """Fetch nothing more of these."""
        self.client.pause([TopicPartition(*place) for place in places])

    def resume(self, places: Sequence[Partition]) -> None:
        """Fetch these again."""
        self.client.resume([TopicPartition(*place) for place in places])

    def begin(
        self,
        partitions: list[TopicPartition],
        ids: Mapping[str, str],
        own: Mapping[Partition, int] | None,
        *,
        held: bool,
    ) -> dict[Partition, int | None]:
        """Read partitions from where Kafka or the sink says, if that offset still exists.

        `own` has the sink's books (None: it keeps none), `ids` the topics' ids. Returns the offset
        of each partition that is read (None: the beginning); a partition with a gap may be left
        out.
        """
        begin, given = {}, []
        committed = answered(
            lambda: self.client.committed(partitions, timeout=COMMITTED_S), COMMITTED_S
        )
        for part in committed:
            place = (part.topic, part.partition)
            low, high = self._watermarks_of(part)
            span = PartitionSpan(low, high, ids.get(part.topic, ""))
            offset, gap = begin_at(place, _books(part, own), span)
            if gap is not None:
                if not self._gaps.goes_on(gap):
                    continue
                offset = gap.resume
            # Never left to the client: if it is paused while it looks for the beginning, it would
            # begin there a second time.
            given.append(TopicPartition(*place, low if offset is None else offset))
            begin[place] = offset
        self._take(given, held=held)
        return begin

    def _watermarks_of(self, part: TopicPartition) -> tuple[int, int]:
        return answered(
            lambda: self.client.get_watermark_offsets(part, timeout=COMMITTED_S), COMMITTED_S
        )

    def _take(self, given: list[TopicPartition], *, held: bool) -> None:
        self.client.assign(given)
        begin = {(part.topic, part.partition): part.offset for part in given}
        self._next |= begin
        self._given_back |= {
            place: offset for place, offset in begin.items() if place in self._revoked
        }
        self._watermarks.begin(list(begin))
        if given:
            # Set in either case, because the client remembers a pause across revocation and
            # reassignment.
            (self.client.pause if held else self.client.resume)(given)

    def give_up(self, places: Sequence[Partition]) -> None:
        """These were revoked; their messages that are on the way belong to the next owner."""
        self._revoked.update(places)
        self._watermarks.end(places)

    def forget(self, place: Partition) -> int | None:
        """Stop reading a partition; returns its next offset."""
        return self._next.pop(place, None)

    def high(self, place: Partition) -> int | None:
        """The offset of the partition's next message, as far as the client knows it."""
        return self._watermarks.high.get(place)


def _books(part: TopicPartition, own: Mapping[Partition, int] | None) -> Books:
    """What the group and the sink know of a partition."""
    committed = part.offset if part.offset >= 0 else None
    note = read_note(part.metadata) if committed is not None else None
    if own is None:
        return Books(committed, note)
    return Books(committed, note, own.get((part.topic, part.partition)), keeps=True)
