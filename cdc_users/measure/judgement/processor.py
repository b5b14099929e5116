"""Where the processors' time went: how long a run's processes ran, how long they waited for a
processor, and how much other processes used. Pure.

A short burst on a machine that other processes keep busy measures the machine, not the pipeline.
The time of a process that ends between two readings is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """Seconds that some threads ran, and waited for a processor."""

    ran_s: float = 0.0
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ProcessorReading:
    """The processors' time until a moment: by group, by thread, and the machine's; `machine` is
    empty where a part of the run belongs to no group.
    """

    groups: Mapping[str, Mapping[int, TaskTimes]] = field(default_factory=dict)
    busy_s: float = 0.0
    total_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ProcessorUse:
    """The use of the processors between two readings.

    `waited` is, by group, the share of the time in which its threads wanted a processor and had
    none; `others` is the share of the machine that processes outside all groups used.
    """

    waited: Mapping[str, float]
    others: float | None


def between(before: ProcessorReading, after: ProcessorReading) -> ProcessorUse:
    """The use of the processors from one reading to the next."""
    spent = {
        name: _grown(before.groups.get(name, {}), threads) for name, threads in after.groups.items()
    }
    total_s = after.total_s - before.total_s
    ours_s = sum(times.ran_s for times in spent.values())
    others_s = max(0.0, after.busy_s - before.busy_s - ours_s)
    return ProcessorUse(
        {
            name: round(times.waited_s / wanted_s, 4)
            if (wanted_s := times.ran_s + times.waited_s)
            else 0.0
            for name, times in spent.items()
        },
        round(min(1.0, others_s / total_s), 4) if total_s > 0 else None,
    )


def _grown(before: Mapping[int, TaskTimes], after: Mapping[int, TaskTimes]) -> TaskTimes:
    nothing = TaskTimes()
    earlier = [before.get(thread, nothing) for thread in after]
    return TaskTimes(
        sum(now.ran_s - then.ran_s for now, then in zip(after.values(), earlier, strict=True)),
        sum(
            now.waited_s - then.waited_s for now, then in zip(after.values(), earlier, strict=True)
        ),
    )
