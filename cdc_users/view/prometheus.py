"""A run in Prometheus' text format: the harness's counts and the platform's gauges.

Pure.

Names and units follow Prometheus' conventions (base units, `_total` for counters); docs/metrics.md
lists all of them. Counters belong to a step and begin with it, so each of their samples has the
label `step`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cdc_users.measure.judgement.result import Verdict
from cdc_users.measure.latency.histogram import LatencyHistogram
from cdc_users.measure.latency.recorder import Recorder
from cdc_users.observe.message import ProcessSample
from cdc_users.step.state import StepState
from cdc_users.view.run_view import RunView, current, last_mark, latest

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
#: Upper bounds of the latency histograms, in seconds.
BOUNDS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
)
HISTOGRAM = "cdc_latency_seconds"
INFO = "cdc_run_info"
VERDICT = "cdc_run_verdict"


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of one step."""

    name: str
    unit: str
    help: str
    read: Callable[[RunView, StepState], int]


@dataclass(frozen=True, slots=True)
class ExportedGauge:
    """A gauge of the whole run; None is left out."""

    name: str
    unit: str
    help: str
    read: Callable[[RunView], float | int | None]


def _arrivals(name: str) -> Callable[[RunView, StepState], int]:
    return lambda _, state: state.total(name)


def _offered(run: RunView, state: StepState) -> int:
    """Arrivals that are due: the writers' tally counts the whole plan."""
    planned = state.total("offered")
    if state is not current(run) or state.loaded_us:
        return planned
    now = latest(run)
    return min(planned, now.offered) if now is not None else 0


def _delivered(run: RunView, state: StepState) -> int:
    return run.look.delivered(state.number)


def _sent(run: RunView, state: StepState) -> int:
    """Events sent, at least those delivered: a lane learns of its commit after the log does."""
    return max(state.sent, _delivered(run, state))


def _duplicated(run: RunView, state: StepState) -> int:
    seen = run.look.sink.steps.get(state.number)
    return seen.duplicated if seen is not None else 0


def _bytes(run: RunView, state: StepState) -> int:
    seen = run.look.sink.steps.get(state.number)
    return seen.bytes if seen is not None else 0


COUNTERS = (
    Counter(
        "cdc_arrivals_offered_total",
        "arrivals",
        "Arrivals that were due.",
        _offered,
    ),
    Counter(
        "cdc_arrivals_started_total", "arrivals", "Arrivals that started.", _arrivals("started")
    ),
    Counter(
        "cdc_arrivals_completed_total",
        "arrivals",
        "Arrivals that were acknowledged.",
        _arrivals("completed"),
    ),
    Counter("cdc_arrivals_failed_total", "arrivals", "Arrivals that failed.", _arrivals("failed")),
    Counter(
        "cdc_arrivals_dropped_total",
        "arrivals",
        "Arrivals that could not start.",
        _arrivals("dropped"),
    ),
    Counter(
        "cdc_arrivals_late_total", "arrivals", "Arrivals that started late.", _arrivals("late")
    ),
    Counter("cdc_events_sent_total", "events", "Events that must arrive.", _sent),
    Counter(
        "cdc_events_delivered_total", "events", "Events at the sink, each counted once.", _delivered
    ),
    Counter(
        "cdc_events_duplicated_total",
        "events",
        "Events that arrived at the sink again.",
        _duplicated,
    ),
    Counter("cdc_delivered_bytes_total", "bytes", "Bytes of the events at the sink.", _bytes),
)


def _latest(name: str, factor: float = 1.0) -> Callable[[RunView], float | None]:
    def read(run: RunView) -> float | None:
        value = getattr(run.moments[-1], name) if run.moments else None
        return None if value is None else value * factor

    return read


GAUGES = (
    ExportedGauge(
        "cdc_run_elapsed_seconds", "seconds", "Time on the timeline.", _latest("elapsed_s")
    ),
    ExportedGauge(
        "cdc_run_concluded",
        "0 or 1",
        "Whether the run has its verdict.",
        lambda run: int(run.result is not None),
    ),
    ExportedGauge(
        "cdc_backlog_events", "events", "Events sent and not yet delivered.", _latest("backlog")
    ),
    ExportedGauge(
        "cdc_topic_lag_events", "events", "Events behind in the topic.", _latest("consumer_lag")
    ),
    ExportedGauge(
        "cdc_slot_lag_bytes",
        "bytes",
        "WAL that the replication slot holds back.",
        _latest("slot_lag_bytes"),
    ),
    ExportedGauge(
        "cdc_debezium_behind_seconds",
        "seconds",
        "How far Debezium is behind its source, by its own metrics.",
        _latest("debezium_behind_ms", 1e-3),
    ),
    ExportedGauge(
        "cdc_debezium_queue_remaining_events",
        "events",
        "Events that Debezium's queue still has room for, by its own metrics.",
        _latest("debezium_queue_remaining"),
    ),
    ExportedGauge(
        "cdc_platform_queue_events",
        "events",
        "Events in the platform's queues.",
        _latest("queue_depth"),
    ),
    ExportedGauge(
        "cdc_platform_in_flight_events",
        "events",
        "Events being written to the sink.",
        _latest("in_flight"),
    ),
    ExportedGauge(
        "cdc_platform_paused_partitions",
        "partitions",
        "Paused partitions.",
        _latest("paused_partitions"),
    ),
    ExportedGauge(
        "cdc_platform_unique_memory_bytes",
        "bytes",
        "Unique memory, all instances.",
        _latest("uss_mb", 1e6),
    ),
    ExportedGauge(
        "cdc_platform_resident_memory_bytes",
        "bytes",
        "Resident memory, all instances.",
        _latest("rss_mb", 1e6),
    ),
)


@dataclass(frozen=True, slots=True)
class ProcessFigure:
    """The cost of the processes of one server, of the platform or of the harness; None is
    left out.
    """

    name: str
    kind: str
    unit: str
    help: str
    read: Callable[[ProcessSample], float | int | None]


PROCESS_FIGURES = (
    ProcessFigure(
        "cdc_process_cpu_seconds_total",
        "counter",
        "seconds",
        "Processor time since the processes began.",
        lambda sample: sample.cpu_s,
    ),
    ProcessFigure(
        "cdc_process_resident_memory_bytes",
        "gauge",
        "bytes",
        "Resident memory.",
        lambda sample: sample.rss_bytes,
    ),
    ProcessFigure(
        "cdc_process_unique_memory_bytes",
        "gauge",
        "bytes",
        "Memory that no other process shares.",
        lambda sample: sample.uss_bytes,
    ),
    ProcessFigure(
        "cdc_process_written_bytes_total",
        "counter",
        "bytes",
        "Bytes written to storage since the processes began.",
        lambda sample: sample.written_bytes,
    ),
)
#: Every name with its kind and unit; docs/metrics.md has the same list.
NAMES: Mapping[str, tuple[str, str]] = {
    **{item.name: ("counter", item.unit) for item in COUNTERS},
    **{item.name: ("gauge", item.unit) for item in GAUGES},
    **{item.name: (item.kind, item.unit) for item in PROCESS_FIGURES},
    HISTOGRAM: ("histogram", "seconds"),
    INFO: ("gauge", "1"),
    VERDICT: ("gauge", "0 or 1"),
}


class RunCollector(Collector):
    """Reads a run each time Prometheus scrapes it."""

    def __init__(self, run: RunView | None) -> None:
        self._run = run

    def collect(self) -> Iterator[Metric]:
        """Every family; empty if there is no run."""
        run = self._run
        if run is None:
            return
        begun = [state for state in run.states if state.workers]
        yield _info(run)
        yield _verdict(run)
        for counter in COUNTERS:
            counts = CounterMetricFamily(counter.name, counter.help, labels=["step"])
            for state in begun:
                counts.add_metric([state.step.name], counter.read(run, state))
            yield counts
        for gauge in GAUGES:
            value = gauge.read(run)
            if value is not None:
                yield GaugeMetricFamily(gauge.name, gauge.help, value=value)
        yield from map(partial(_processes, run), PROCESS_FIGURES)
        yield _latencies(run, begun)


def _processes(run: RunView, figure: ProcessFigure) -> Metric:
    kind = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
    family = kind(figure.name, figure.help, labels=["process"])
    for name, sample in run.look.processes.items():
        if (value := figure.read(sample)) is not None:
            family.add_metric([name], value)
    return family


def _info(run: RunView) -> Metric:
    begun = last_mark(run)
    labels = [run.id, run.scenario.name, begun.step, begun.name]
    family = GaugeMetricFamily(
        INFO,
        "The run, its scenario, and its current step and stage.",
        labels=["run", "scenario", "step", "stage"],
    )
    family.add_metric(labels, 1)
    return family


def _verdict(run: RunView) -> Metric:
    family = GaugeMetricFamily(
        VERDICT, "1 for the verdict that the run ended in.", labels=["verdict"]
    )
    for verdict in Verdict:
        family.add_metric(
            [verdict.value], int(run.result is not None and run.result.verdict is verdict)
        )
    return family


def _latencies(run: RunView, begun: list[StepState]) -> Metric:
    family = HistogramMetricFamily(
        HISTOGRAM,
        "Latencies from the intended time, and their parts, by series.",
        labels=["step", "series"],
    )
    for state in begun:
        seen = run.look.sink.steps.get(state.number)
        for recorder in (state.recorder(), seen.recorder if seen is not None else Recorder()):
            for name, histogram in recorder.series.items():
                if histogram.count:
                    family.add_metric(
                        [state.step.name, name], _buckets(histogram), histogram.sum_us / 1e6
                    )
    return family


def _buckets(histogram: LatencyHistogram) -> list[tuple[str, float]]:
    """Cumulative counts below each bound; values within 0.1 % of a bound may be on either side."""
    counts = [0] * (len(BOUNDS_S) + 1)
    for value_us, count in histogram.buckets():
        counts[bisect_left(BOUNDS_S, value_us / 1e6)] += count
    total = 0
    found = []
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), counts, strict=True):
        total += count
        found.append((bound, float(total)))
    return found


def text(run: RunView | None) -> str:
    """The run in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(RunCollector(run))
    return generate_latest(registry).decode("utf-8")
