"""What a platform tells about itself (docs/platform-contract.md): messages that a platform may
leave out in whole or in part, and their JSON schema.

`python -m cdc_users.measure.contract` prints the schema.
"""

from __future__ import annotations

import msgspec

from cdc_users.measure.ledger.arrival import EncodedArrivals
from cdc_users.measure.step import ProgressTelemetry, StepTelemetry


class PartitionTelemetry(msgspec.Struct, kw_only=True):
    """One partition as an instance sees it: up to where its events are durable, how many are behind
    (None: not known), and whether it is paused.
    """

    durable: int | None = None
    lag: int | None = None
    paused: bool = False


class ConsumerTelemetry(msgspec.Struct, kw_only=True):
    """What an instance of the platform holds in memory; a platform may leave it out."""

    queue_depth: int | None = None
    in_flight: int | None = None
    queue_high_water: int | None = None
    #: None: the platform does not say which partitions it has.
    partitions: dict[str, PartitionTelemetry] | None = None
    errors: list[str] = []
    #: What a reader of the results should know, and is no failure.
    remarks: list[str] = []


class PlatformTelemetry(msgspec.Struct, kw_only=True):
    """`GET /snapshot` of one instance of the platform (docs/platform-contract.md); every field may
    be left out.
    """

    steps: dict[int, StepTelemetry] = {}
    consumer: ConsumerTelemetry = msgspec.field(default_factory=ConsumerTelemetry)
    rss_bytes: int | None = None
    uss_bytes: int | None = None


class TelemetrySample(msgspec.Struct, kw_only=True):
    """One of an instance's 10 Hz samples; only its number and its time are required."""

    number: int
    at_us: int
    queue_depth: int = 0
    in_flight: int = 0
    high_water: int | None = None
    paused_partitions: int = 0
    lag: int | None = None
    completions: int = 0
    busy_s: float = 0.0
    workers: int = 0
    rss_bytes: int | None = None
    uss_bytes: int | None = None
    slot_lag_bytes: int | None = None


class SamplesTelemetry(msgspec.Struct):
    """`GET /samples` of one instance; a platform may have none."""

    samples: list[TelemetrySample] = []


class PlatformReady(msgspec.Struct):
    """An instance's ready line: where its telemetry is, if it has any."""

    telemetry: str = ""


#: The platform's messages, by where each one appears.
ANSWERS = {
    "the ready line": PlatformReady,
    "GET /snapshot": PlatformTelemetry,
    "GET /samples?after=N": SamplesTelemetry,
    "GET /progress": ProgressTelemetry,
    "GET /ledger": EncodedArrivals,
}


def contract_schema() -> dict[str, object]:
    """The contract as a JSON schema with one property for each message."""
    found, parts = msgspec.json.schema_components(ANSWERS.values(), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What a platform says and answers (docs/platform-contract.md)",
        "type": "object",
        "properties": dict(zip(ANSWERS, found, strict=True)),
        "$defs": parts,
    }


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(contract_schema()), indent=1).decode())
