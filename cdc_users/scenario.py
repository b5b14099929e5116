"""What a locustfile declares. Data only: nothing is registered and nothing is started here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from cdc_users.measure.plan import Schedule

Mode = Literal["paced", "burst"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question asked of a pipeline: its name, the way in for data, and the defaults of its options.

    `defaults` are texts by option name, as they would stand on the command line.
    """

    name: str
    question: str
    defaults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What stands between source and sink; a step with another one than its predecessor's gets a fresh topic."""

    sink: str = "counting"
    partitions: int = 1
    instances: int = 1
    batch_size: int = 500
    max_buffered_messages: int = 10_000
    sink_delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One measured stage of a run: a schedule of arrivals through one pipeline."""

    name: str
    mode: Mode
    schedule: Schedule
    pipeline: Pipeline
    lanes: int
    rows_per_arrival: int = 1
