"""The use of processors, memory and storage by each process of servers, platform and harness, once
a second.

Processes are grouped: the servers are the children of the stack's supervisor; the harness is the
run's process with all its children that belong to no other group. A process that has ended still
counts in its group.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cdc_users.observe.message import ProcessSample
from cdc_users.observe.settings import ProcessSettings

INTERVAL_S = 1.0
#: Unique memory is counted page by page, and children are found among all processes of the machine;
#: both take milliseconds, so they are read less often.
SEARCH_INTERVAL_S = 5.0
HARNESS, MACHINE = "harness", "machine"
#: The servers of a stack, each by an argument of its command line, or by the end of one.
SERVERS: Mapping[str, tuple[str, ...]] = {
    "kafka": ("kafka.Kafka",),
    "connect": ("ConnectDistributed", "ConnectStandalone"),
    "schema-registry": ("quarkus-run.jar", "GeneratedMain"),
}
#: A backend's title names its client (PostgreSQL documentation, "Standard Unix Tools").
_CLIENT = re.compile(r"(\(\d+\)|\[local\])")
_POSTGRES = "postgres"


def server_name(command: list[str]) -> str:
    """The stack's server with this command line; empty for other processes."""
    if not command:
        return ""
    if command[0].startswith("postgres:"):
        return backend_name(" ".join(command))
    if Path(command[0]).name == _POSTGRES:
        return _POSTGRES
    return next(
        (
            name
            for name, words in SERVERS.items()
            if any(argument.endswith(words) for argument in command[1:])
        ),
        "",
    )


def backend_name(title: str) -> str:
    """The part of PostgreSQL that a process is, by its title."""
    if "walsender" in title:
        return f"{_POSTGRES}-walsender"
    return f"{_POSTGRES}-clients" if _CLIENT.search(title) else _POSTGRES


def _parents() -> dict[int, int]:
    """Every process's parent, by pid."""
    found = {}
    for process in psutil.process_iter(["ppid"]):
        if (parent := process.info["ppid"]) is not None:
            found[process.pid] = parent
    return found


@dataclass(slots=True)
class _Seen:
    """One process at the last look."""

    process: psutil.Process
    name: str
    cpu_s: float = 0.0
    written_bytes: int | None = None
    rss_bytes: int = 0
    uss_bytes: int | None = None


@dataclass(slots=True)
class ProcessGauge:
    """Measures the processes of a run by group; figures that may not be read are None."""

    settings: ProcessSettings
    clock: Callable[[], float] = time.monotonic
    _roots: dict[int, str] = field(default_factory=dict)
    _seen: dict[int, _Seen] = field(default_factory=dict)
    _ended_cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _ended_bytes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _due_s: float = 0.0
    _search_due_s: float = 0.0

    def watch(self, processes: Mapping[str, int]) -> None:
        """Measure these processes under their own names from now on."""
        self._roots = {**self._roots, **{pid: name for name, pid in processes.items()}}
        self._search_due_s = 0.0

    def read(self) -> dict[str, ProcessSample] | None:
        """Every group's figures by name; None if they were read a moment ago."""
        now_s = self.clock()
        if now_s < self._due_s:
            return None
        self._due_s = now_s + INTERVAL_S
        search = now_s >= self._search_due_s
        if search:
            self._search_due_s = now_s + SEARCH_INTERVAL_S
            alive = dict(self._members())
        else:
            alive = {pid: seen.name for pid, seen in self._seen.items()}
        for pid in [pid for pid in self._seen if pid not in alive]:
            self._end(self._seen.pop(pid))
        for pid, name in alive.items():
            self._look(pid, name, unique=search)
        return self._sums()

    def close(self) -> None:
        """Close nothing: the gauge holds no connection."""

    def _members(self) -> Iterator[tuple[int, str]]:
        """Every process that belongs to a group, with the group's name."""
        parents = _parents()
        children = defaultdict(list)
        for pid, parent in parents.items():
            children[parent].append(pid)
        supervisor, roots = self.settings.supervisor, self._roots
        if supervisor is not None:
            for pid in _family(supervisor, children):
                if name := self._name_of(pid):
                    yield pid, name
        for root, name in roots.items():
            if root in parents:
                yield from ((pid, name) for pid in _family(root, children))
        apart = {*roots, *([supervisor] if supervisor is not None else [])}
        if self.settings.harness is not None:
            family = _family(self.settings.harness, children, apart)
            yield from ((pid, HARNESS) for pid in family)

    def _name_of(self, pid: int) -> str:
        try:
            process = self._seen[pid].process if pid in self._seen else psutil.Process(pid)
            return server_name(process.cmdline())
        except psutil.Error:
            return ""

    def _look(self, pid: int, name: str, *, unique: bool) -> None:
        try:
            seen = self._seen.get(pid)
            if seen is None or not seen.process.is_running():
                if seen is not None:
                    self._end(self._seen.pop(pid))
                seen = self._seen[pid] = _Seen(psutil.Process(pid), name)
                unique = True
            seen.name = name
            process = seen.process
            with process.oneshot():
                seen.cpu_s = sum(process.cpu_times()[:2])
                seen.rss_bytes = process.memory_info().rss
            seen.written_bytes = _written(process)
            if unique:
                seen.uss_bytes = _unique(process)
        except psutil.Error:
            if (gone := self._seen.pop(pid, None)) is not None:
                self._end(gone)

    def _end(self, seen: _Seen) -> None:
        self._ended_cpu_s[seen.name] += seen.cpu_s
        self._ended_bytes[seen.name] += seen.written_bytes or 0

    def _sums(self) -> dict[str, ProcessSample]:
        groups: dict[str, list[_Seen]] = defaultdict(list)
        for seen in self._seen.values():
            groups[seen.name].append(seen)
        found = {name: self._sum(name, parts) for name, parts in groups.items()}
        return {**found, MACHINE: _machine()}

    def _sum(self, name: str, parts: list[_Seen]) -> ProcessSample:
        written = _total(part.written_bytes for part in parts)
        return ProcessSample(
            processes=len(parts),
            cpu_s=round(self._ended_cpu_s[name] + sum(part.cpu_s for part in parts), 3),
            rss_bytes=sum(part.rss_bytes for part in parts),
            uss_bytes=_total(part.uss_bytes for part in parts),
            written_bytes=None if written is None else self._ended_bytes[name] + written,
        )


def _total(sizes: Iterable[int | None]) -> int | None:
    """The sum; None if one of the sizes is not known."""
    total = 0
    for size in sizes:
        if size is None:
            return None
        total += size
    return total


def _family(
    root: int, children: Mapping[int, list[int]], apart: Collection[int] = ()
) -> Iterator[int]:
    """A process and its descendants, without those that belong to another group."""
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += [child for child in children.get(pid, ()) if child not in apart]


def _machine() -> ProcessSample:
    """The whole machine: its processors' busy time, and its used memory."""
    times = psutil.cpu_times()
    # A guest's time is contained in the user's (proc(5)).
    known = ("user", "nice", "system", "irq", "softirq")
    busy_s = sum(getattr(times, name, 0.0) for name in known)
    return ProcessSample(
        processes=0,
        cpu_s=round(busy_s, 3),
        rss_bytes=psutil.virtual_memory().used,
        uss_bytes=None,
        written_bytes=None,
    )


def _written(process: psutil.Process) -> int | None:
    """An upper bound for the bytes that a process had written to storage; None if not known.

    Linux counts every page that a write makes dirty in the page cache. A file system with large
    pages makes a record of 8 KB count as 1 MB (seen with ext4). The count of write calls' bytes is
    exact, but includes sockets. The smaller of the two is nearer to the truth.
    """
    try:
        counters = process.io_counters()
        return min(int(counters.write_bytes), int(counters.write_chars))
    except (psutil.Error, AttributeError, NotImplementedError):
        return None


def _unique(process: psutil.Process) -> int | None:
    """Memory that no other process shares; None if it may not be read."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.AccessDenied:
        return None
