"""One step's figures at a tap, and the messages in which both platform and observer report them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from cdc_users.measure.latency.histogram import EncodedHistogram
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.ledger.ledger import Ledger


@dataclass(slots=True)
class StepFigures:
    """One step's latencies and bytes; times are wall microseconds of its first and last event."""

    recorder: Recorder = field(default_factory=Recorder)
    first_us: int = 0
    last_us: int = 0
    bytes: int = 0


class StepTelemetry(msgspec.Struct, kw_only=True):
    """One step's figures at one tap, for a message."""

    delivered: int
    series: dict[str, EncodedHistogram] = {}
    duplicated: int = 0
    first_us: int = 0
    last_us: int = 0
    bytes: int = 0


class ProgressTelemetry(msgspec.Struct, kw_only=True):
    """How far one tap has come: events delivered by step, each counted once, and the fences by key
    and by partition.
    """

    steps: dict[int, int]
    fences: list[int]
    fenced_partitions: list[int] = []
    #: Each fence's key and its partition; a platform may leave this out.
    fence_places: list[tuple[int, int]] = []


def steps_telemetry(steps: Mapping[int, StepFigures], ledger: Ledger) -> dict[int, StepTelemetry]:
    """All steps with their counts, by number."""
    delivered = ledger.delivered()
    return {
        step: StepTelemetry(
            series=figures.recorder.encode(),
            delivered=delivered[step].delivered,
            duplicated=delivered[step].duplicated,
            first_us=figures.first_us,
            last_us=figures.last_us,
            bytes=figures.bytes,
        )
        for step, figures in steps.items()
    }


def progress_telemetry(ledger: Ledger) -> ProgressTelemetry:
    """The few counts that a drain waits for; cheap enough to be asked for many times a second."""
    return ProgressTelemetry(
        steps={step: counts.delivered for step, counts in ledger.delivered().items()},
        fences=sorted(ledger.fences()),
        fenced_partitions=sorted(ledger.fenced_partitions()),
        fence_places=sorted(ledger.fence_places().items()),
    )
