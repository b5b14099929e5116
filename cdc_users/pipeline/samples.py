"""Collects the 10 Hz samples of platform and observer during a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from cdc_users.measure.contract import TelemetrySample
from cdc_users.measure.judgement.pressure import PressureSample
from cdc_users.observe.message import GaugeSample
from cdc_users.pipeline.process.observer import Observer
from cdc_users.pipeline.telemetry import read_samples

#: The slot gauge's figures beside its lag (cdc_users/observe/message.py).
SLOT_COLUMNS = (
    "wal_status",
    "safe_wal_bytes",
    "retained_bytes",
    "sent_lag_bytes",
    "write_lag_bytes",
    "flush_lag_bytes",
    "replay_lag_bytes",
    "sender_busy",
    "spilled_bytes",
    "streamed_bytes",
)
#: The columns of samples.csv; one row for each sample of a process.
COLUMNS = (
    "at_us",
    "process",
    "queue_depth",
    "in_flight",
    "high_water",
    "paused_partitions",
    "lag",
    "completions",
    "busy_s",
    "workers",
    "rss_bytes",
    "uss_bytes",
    "slot_lag_bytes",
    "group_lag",
    *SLOT_COLUMNS,
    "debezium_behind_ms",
    "debezium_queue_remaining",
    "cpu_s",
    "written_bytes",
)


@dataclass(slots=True)
class SampleLog:
    """All samples so far: those of the platform by instance, and the observer's gauges, each in
    order of time.
    """

    platform: dict[str, list[TelemetrySample]] = field(default_factory=dict)
    gauges: list[GaugeSample] = field(default_factory=list)
    _next: int = 0

    def collect(self, urls: Sequence[str], observer: Observer) -> None:
        """Add the new samples; raises TargetError if a process does not answer."""
        for url in urls:
            mine = self.platform.setdefault(url, [])
            mine += read_samples(url, mine[-1].number if mine else 0)
        new = observer.samples(self._next)
        self._next = new.next
        self.gauges += new.samples

    def renew(self) -> None:
        """A new observer has started, whose samples count from 0."""
        self._next = 0

    def between(self, start_us: int, end_us: int) -> list[PressureSample]:
        """All instances combined, from the samples of a span of time (wall us).

        One for each sample of the first instance, with the latest values of the other instances and
        the gauges.
        """
        inside = {
            url: [sample for sample in samples if start_us <= sample.at_us <= end_us]
            for url, samples in self.platform.items()
        }
        alive = [samples for samples in inside.values() if samples]
        if not alive:
            return []
        gauges = self.gauges_between(start_us, end_us)
        return [
            _merged(
                start_us,
                [_latest(samples, first.at_us) for samples in alive],
                _latest(gauges, first.at_us) if gauges else None,
            )
            for first in alive[0]
        ]

    def gauges_between(self, start_us: int, end_us: int) -> list[GaugeSample]:
        """The observer's samples of a span of time (wall us)."""
        return [sample for sample in self.gauges if start_us <= sample.at_us <= end_us]

    def high_water(self, start_us: int, end_us: int) -> int | None:
        """The most events that an instance held in a span of time (wall us); None if there are no
        samples.

        A sample has the maximum since the sample before, so the first one after the end belongs to
        the span as well.
        the span as well.
        """
        found = [
            _most_held(sample)
            for samples in self.platform.values()
            for before_us, sample in zip(
                [0, *(sample.at_us for sample in samples)], samples, strict=False
            )
            if before_us < end_us and sample.at_us >= start_us
        ]
        return max(found, default=None)

    def reaches(self, urls: Sequence[str], at_us: int) -> bool:
        """Whether each of these instances that takes samples has taken one since this time."""
        return all(
            samples[-1].at_us >= at_us for url in urls if (samples := self.platform.get(url))
        )

    def rows(self) -> list[dict[str, int | float | str | None]]:
        """The rows of samples.csv, in order of time."""
        rows: list[tuple[int, dict[str, int | float | str | None]]] = [
            (
                sample.at_us,
                {"process": f"platform-{number}"}
                | {name: getattr(sample, name) for name in COLUMNS if hasattr(sample, name)},
            )
            for number, samples in enumerate(self.platform.values(), start=1)
            for sample in samples
        ]
        rows += [(sample.at_us, _gauges_row(sample)) for sample in self.gauges]
        rows += [
            (
                sample.at_us,
                {
                    "at_us": sample.at_us,
                    "process": name,
                    "rss_bytes": process.rss_bytes,
                    "uss_bytes": process.uss_bytes,
                    "cpu_s": process.cpu_s,
                    "written_bytes": process.written_bytes,
                },
            )
            for sample in self.gauges
            for name, process in (sample.processes or {}).items()
        ]
        return [row for _, row in sorted(rows, key=lambda item: item[0])]


def _gauges_row(sample: GaugeSample) -> dict[str, int | float | str | None]:
    slot, debezium = sample.slot, sample.debezium
    return {
        "at_us": sample.at_us,
        "process": "gauges",
        "slot_lag_bytes": sample.slot_lag_bytes,
        "group_lag": sample.group_lag,
        "debezium_behind_ms": None if debezium is None else debezium.behind_ms,
        "debezium_queue_remaining": None if debezium is None else debezium.queue_remaining,
        **({name: getattr(slot, name) for name in SLOT_COLUMNS} if slot is not None else {}),
    }


class _Timed(Protocol):
    at_us: int


Sample = TypeVar("Sample", bound=_Timed)


def _most_held(sample: TelemetrySample) -> int:
    """The most events that an instance held since the sample before; the present number if the
    instance does not report the maximum.
    """
    held = sample.queue_depth + sample.in_flight
    return held if sample.high_water is None else sample.high_water


def _latest(samples: Sequence[Sample], at_us: int) -> Sample:
    """The last sample up to this time, otherwise the first; samples are in order of time."""
    low, high = 0, len(samples)
    while low < high:
        middle = (low + high) // 2
        if samples[middle].at_us <= at_us:
            low = middle + 1
        else:
            high = middle
    return samples[max(0, low - 1)]


def _merged(
    start_us: int, parts: Sequence[TelemetrySample], gauges: GaugeSample | None
) -> PressureSample:
    lags = [part.lag for part in parts]
    return PressureSample(
        elapsed_s=(parts[0].at_us - start_us) / 1e6,
        queue_depth=sum(part.queue_depth for part in parts),
        in_flight=sum(part.in_flight for part in parts),
        paused_partitions=sum(part.paused_partitions for part in parts),
        completions=sum(part.completions for part in parts),
        busy_s=sum(part.busy_s for part in parts),
        workers=sum(part.workers for part in parts),
        uss_bytes=sum(part.uss_bytes or 0 for part in parts),
        rss_bytes=sum(part.rss_bytes or 0 for part in parts),
        consumer_lag=None if None in lags else sum(lag for lag in lags if lag is not None),
        slot_lag_bytes=None if gauges is None else gauges.slot_lag_bytes,
    )
