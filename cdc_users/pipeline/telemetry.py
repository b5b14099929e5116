"""Reads the platform's telemetry: its snapshots, and its ledgers for the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import requests

from cdc_users.error import TargetError
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.measure.latency.series import EARLIEST
from cdc_users.measure.ledger import ledger
from infra.client import http

TIMEOUT_S = 10.0
#: The end-to-end latency as the platform says it, where a tap of ours sees the events themselves.
DURABLE = "durable"
#: A ledger of millions of updated keys takes long to put together.
LEDGER_S = 300.0


@dataclass(slots=True)
class StepSnapshot:
    """What one step has brought to the sink so far, over all instances; times are wall
    microseconds.
    """

    delivered: int = 0
    duplicated: int = 0
    bytes: int = 0
    last_us: int = 0
    recorder: Recorder = field(default_factory=Recorder)


@dataclass(slots=True)
class Snapshot:
    """All instances' telemetry at one moment, merged; `raw` keeps each as it came."""

    steps: dict[int, StepSnapshot] = field(default_factory=dict)
    raw: list[Mapping[str, Any]] = field(default_factory=list)

    def delivered(self, step: int) -> int:
        """Events of a step that are durable at the sink, each counted once."""
        return self.steps[step].delivered if step in self.steps else 0

    @property
    def queue_depth(self) -> int | None:
        """Events that wait in the platform."""
        return self._total("queue_depth")

    @property
    def in_flight(self) -> int | None:
        """Events that the platform is writing."""
        return self._total("in_flight")

    def _total(self, name: str) -> int | None:
        return sum(int(part["consumer"][name]) for part in self.raw) if self.raw else None

    @property
    def paused_partitions(self) -> int | None:
        """Partitions that the platform has paused."""
        paused = [bool(partition["paused"]) for partition in self._partitions()]
        return sum(paused) if self.raw else None

    @property
    def partitions(self) -> int:
        """Partitions that some instance has."""
        return len(self._partitions())

    @property
    def lag(self) -> int | None:
        """Events behind, over all partitions; None where an instance does not know."""
        lags = [partition["lag"] for partition in self._partitions()]
        return None if None in lags or not lags else sum(lags)

    @property
    def high_water(self) -> int | None:
        """The most events that an instance has held since it began."""
        return max(
            (int(part["consumer"].get("queue_high_water", 0)) for part in self.raw), default=None
        )

    @property
    def positions(self) -> dict[str, int]:
        """How far each partition's events are durable."""
        partitions = [item for part in self.raw for item in part["consumer"]["partitions"].items()]
        return {name: int(partition.get("durable") or 0) for name, partition in partitions}

    def _partitions(self) -> list[Mapping[str, Any]]:
        return [
            partition for part in self.raw for partition in part["consumer"]["partitions"].values()
        ]

    @property
    def uss_bytes(self) -> int | None:
        """Unique memory of all instances."""
        return sum(int(part["uss_bytes"]) for part in self.raw) if self.raw else None

    @property
    def rss_bytes(self) -> int | None:
        """Resident memory of all instances."""
        return sum(int(part["rss_bytes"]) for part in self.raw) if self.raw else None

    @property
    def unreadable(self) -> list[str]:
        """What a tap of the observer found and could not read; the first few of it."""
        return [str(error) for part in self.raw for error in part.get("errors", ())]

    @property
    def written_by_others(self) -> tuple[int, list[int]]:
        """How many events a tap of the observer saw that nobody of ours made of the run's rows, and
        the keys of some.
        """
        count = sum(int(part.get("written_by_others", 0)) for part in self.raw)
        return count, [int(key) for part in self.raw for key in part.get("others_keys", ())]

    @property
    def errors(self) -> list[str]:
        """What the platform itself reports as failed."""
        return [error for part in self.raw for error in part["consumer"]["errors"]]


@dataclass(slots=True)
class PipelineSnapshot:
    """Everything about a pipeline at one moment: the last tap, the platform itself, and the
    gauges.
    """

    sink: Snapshot = field(default_factory=Snapshot)
    #: The last tap that sees every event, where the sink's sees only what it holds.
    nearest: Snapshot | None = None
    platform: Snapshot = field(default_factory=Snapshot)
    #: What the observer saw, by tap.
    taps: Mapping[str, Snapshot] = field(default_factory=dict)
    gauges: Mapping[str, Any] = field(default_factory=dict)

    def delivered(self, step: int) -> int:
        """Events of a step that have come to the sink, or as near to it as every one is seen."""
        return (self.sink if self.nearest is None else self.nearest).delivered(step)

    @property
    def lag(self) -> int | None:
        """Events behind in the topic, as the consumer group's offsets say, else as the platform
        does.
        """
        told = self.gauges.get("consumer_lag")
        return int(told) if told is not None else self.platform.lag

    @property
    def slot_lag_bytes(self) -> int | None:
        """Bytes of WAL that the replication slot holds back."""
        told = self.gauges.get("slot_lag_bytes")
        return None if told is None else int(told)


def read_snapshot(urls: Sequence[str]) -> Snapshot:
    """The platform's figures now; raises TargetError when an instance does not answer."""
    return merged_snapshot([_get(f"{url}/snapshot") for url in urls])


def merged_snapshot(parts: Sequence[Mapping[str, Any]]) -> Snapshot:
    """Several instances' snapshots, or one tap's, as one."""
    snapshot = Snapshot(raw=list(parts))
    for part in parts:
        for number, step in part["steps"].items():
            total = snapshot.steps.setdefault(int(number), StepSnapshot())
            total.delivered += int(step["delivered"])
            total.duplicated += int(step["duplicated"])
            total.bytes += int(step["bytes"])
            total.last_us = max(total.last_us, int(step["last_us"]))
            total.recorder.merge(Recorder.from_json(step["series"]))
    return snapshot


def witnessed(platform: Snapshot, tap: Snapshot) -> Snapshot:
    """A platform's figures with the end-to-end latency that a tap of ours has seen: what a
    platform says of itself is its own word, kept as `durable`.
    """
    steps = {}
    for number, told in platform.steps.items():
        seen = tap.steps.get(number, StepSnapshot())
        series = {
            **told.recorder.series,
            DURABLE: told.recorder.histogram("end_to_end"),
            "end_to_end": seen.recorder.histogram("end_to_end"),
            EARLIEST.name: seen.recorder.histogram(EARLIEST.name),
        }
        last_us = max(told.last_us, seen.last_us)
        recorder = Recorder()
        recorder.series = series
        steps[number] = replace(told, recorder=recorder, last_us=last_us)
    return Snapshot(steps, platform.raw)


def advance(before: Mapping[str, int] | None, after: Mapping[str, int] | None) -> list[int]:
    """By how many events each partition has come further; none where one end is not known."""
    if before is None or after is None:
        return []
    return [position - before.get(name, 0) for name, position in after.items()]


@dataclass(slots=True)
class TapProgress:
    """What a drain waits for: events delivered by step, each counted once, and the fences that
    have come.
    """

    delivered: dict[int, int] = field(default_factory=dict)
    fences: set[int] = field(default_factory=set)
    fenced_partitions: set[int] = field(default_factory=set)
    #: The partition that each fence came from, by its key.
    fence_places: dict[int, int] = field(default_factory=dict)


def read_progress(urls: Sequence[str]) -> TapProgress:
    """How far all instances have come; raises TargetError when one does not answer."""
    return merged_progress([_get(f"{url}/progress") for url in urls])


def merged_progress(parts: Sequence[Mapping[str, Any]]) -> TapProgress:
    """Several instances' progress, or one tap's, as one."""
    progress = TapProgress()
    for part in parts:
        progress.fences.update(part["fences"])
        progress.fenced_partitions.update(part["fenced_partitions"])
        # A platform of one's own need not tell this.
        progress.fence_places |= {int(k): int(p) for k, p in part.get("fence_places", ())}
        for step, count in part["steps"].items():
            progress.delivered[int(step)] = progress.delivered.get(int(step), 0) + int(count)
    return progress


def read_ledger(urls: Sequence[str]) -> ledger.Arrivals:
    """All instances' ledgers as one."""
    return ledger.merge(ledger.Arrivals.from_json(_get(f"{url}/ledger", LEDGER_S)) for url in urls)


def read_samples(url: str, after: int) -> list[Mapping[str, Any]]:
    """One instance's 10 Hz samples after this number; raises TargetError."""
    samples: list[Mapping[str, Any]] = _get(f"{url}/samples?after={after}")["samples"]
    return samples


def begin(urls: Sequence[str], token: str) -> None:
    """Let held instances start to read; raises TargetError."""
    for url in urls:
        _ask("POST", f"{url}/begin", headers={"Authorization": f"Bearer {token}"})


def _get(url: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    return _ask("GET", url, timeout_s)


def _ask(
    method: str, url: str, timeout_s: float = TIMEOUT_S, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    try:
        answer = http.request(method, url, timeout=timeout_s, headers=headers)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise TargetError(
            f"the platform's telemetry does not answer at {url}: {type(error).__name__}"
        ) from error
    body: dict[str, Any] = answer.json()
    return body
