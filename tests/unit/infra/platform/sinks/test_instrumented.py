"""The instrumented sink: it counts what is durable, once, and changes nothing of the sink."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from cdc_users.measure.clock import new_anchor
from cdc_users.measure.ledger.probe import Probe, format_probe
from infra.platform.process.error import RefusedError, RetryableError
from infra.platform.sinks import instrumented
from infra.platform.sinks.batch import Batch
from infra.platform.sinks.batch import Partition as Place
from infra.platform.sinks.connector import WriteStatus
from infra.platform.sinks.counting import CountingSink
from infra.platform.sinks.instrumented import InstrumentedSink
from tests.batches import Partition
from tests.change_events import RUN, Event, customer, inserts

STAGES = ("commit", "capture", "fetch", "queue", "sink_write")


class Inner(CountingSink):
    """Answers so; its next flushes and writes may fail."""

    def __init__(self, status: WriteStatus = WriteStatus.DURABLE) -> None:
        super().__init__()
        self.status = status
        self.write_errors: list[Exception] = []
        self.flush_errors: list[BaseException] = []
        self.told: list[object] = []

    async def write(self, batch: Batch) -> WriteStatus:
        if self.write_errors:
            raise self.write_errors.pop(0)
        await super().write(batch)
        return self.status

    async def flush(self) -> None:
        if self.flush_errors:
            await self.meanwhile()
            raise self.flush_errors.pop(0)

    async def meanwhile(self) -> None:
        """What happens while a flush fails."""

    async def identify(self, topic_ids: Mapping[str, str]) -> None:
        self.told.append(topic_ids)

    async def positions(self, places: Sequence[Place]) -> Mapping[Place, int]:  # type: ignore[override]
        return dict.fromkeys(places, 7)

    async def open(self) -> None:
        self.told.append("open")

    async def close(self) -> None:
        self.told.append("close")


def measured(inner: Inner, run: str = RUN, column: str = "probe") -> InstrumentedSink:
    return InstrumentedSink(inner, run, new_anchor(), column)


def delivered(sink: InstrumentedSink) -> int:
    return sum(step.delivered for step in sink.ledger.delivered().values())


async def until_later(sink: InstrumentedSink, wall_us: int) -> None:
    """Wait until the sink's clock is behind a moment."""
    while sink._anchor.now_us() <= wall_us:
        await asyncio.sleep(0)


async def test_it_passes_on_all_that_the_sink_is_asked() -> None:
    inner = Inner()
    sink = measured(inner)
    await sink.open()
    await sink.identify({"t": "one"})
    positions = await sink.positions([("t", 0)])
    await sink.close()

    assert inner.told == ["open", {"t": "one"}, "close"]
    assert positions == {("t", 0): 7}
    assert sink.name == inner.name


async def test_stages_of_an_event_sum_to_its_whole_latency() -> None:
    sink, batch = measured(Inner()), Partition().batch(list(inserts(50)))
    appended_us, polled_us = batch.appended_us + 2_000, batch.polled_us + 5_000
    await until_later(sink, int(polled_us[0]))
    await sink.write(replace(batch, appended_us=appended_us, polled_us=polled_us))

    series = sink.steps[1].recorder.series
    assert series["end_to_end"].count == 50
    assert series["fetch"].sum_us == 50 * 3_000
    assert sum(series[name].sum_us for name in STAGES) == series["end_to_end"].sum_us


async def test_what_is_only_accepted_counts_when_a_flush_has_made_it_durable() -> None:
    sink = measured(Inner(WriteStatus.ACCEPTED))
    await sink.write(Partition().batch(list(inserts(3))))
    assert (sink.events, sink.durable_events, delivered(sink)) == (3, 0, 0)

    await sink.flush()

    assert (sink.events, sink.durable_events, delivered(sink)) == (3, 3, 3)
    assert sink.commit.count == 1


async def test_a_flush_is_part_of_the_time_that_a_sink_takes() -> None:
    inner = Inner(WriteStatus.ACCEPTED)
    sink = measured(inner)
    await sink.write(Partition().batch(list(inserts(3))))
    written_us = sink._anchor.now_us()
    await until_later(sink, written_us)
    await sink.flush()

    figures = sink.steps[1]
    assert figures.first_us > written_us
    assert figures.recorder.series["sink_write"].sum_us > 0


async def test_a_step_ends_with_its_last_event_whatever_partition_is_booked_last() -> None:
    sink = measured(Inner())
    partitions = [Partition(number=number) for number in range(2)]
    await sink.write(partitions[0].batch(list(inserts(1))))
    await sink.write(partitions[1].batch(list(inserts(1, first=2))))
    between_us = sink._anchor.now_us()
    await until_later(sink, between_us)
    await sink.write(partitions[0].batch(list(inserts(1, first=3))))

    assert sink.steps[1].first_us <= between_us < sink.steps[1].last_us


async def test_a_flush_with_nothing_to_make_durable_is_no_commit() -> None:
    sink = measured(Inner())
    await sink.write(Partition().batch(list(inserts(3))))
    await sink.flush()

    assert sink.commit.count == 0
    assert sink.durable_events == 3


@pytest.mark.parametrize("error", [RetryableError("away"), asyncio.CancelledError()], ids=repr)
async def test_what_a_flush_did_not_make_durable_waits_for_the_next_in_its_order(
    error: BaseException,
) -> None:
    inner, partition = Inner(WriteStatus.ACCEPTED), Partition()
    sink = measured(inner)
    one, other = (
        partition.batch([Event("u", 1, customer(1, version, op="u", sequence=version))])
        for version in (1, 2)
    )

    async def write_the_other() -> None:
        await sink.write(other)

    await sink.write(one)
    inner.flush_errors.append(error)
    inner.meanwhile = write_the_other  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        await sink.flush()
    assert sink.durable_events == 0

    await sink.flush()

    (step,) = sink.ledger.delivered().values()
    assert (step.delivered, step.reordered) == (2, 0)
    assert sink.commit.count == 1


async def test_a_write_that_fails_is_no_event_and_takes_its_time_all_the_same() -> None:
    inner = Inner()
    inner.write_errors.append(RefusedError("no"))
    sink, batch = measured(inner), Partition().batch(list(inserts(3)))
    with pytest.raises(RefusedError):
        await sink.write(batch)
    assert (sink.writes, sink.events, sink.call.count) == (0, 0, 0)
    assert sink.busy_s[batch.place] > 0

    await sink.write(batch)

    assert (sink.writes, sink.events, delivered(sink)) == (1, 3, 3)


async def test_an_event_that_comes_again_enters_no_latency() -> None:
    sink, batch = measured(Inner()), Partition().batch(list(inserts(4)))
    await sink.write(batch)
    await sink.write(batch)

    (step,) = sink.ledger.delivered().values()
    assert (step.delivered, step.duplicated) == (4, 4)
    assert sink.steps[1].recorder.series["end_to_end"].count == 4
    assert sink.durable_events == 8


@pytest.mark.parametrize("size", [1, 3, 9, 10])
async def test_parts_of_a_batch_are_booked_as_the_whole_would_be(size: int) -> None:
    batch = Partition().batch(list(inserts(10)))
    whole, parts = measured(Inner()), measured(Inner())
    await whole.write(batch)
    for part in batch.parts(size):
        await parts.write(part)

    assert parts.ledger.arrivals().encode() == whole.ledger.arrivals().encode()
    assert parts.steps[1].bytes == whole.steps[1].bytes == batch.bytes
    assert parts.largest_batch == min(size, 10)


async def test_parts_of_which_one_was_put_aside_are_booked_without_it() -> None:
    batch = Partition().batch(list(inserts(10)))
    sink = measured(Inner())
    first, rest = batch.split(4)
    _, last = rest.split(1)  # the fifth was refused
    await sink.write(first)
    await sink.write(last)

    assert delivered(sink) == 9


async def test_a_batch_behind_one_that_was_put_aside_in_its_middle_is_read_for_itself() -> None:
    sink, partition = measured(Inner()), Partition()
    first, _ = partition.batch(list(inserts(10))).split(4)
    await sink.write(first)
    await sink.write(partition.batch(list(inserts(3, first=11))))

    (step,) = sink.ledger.delivered().values()
    assert (step.delivered, step.duplicated) == (7, 0)
    assert sink._whole == {}


async def test_parts_of_two_partitions_that_are_written_by_turns_are_not_mixed_up() -> None:
    batches = [
        Partition(number=number).batch(list(inserts(6, first=1 + 6 * number)))
        for number in range(2)
    ]
    sink = measured(Inner())
    for one, other in zip(*(batch.parts(2) for batch in batches), strict=True):
        await sink.write(one)
        await sink.write(other)

    (step,) = sink.ledger.delivered().values()
    assert (step.delivered, step.duplicated) == (12, 0)


async def test_events_of_a_table_without_probes_are_foreign_and_counted() -> None:
    sink = measured(Inner(), column="no such column")
    await sink.write(Partition().batch(list(inserts(3))))

    assert sink.ledger.arrivals().foreign == 3
    assert sink.steps == {}
    assert sink.durable_events == 3


async def test_events_of_another_run_are_foreign() -> None:
    sink = measured(Inner(), run="otherrun")
    await sink.write(Partition().batch(list(inserts(3))))

    assert sink.ledger.arrivals().foreign == 3


async def test_a_delete_is_an_event_by_the_row_that_it_takes_away() -> None:
    sink, partition = measured(Inner()), Partition()
    stamp = format_probe(Probe(RUN, 10_001, 1, 1, 0, 2, 1, "s", 1_000, 0))
    row = (*customer(1)[:-1], stamp)
    await sink.write(partition.batch([Event("u", 1, row), Event("d", 1, None, row)]))

    assert delivered(sink) == 2
    assert sink.ledger.arrivals().foreign == 0


async def test_many_events_are_booked_without_being_asked_for() -> None:
    """Else a long run would hold all of its events."""
    sink, partition = measured(Inner()), Partition()
    few = instrumented.BOOKED_TOGETHER - 1
    await sink.write(partition.batch(list(inserts(few))))
    assert sum(len(part.events) for part in sink._unbooked[0]) == few

    await sink.write(partition.batch(list(inserts(1, first=few + 1))))

    assert sink._unbooked == {}
    assert delivered(sink) == few + 1


async def test_figures_before_the_first_write_are_none_and_not_an_error() -> None:
    sink = measured(Inner())

    assert sink.snapshot()["mean_batch"] is None
    assert (sink.steps, delivered(sink)) == ({}, 0)


async def test_figures_name_partitions_of_one_number_in_two_topics_apart() -> None:
    sink = measured(Inner())
    for topic in ("a", "b"):
        await sink.write(Partition(topic).batch(list(inserts(2, writer=10_001 + ord(topic)))))

    figures = sink.snapshot()
    busy = figures["busy_by_partition_s"]
    assert isinstance(busy, dict)
    assert list(busy) == ["a:0", "b:0"]
    assert (figures["writes"], figures["mean_batch"], figures["largest_batch"]) == (2, 2.0, 2)
    assert delivered(sink) == 4
