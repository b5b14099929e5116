"""How a run shares the machine's processors: servers, platform, harness, and other processes.

Linux's schedstat and stat have the times (kernel documentation, scheduler/sched-stats, proc.rst).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from cdc_users.measure.judgement.processor import ProcessorReading, TaskTimes
from cdc_users.pipeline.pipeline import Rig

PROC = Path("/proc")
#: In the first line of /proc/stat (proc.rst, 1.8): idle, iowait, and guests, which are in user.
IDLE = (3, 4)
COUNTED = 8


def read_run(rig: Rig, *, own_lanes: bool) -> ProcessorReading:
    """How long each group of a run's processes has run and waited.

    Parts that run elsewhere, or that somebody else has started, would count as other processes;
    then the machine's figures are left out. `own_lanes` says that all lanes are in processes of
    this one.
    """
    platform = [pid for child in rig.children for pid in family(child.process.pid)]
    supervisor = rig.wiring.endpoints.supervisor_pid
    servers = family(supervisor) if supervisor is not None else []
    harness = [pid for pid in family(os.getpid()) if pid not in platform]
    reading = read({"servers": servers, "platform": platform, "harness": harness})
    if servers and platform and own_lanes:
        return reading
    return replace(reading, busy_s=0.0, total_s=0.0)


def read(groups: Mapping[str, Sequence[int]], proc: Path = PROC) -> ProcessorReading:
    """Read all threads of the groups' processes now."""
    found = {
        name: {thread: times for pid in pids for thread, times in _threads(proc, pid)}
        for name, pids in groups.items()
    }
    busy_s, total_s = _machine(proc)
    return ProcessorReading(found, busy_s, total_s)


def _threads(proc: Path, pid: int) -> Iterable[tuple[int, TaskTimes]]:
    try:
        places = list((proc / str(pid) / "task").iterdir())
    except OSError:
        return  # it has ended
    for place in places:
        try:
            text = (place / "schedstat").read_text(encoding="ascii")
            ran_ns, waited_ns, _ = text.split()
        except (OSError, ValueError):
            continue
        yield int(place.name), TaskTimes(int(ran_ns) / 1e9, int(waited_ns) / 1e9)


def _machine(proc: Path) -> tuple[float, float]:
    """Seconds that all processors were busy, and their total; 0 if the system does not say."""
    try:
        first = (proc / "stat").read_text(encoding="ascii").splitlines()[0].split()
    except (OSError, IndexError):
        return 0.0, 0.0
    ticks = [int(cell) for cell in first[1 : 1 + COUNTED]]
    per_s = os.sysconf("SC_CLK_TCK")
    idle = sum(ticks[index] for index in IDLE)
    return (sum(ticks) - idle) / per_s, sum(ticks) / per_s


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    try:
        process = psutil.Process(pid)
        return [pid, *(child.pid for child in process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []
