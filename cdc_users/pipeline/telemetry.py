"""Reads the platform's telemetry: snapshots, progress, samples, and ledgers for the audit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import requests

from cdc_users.error import PlatformAnswerError, PlatformSilentError
from cdc_users.measure.contract import (
    PartitionTelemetry,
    PlatformReady,
    PlatformTelemetry,
    SamplesTelemetry,
    TelemetrySample,
)
from cdc_users.measure.latency.histogram import EncodedHistogram
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.latency.series import DURABLE, EARLIEST
from cdc_users.measure.ledger import ledger
from cdc_users.measure.ledger.arrival import EncodedArrivals
from cdc_users.measure.step import ProgressTelemetry, StepTelemetry
from cdc_users.measure.wire import WireError, WireMessage, decode
from cdc_users.observe.message import DebeziumSample, ProcessSample
from cdc_users.pipeline.process.child_process import Child
from infra.client import http

TIMEOUT_S = 10.0
#: The status of a route that a platform does not serve.
NOT_SERVED = (404, 405, 501)
CONTRACT = "docs/platform-contract.md describes a platform's answers"
#: The latency series that our tap gives, if it sees the events themselves.
WITNESSED = ("end_to_end", EARLIEST.name)
#: The limit for a ledger: one of millions of updated keys takes long to make.
LEDGER_S = 300.0


@dataclass(slots=True)
class StepSnapshot:
    """A step's figures at the sink so far, over all instances; times are wall microseconds."""

    delivered: int = 0
    duplicated: int = 0
    bytes: int = 0
    last_us: int = 0
    recorder: Recorder = field(default_factory=Recorder)


@dataclass(slots=True)
class Snapshot:
    """The telemetry of all instances, or of one tap, at one moment."""

    steps: dict[int, StepSnapshot] = field(default_factory=dict)
    instances: Sequence[PlatformTelemetry] = ()
    #: Messages that a tap of the observer could not read; only the first few.
    unreadable: Sequence[str] = ()
    #: How many changes to the run's rows somebody else made, and some of their keys.
    written_by_others: int = 0
    others_keys: Sequence[int] = ()
    #: Remarks on these figures.
    remark: str = ""

    def delivered(self, step: int) -> int:
        """Events of a step that are durable at the sink, each counted once."""
        return self.steps[step].delivered if step in self.steps else 0

    @property
    def queue_depth(self) -> int | None:
        """Events that wait in the platform."""
        return _sum(part.consumer.queue_depth for part in self.instances)

    @property
    def in_flight(self) -> int | None:
        """Events that the platform is writing."""
        return _sum(part.consumer.in_flight for part in self.instances)

    @property
    def paused_partitions(self) -> int | None:
        """Partitions that the platform has paused."""
        paused = sum(partition.paused for partition in self._partitions())
        return paused if self.instances else None

    @property
    def partitions(self) -> int:
        """Partitions that an instance owns."""
        return len(self._partitions())

    @property
    def lag(self) -> int | None:
        """Events behind, over all partitions; None if an instance does not know."""
        return _sum(partition.lag for partition in self._partitions())

    @property
    def high_water(self) -> int | None:
        """The most events that an instance has held since its start."""
        known = [part.consumer.queue_high_water for part in self.instances]
        return max((most for most in known if most is not None), default=None)

    @property
    def positions(self) -> dict[str, int]:
        """The offset up to which each partition's events are durable."""
        return {
            name: partition.durable or 0
            for part in self.instances
            for name, partition in (part.consumer.partitions or {}).items()
        }

    def _partitions(self) -> list[PartitionTelemetry]:
        return [
            item for part in self.instances for item in (part.consumer.partitions or {}).values()
        ]

    @property
    def uss_bytes(self) -> int | None:
        """Unique memory of all instances."""
        return _sum(part.uss_bytes for part in self.instances)

    @property
    def rss_bytes(self) -> int | None:
        """Resident memory of all instances."""
        return _sum(part.rss_bytes for part in self.instances)

    @property
    def errors(self) -> list[str]:
        """What the platform itself reports as failed."""
        return [error for part in self.instances for error in part.consumer.errors]

    @property
    def remarks(self) -> list[str]:
        """What the platform itself remarks on its figures and the sink."""
        return [remark for part in self.instances for remark in part.consumer.remarks]


def _sum(values: Iterable[int | None]) -> int | None:
    """The sum; None if there are no values, or one of them is not known."""
    known = list(values)
    return (
        sum(value for value in known if value is not None) if known and None not in known else None
    )


@dataclass(slots=True)
class PipelineSnapshot:
    """A pipeline at one moment: the last tap, the platform itself, and the gauges."""

    sink: Snapshot = field(default_factory=Snapshot)
    #: The last tap that sees every event, if the sink's tap sees only states.
    nearest: Snapshot | None = None
    platform: Snapshot = field(default_factory=Snapshot)
    #: The observer's figures, by tap.
    taps: Mapping[str, Snapshot] = field(default_factory=dict)
    #: The taps where events come out, if there are several; the last one's figures are `sink`.
    ends: Sequence[str] = ()
    #: The gauges: the group's lag in events, and the bytes of WAL that the slot holds back.
    group_lag: int | None = None
    slot_lag_bytes: int | None = None
    #: Debezium's own metrics, if they are read.
    debezium: DebeziumSample = field(default_factory=DebeziumSample)
    #: Processor time, memory and writes of the servers, the platform and the harness, by name.
    processes: Mapping[str, ProcessSample] = field(default_factory=dict)

    def delivered(self, step: int) -> int:
        """Events of a step that have reached the sink, or the last tap that sees every event."""
        return (self.sink if self.nearest is None else self.nearest).delivered(step)

    @property
    def lag(self) -> int | None:
        """Events behind in the topic, by the consumer group's offsets, or else by the platform's
        own report.
        """
        return self.platform.lag if self.group_lag is None else self.group_lag


@dataclass(frozen=True, slots=True)
class PlatformRoutes:
    """The routes that one platform instance serves; it may serve none.

    If it `audits`, it is a tap of its own and serves `/progress` and `/ledger`.
    """

    url: str = ""
    snapshot: bool = False
    audits: bool = False
    samples: bool = False


def ready_line(child: Child) -> PlatformReady:
    """An instance's ready line; raises PlatformAnswerError if it does not follow the contract."""
    try:
        return decode(child.ready, PlatformReady, f"{child.name}, as its ready line,")
    except WireError as error:
        raise PlatformAnswerError(f"{error}; {CONTRACT}") from error


def routes_of(child: Child) -> PlatformRoutes:
    """The routes that an instance serves, found by one request each; raises TargetError if an
    answer does not follow the contract.
    """
    url = ready_line(child).telemetry.rstrip("/")
    if not url:
        return PlatformRoutes()
    progress = _serves(f"{url}/progress", ProgressTelemetry)
    if progress != _serves(f"{url}/ledger", EncodedArrivals):
        there, missing = ("progress", "ledger") if progress else ("ledger", "progress")
        raise PlatformAnswerError(
            f"the platform's telemetry at {url} has /{there} and not /{missing}, which go together;"
            f" {CONTRACT}"
        )
    return PlatformRoutes(
        url,
        snapshot=_serves(f"{url}/snapshot", PlatformTelemetry),
        audits=progress,
        samples=_serves(f"{url}/samples?after=0", SamplesTelemetry),
    )


def _serves(url: str, kind: type[WireMessage]) -> bool:
    """Whether an instance serves this route; raises TargetError for an answer of another form."""
    try:
        _get(url, kind)
    except PlatformSilentError as error:
        cause = error.__cause__
        answer = cause.response if isinstance(cause, requests.HTTPError) else None
        if answer is None or answer.status_code not in NOT_SERVED:
            raise
        return False
    return True


def read_snapshot(urls: Sequence[str]) -> Snapshot:
    """The platform's figures now; raises TargetError if an instance does not answer."""
    return merged_snapshot([_get(f"{url}/snapshot", PlatformTelemetry) for url in urls])


def merged_snapshot(instances: Sequence[PlatformTelemetry]) -> Snapshot:
    """Merge the snapshots of several instances."""
    return Snapshot(merged_steps([part.steps for part in instances]), instances)


def merged_steps(parts: Iterable[Mapping[int, StepTelemetry]]) -> dict[int, StepSnapshot]:
    """Merge the steps of several instances, or of one tap."""
    told: dict[int, list[StepTelemetry]] = {}
    for part in parts:
        for number, step in part.items():
            told.setdefault(number, []).append(step)
    return {
        number: StepSnapshot(
            delivered=sum(step.delivered for step in steps),
            duplicated=sum(step.duplicated for step in steps),
            bytes=sum(step.bytes for step in steps),
            last_us=max(step.last_us for step in steps),
            recorder=Recorder([step.series for step in steps]),
        )
        for number, steps in told.items()
    }


def witnessed(platform: Snapshot, tap: Snapshot) -> Snapshot:
    """A platform's figures with the end-to-end latency that our tap has seen; the platform's own
    report of it is kept as `durable`.
    """
    steps = {}
    for number, told in platform.steps.items():
        seen = tap.steps.get(number, StepSnapshot())
        series = [*map(_own_word, told.recorder.told), *map(_witnessed, seen.recorder.told)]
        last_us = max(told.last_us, seen.last_us)
        steps[number] = replace(told, recorder=Recorder(series), last_us=last_us)
    return replace(platform, steps=steps)


def _own_word(series: Mapping[str, EncodedHistogram]) -> Mapping[str, EncodedHistogram]:
    """A platform's series, with its end-to-end latency renamed."""
    kept = {name: encoded for name, encoded in series.items() if name not in WITNESSED}
    return {**kept, DURABLE.name: series["end_to_end"]} if "end_to_end" in series else kept


def _witnessed(series: Mapping[str, EncodedHistogram]) -> Mapping[str, EncodedHistogram]:
    return {name: series[name] for name in WITNESSED if name in series}


def advance(before: Mapping[str, int] | None, after: Mapping[str, int] | None) -> list[int]:
    """By how many events each partition has advanced; empty if either end is not known."""
    if before is None or after is None:
        return []
    return [position - before.get(name, 0) for name, position in after.items()]


@dataclass(slots=True)
class TapProgress:
    """What a drain waits for: events delivered by step, each counted once, and the fences that have
    arrived.
    """

    delivered: dict[int, int] = field(default_factory=dict)
    fences: set[int] = field(default_factory=set)
    fenced_partitions: set[int] = field(default_factory=set)
    #: The partition of each fence, by its key.
    fence_places: dict[int, int] = field(default_factory=dict)


def read_progress(urls: Sequence[str]) -> TapProgress:
    """The progress of all instances; raises TargetError if one does not answer."""
    return merged_progress([_get(f"{url}/progress", ProgressTelemetry) for url in urls])


def merged_progress(parts: Iterable[ProgressTelemetry]) -> TapProgress:
    """Merge the progress of several instances, or of one tap."""
    progress = TapProgress()
    for part in parts:
        progress.fences.update(part.fences)
        progress.fenced_partitions.update(part.fenced_partitions)
        progress.fence_places.update(part.fence_places)
        for step, count in part.steps.items():
            progress.delivered[step] = progress.delivered.get(step, 0) + count
    return progress


def read_ledger(urls: Sequence[str]) -> ledger.Arrivals:
    """The merged ledgers of all instances. A cheap request comes first, so that a stopped instance
    fails soon and not after a ledger's long limit.
    """
    read_progress(urls)
    found = (_get(f"{url}/ledger", EncodedArrivals, LEDGER_S) for url in urls)
    return ledger.merge(ledger.Arrivals.decode(arrivals) for arrivals in found)


def read_samples(url: str, after: int) -> list[TelemetrySample]:
    """One instance's 10 Hz samples after this number; raises TargetError."""
    return _get(f"{url}/samples?after={after}", SamplesTelemetry).samples


def begin(urls: Sequence[str], token: str) -> None:
    """Let held instances start to read; raises TargetError."""
    for url in urls:
        _ask("POST", f"{url}/begin", headers={"Authorization": f"Bearer {token}"})


def _get(url: str, kind: type[WireMessage], timeout_s: float = TIMEOUT_S) -> WireMessage:
    try:
        return decode(_ask("GET", url, timeout_s), kind, f"the platform's telemetry at {url}")
    except WireError as error:
        raise PlatformAnswerError(f"{error}; {CONTRACT}") from error


def _ask(
    method: str, url: str, timeout_s: float = TIMEOUT_S, headers: Mapping[str, str] | None = None
) -> bytes:
    try:
        answer = http.request(method, url, timeout=timeout_s, headers=headers)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise PlatformSilentError(
            f"the platform's telemetry does not answer at {url}: {type(error).__name__}"
        ) from error
    return answer.content
