"""What one step brought to a tap, and the plain data in which the platform and the observer tell
of it alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.ledger.ledger import Ledger


@dataclass(slots=True)
class StepFigures:
    """One step's latencies and bytes; times are wall microseconds of its first and last event."""

    recorder: Recorder = field(default_factory=Recorder)
    first_us: int = 0
    last_us: int = 0
    bytes: int = 0


def steps_json(steps: Mapping[int, StepFigures], ledger: Ledger) -> dict[str, Any]:
    """All steps with their counts, by number."""
    delivered = ledger.delivered()
    return {
        str(step): {
            "series": figures.recorder.to_json(),
            "delivered": delivered[step].delivered,
            "duplicated": delivered[step].duplicated,
            "first_us": figures.first_us,
            "last_us": figures.last_us,
            "bytes": figures.bytes,
        }
        for step, figures in steps.items()
    }


def fences_json(ledger: Ledger) -> dict[str, Any]:
    """The fences seen, by key and by the partitions that they came from."""
    return {
        "fences": sorted(ledger.fences()),
        "fenced_partitions": sorted(ledger.fenced_partitions()),
        "fence_places": sorted(ledger.fence_places().items()),
    }


def progress_json(ledger: Ledger) -> dict[str, Any]:
    """What a drain waits for, cheap enough to be asked many times a second."""
    return {
        "steps": {str(step): counts.delivered for step, counts in ledger.delivered().items()},
        **fences_json(ledger),
    }
