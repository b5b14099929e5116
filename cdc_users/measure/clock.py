"""One clock for all processes of a run: monotonic inside a host, with wall time derived from it
once.

Linux's CLOCK_MONOTONIC is the same in all processes of a host, so a time taken by one may be
subtracted from a time taken by another. Times that travel in a row are wall microseconds, derived
through an `Anchor`: a step of the wall clock in mid-run changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

#: The environment variable by which the first process of a run hands its anchor to the others.
VARIABLE = "CDC_ANCHOR"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ATTEMPTS = 9


@dataclass(frozen=True, slots=True)
class Anchor:
    """One moment on both clocks of one host: monotonic nanoseconds and wall microseconds since the
    epoch.
    """

    boot_id: str
    monotonic_ns: int
    wall_us: int

    def wall_us_at(self, monotonic_ns: int) -> int:
        """Wall microseconds at a monotonic time."""
        return self.wall_us + (monotonic_ns - self.monotonic_ns) // 1000

    def monotonic_ns_at(self, wall_us: int) -> int:
        """Monotonic nanoseconds at a wall time."""
        return self.monotonic_ns + (wall_us - self.wall_us) * 1000

    def now_us(self) -> int:
        """Wall microseconds now."""
        return self.wall_us_at(time.monotonic_ns())

    def step_ms(self) -> float:
        """By how many milliseconds this host's wall clock has left the anchor, because somebody set
        it.

        A clock that is slewed takes the monotonic clock along (clock_gettime(2)), so it shows no
        step.
        """
        now = new_anchor()
        return (now.wall_us - self.wall_us_at(now.monotonic_ns)) / 1000

    def for_this_host(self) -> Anchor:
        """This anchor on the host that made it; on another host, that host's own."""
        return self if self.boot_id == boot_id() else new_anchor()

    def environment(self) -> dict[str, str]:
        """The variables for a child process that must read the same clock (`anchor_from`)."""
        return {VARIABLE: msgspec.json.encode(self).decode("ascii")}


def boot_id() -> str:
    """The identifier of this host's current uptime; empty where the system has none."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def new_anchor() -> Anchor:
    """Read both clocks, as close together as a few attempts allow."""
    readings = []
    for _ in range(ATTEMPTS):
        before = time.monotonic_ns()
        wall_ns = time.time_ns()
        after = time.monotonic_ns()
        readings.append((after - before, (before + after) // 2, wall_ns))
    _, monotonic_ns, wall_ns = min(readings)
    return Anchor(boot_id(), monotonic_ns, wall_ns // 1000)


def anchor_from(environ: Mapping[str, str]) -> Anchor:
    """The run's anchor from the environment; on another host a new one of that host's own."""
    text = environ.get(VARIABLE)
    return msgspec.json.decode(text, type=Anchor).for_this_host() if text else new_anchor()
