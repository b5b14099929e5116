"""What the microbenchmarks share: measuring beside a plain implementation, and the table at a
module's end.

Absolute figures move with the machine, so each is set beside the plain implementation of the same
task, run in turns with it; the ratio is the median of the turns', of processor time, so that what
else the machine does is in neither. With `--benchmark-disable` everything runs once, for its
result only.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

TURNS = 5
_HEAD = ("Test", "Msgs", "Duration", "Throughput", "Bytes/s", "Plain", "Ratio", "Goal")
_WIDTHS = (35, 8, 10, 14, 12, 14, 8, 6)


@dataclass(frozen=True, slots=True)
class Work:
    """What one call does: so many messages of so many bytes.

    `floor_per_s` is the specification's, `goal` a ratio.
    """

    name: str
    messages: int
    bytes: int = 0
    goal: float | None = None
    floor_per_s: float | None = None


class MicroReport:
    """The rows of one module, printed in the layout of the suite's other results."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []

    def add(self, work: Work, duration_s: float, plain_s: float, ratio: float) -> None:
        """Add one benchmark."""
        self.rows.append(
            (
                work.name,
                str(work.messages),
                f"{duration_s:.3f}s",
                f"{work.messages / duration_s:.0f}/s",
                f"{work.bytes / duration_s / 1e6:.1f}MB/s" if work.bytes else "-",
                f"{work.messages / plain_s:.0f}/s",
                f"{ratio:.1f}x",
                f"{work.goal:g}x" if work.goal else "-",
            )
        )

    def table(self) -> str:
        """The table."""
        lines = [
            "CONSOLIDATED BENCHMARK RESULTS",
            _line(_HEAD),
            " ".join("-" * width for width in _WIDTHS),
        ]
        return "\n".join([*lines, *map(_line, self.rows)])


def _line(cells: tuple[str, ...]) -> str:
    padded = [f"{cell:>{width}}" for cell, width in zip(cells[1:], _WIDTHS[1:], strict=True)]
    return " ".join([f"{cells[0]:<{_WIDTHS[0]}}", *padded])


Measure = Callable[[Work, Callable[[], object], Callable[[], object]], None]


@pytest.fixture(scope="module")
def micro_report(request: pytest.FixtureRequest) -> Iterator[MicroReport]:
    """Collects a module's rows and prints them at its end."""
    report = MicroReport()
    yield report
    if report.rows:
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(f"\n\n{report.table()}", flush=True)


@pytest.fixture
def measure(benchmark: BenchmarkFixture, micro_report: MicroReport) -> Measure:
    """Measures one task beside its plain implementation; what both give is to be compared
    before.
    """

    def run(work: Work, task: Callable[[], object], plain: Callable[[], object]) -> None:
        benchmark.pedantic(task, rounds=TURNS, warmup_rounds=1)  # type: ignore[no-untyped-call]
        if benchmark.disabled:
            return
        turns = [(*_seconds(plain), *_seconds(task)) for _ in range(TURNS)]
        ratio = statistics.median(
            plain_cpu_s / task_cpu_s for _, plain_cpu_s, _, task_cpu_s in turns
        )
        plain_s, _, task_s, _ = (statistics.median(column) for column in zip(*turns, strict=True))
        benchmark.extra_info.update(
            messages=work.messages, bytes=work.bytes, ratio=round(ratio, 2), goal=work.goal
        )
        micro_report.add(work, task_s, plain_s, ratio)
        if work.floor_per_s is not None:
            assert work.messages / task_s > work.floor_per_s, (
                f"{work.name}: under {work.floor_per_s}/s"
            )

    return run


def _seconds(call: Callable[[], object]) -> tuple[float, float]:
    """What a call takes, on the clock and of the processor."""
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - started_s, time.process_time() - started_cpu_s
