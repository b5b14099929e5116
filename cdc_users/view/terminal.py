"""The terminal: on a terminal, progress in one block that is updated; elsewhere, structured lines.

`--quiet` leaves only the result and the problems; NO_COLOR (https://no-color.org) and TERM=dumb are
respected. structlog's events are rendered as text on a terminal, and as JSON lines elsewhere.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TextIO, TypedDict

import structlog
from structlog.typing import EventDict

from cdc_users.report import quantity
from cdc_users.report.table import USUAL_WIDTH
from cdc_users.view.concern import verdict, warnings
from cdc_users.view.narrow_stage import narrowest
from cdc_users.view.run_view import RunView, current, last_mark, latest, series

LINES_EVERY_S = 10.0
TerminalMode = Literal["block", "lines", "quiet"]
UP_AND_CLEAR = "\x1b[{rows}F\x1b[J"
GREEN, YELLOW, RED, PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[0m"
NARROWEST, WIDEST = 40, 160

logger = structlog.get_logger()


def mode(stream: TextIO, environ: Mapping[str, str], quiet: bool) -> TerminalMode:
    """The way in which progress is shown on this stream."""
    if quiet:
        return "quiet"
    return "block" if stream.isatty() and environ.get("TERM", "dumb") != "dumb" else "lines"


class Terminal:
    """The output of this process.

    The block is below everything else: each printed line clears it first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.mode: TerminalMode = "lines"
        self._stream: TextIO = sys.stdout
        self._colour = False
        self._rows = 0
        self._clock = clock
        self._told_s = clock()
        self._last = ""

    def open(self, stream: TextIO, environ: Mapping[str, str], quiet: bool) -> None:
        """Decide how to print, and have structlog's events and Locust's log go around the block."""
        self._stream = stream
        self.mode = mode(stream, environ, quiet)
        self._colour = stream.isatty() and not environ.get("NO_COLOR") and self.mode == "block"
        self._told_s = self._clock()
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                self._before_event,
                (
                    structlog.dev.ConsoleRenderer(colors=self._colour)
                    if stream.isatty()
                    else structlog.processors.JSONRenderer(default=str)
                ),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(
                logging.WARNING if quiet else logging.INFO
            ),
            logger_factory=structlog.PrintLoggerFactory(stream),
            cache_logger_on_first_use=False,
        )
        if quiet:
            for name in ("", "locust", "locust.stats_logger"):
                logging.getLogger(name).setLevel(logging.WARNING)
        if self.mode == "block":
            for handler in logging.getLogger().handlers:
                handler.addFilter(self._before_record)

    def tell(self, run: RunView, elapsed_s: float, remaining_s: float | None) -> None:
        """Show a run's progress; called about once a second."""
        if self.mode == "block":
            self._show(block(run, elapsed_s, remaining_s))
        elif self.mode == "lines" and self._clock() - self._told_s >= LINES_EVERY_S:
            self._told_s = self._clock()
            logger.info("benchmark.progress", **progress(run, elapsed_s, remaining_s))

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.clear()
        print(text, file=self._stream, flush=True)

    def keep_for_the_end(self, text: str) -> None:
        """Print this text after everything else (`finish`)."""
        self._last = text

    def finish(self) -> None:
        """Print the texts that were kept for the end."""
        if self._last:
            text, self._last = self._last, ""
            self.say(text)

    @property
    def width(self) -> int:
        """The width for a table in columns: the terminal's, otherwise the width for logs."""
        try:
            return max(NARROWEST, os.get_terminal_size(self._stream.fileno()).columns)
        except (OSError, ValueError):
            return USUAL_WIDTH

    def clear(self) -> None:
        """Remove the block."""
        if self._rows:
            self._stream.write(UP_AND_CLEAR.format(rows=self._rows))
            self._stream.flush()
            self._rows = 0

    def _show(self, lines: Sequence[str]) -> None:
        width = min(WIDEST, self.width - 1)
        # One write, so that no reader of the terminal sees half a block.
        erase = UP_AND_CLEAR.format(rows=self._rows) if self._rows else ""
        self._stream.write(erase + "".join(f"{self._painted(line[:width])}\n" for line in lines))
        self._stream.flush()
        self._rows = len(lines)

    def _painted(self, line: str) -> str:
        if not self._colour:
            return line
        for word, colour in (
            ("good so far", GREEN),
            ("warnings so far", YELLOW),
            ("trouble so far", RED),
        ):
            line = line.replace(word, f"{colour}{word}{PLAIN}")
        return line

    def _before_event(self, _: Any, __: str, event: EventDict) -> EventDict:
        self.clear()
        return {"event": event.pop("event"), **event}

    def _before_record(self, _: logging.LogRecord) -> bool:
        self.clear()
        return True


def block(run: RunView, elapsed_s: float, remaining_s: float | None) -> list[str]:
    """A run's progress in three lines."""
    shown = progress(run, elapsed_s, remaining_s)
    left = f", {clock(remaining_s)} left" if remaining_s is not None else ""
    where = (
        " · ".join(dict.fromkeys(part for part in (shown["step"], shown["stage"]) if part))
        or "preparing"
    )
    p99, rate = quantity.duration(shown["p99_ms"]), quantity.per_second(shown["delivered_per_s"])
    last = next(iter(warnings(run)), narrowest(run).words) if run.moments else doing(run)
    return [
        f"{run.scenario.name} · {where} · {clock(elapsed_s)}{left} · {shown['verdict']}",
        (
            f"  offered {shown['offered']:,} · delivered {shown['delivered']:,} ({rate})"
            f" · p99 {p99} · backlog {shown['backlog']:,}"
        ),
        f"  {last}",
    ]


def doing(run: RunView) -> str:
    """The activity of a run that has no figures yet."""
    if not run.activities:
        return "The run begins."
    now = run.activities[-1]
    return f"Preparing: {now.name}, {clock(run.elapsed_s - now.began_s)}."


class ProgressFields(TypedDict):
    """The fields of the event `benchmark.progress`: counts and p99 are those of the step so far,
    the rate is that of the last second.
    """

    run: str
    step: str
    stage: str
    elapsed_s: float
    remaining_s: float | None
    offered: int
    delivered: int
    delivered_per_s: float | None
    p99_ms: float | None
    backlog: int
    verdict: str


def progress(run: RunView, elapsed_s: float, remaining_s: float | None) -> ProgressFields:
    """A run's progress as the fields of the event `benchmark.progress`."""
    now, state = latest(run), current(run)
    begun = last_mark(run)
    size = state.step.rows_per_arrival if state is not None else 1
    p99_us = series(run).histogram("end_to_end").percentile_us(99)
    return {
        "run": run.id,
        "step": begun.step,
        "stage": begun.name,
        "elapsed_s": round(elapsed_s, 1),
        "remaining_s": None if remaining_s is None else round(remaining_s, 1),
        "offered": now.offered * size if now else 0,
        "delivered": now.delivered if now else 0,
        "delivered_per_s": now.delivered_per_s if now else None,
        "p99_ms": None if p99_us is None else round(p99_us / 1000, 3),
        "backlog": now.backlog if now else 0,
        "verdict": verdict(run),
    }


def clock(seconds: float) -> str:
    """A time as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
