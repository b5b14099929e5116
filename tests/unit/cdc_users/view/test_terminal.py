"""The terminal: a block that replaces itself, lines where there is no terminal, silence when asked
for.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog

from cdc_users.view.run_view import Activity, ChartMark
from cdc_users.view.terminal import Terminal, block, mode, progress
from tests.unit.made_result import result
from tests.unit.made_run import MadeRun, moment, state

pytestmark = pytest.mark.gevent


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def opened(
    stream: io.StringIO, clock: Clock | None = None, quiet: bool = False, **environ: str
) -> Terminal:
    terminal = Terminal(clock or Clock())
    terminal.open(stream, {"TERM": "xterm", **environ}, quiet)
    return terminal


def test_progress_is_a_block_on_a_terminal_only() -> None:
    assert mode(Tty(), {"TERM": "xterm"}, False) == "block"
    assert mode(Tty(), {"TERM": "dumb"}, False) == "lines"
    assert mode(io.StringIO(), {"TERM": "xterm"}, False) == "lines"
    assert mode(Tty(), {"TERM": "xterm"}, True) == "quiet"


def test_the_block_replaces_itself() -> None:
    stream = Tty()
    terminal = opened(stream)
    terminal.tell(MadeRun(), 6.0, 4.0)
    first = stream.getvalue()
    terminal.tell(MadeRun(), 7.0, 3.0)

    assert first.count("\n") == 3
    assert stream.getvalue()[len(first) :].startswith("\x1b[3F\x1b[J")


def test_what_stays_is_printed_where_the_block_was() -> None:
    stream = Tty()
    terminal = opened(stream)
    terminal.tell(MadeRun(), 6.0, None)
    terminal.say("verdict: PASS")
    terminal.say("done")

    assert stream.getvalue().endswith("\x1b[3F\x1b[Jverdict: PASS\ndone\n")


def test_an_event_goes_above_the_block() -> None:
    stream = Tty()
    terminal = opened(stream, NO_COLOR="1")
    terminal.tell(MadeRun(), 6.0, None)
    structlog.get_logger().info("benchmark.step", step="a")

    assert "\x1b[3F\x1b[J20" in stream.getvalue()


def test_no_color_leaves_no_colour() -> None:
    plain, coloured = Tty(), Tty()
    opened(plain, NO_COLOR="1").tell(MadeRun(), 6.0, None)
    opened(coloured).tell(MadeRun(), 6.0, None)

    assert "\x1b[" not in plain.getvalue()
    assert "\x1b[32mgood so far" in coloured.getvalue()


def test_elsewhere_one_json_line_comes_every_ten_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    terminal = opened(stream, clock)
    for second in range(1, 26):
        clock.now_s = float(second)
        terminal.tell(MadeRun(), float(second), 60.0 - second)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]

    assert [line["elapsed_s"] for line in lines] == [10.0, 20.0]
    assert {line["event"] for line in lines} == {"benchmark.progress"}
    assert lines[0]["delivered"] == 600


def test_quiet_tells_nothing_but_what_is_wrong() -> None:
    stream, clock = Tty(), Clock()
    terminal = opened(stream, clock, quiet=True)
    clock.now_s = 60.0
    terminal.tell(MadeRun(), 60.0, None)
    structlog.get_logger().info("benchmark.step")
    assert stream.getvalue() == ""

    structlog.get_logger().warning("benchmark.stop")
    assert "benchmark.stop" in stream.getvalue()


def test_progress_has_all_that_is_asked_for() -> None:
    told = progress(MadeRun(), 6.0, 4.0)

    assert told["p99_ms"] == 10.0
    assert told["verdict"] == "good so far"
    assert {"stage", "elapsed_s", "remaining_s", "offered", "delivered", "backlog"} <= set(told)
    assert "0:06, 0:04 left" in block(MadeRun(), 6.0, 4.0)[0]


def test_figures_side_by_side_are_of_one_step_and_one_unit() -> None:
    """GIVEN a step of ten rows an arrival THEN all counts are events; and WHEN the next one has
    begun THEN nothing of the last one is printed beside it.
    """
    first, second = state(), state("step-2", number=2)
    first.step = replace(first.step, rows_per_arrival=10)
    now = moment(6, offered=60)

    told = progress(MadeRun(states=[first], moments=[now]), 6.0, 4.0)
    assert (told["offered"], told["delivered"]) == (600, 600)

    marks = [ChartMark(0.5, "step-1", "step-1"), ChartMark(6.5, "step-2", "step-2")]
    told = progress(MadeRun(states=[first, second], marks=marks, moments=[now]), 7.0, 9.0)
    assert (told["step"], told["stage"]) == ("step-2", "step-2")
    assert (told["offered"], told["delivered"], told["delivered_per_s"]) == (0, 0, None)


def test_before_the_first_second_the_block_says_what_is_awaited() -> None:
    assert "preparing" in block(MadeRun(moments=[], states=[], marks=[]), 2.0, None)[0]
    assert progress(MadeRun(result=result()), 6.0, None)["verdict"] == "PASS"


def test_what_is_kept_for_the_end_is_printed_once_and_last() -> None:
    stream = io.StringIO()
    terminal = opened(stream)
    terminal.keep_for_the_end("verdict: PASS")
    terminal.say("Locust's own table")
    terminal.finish()
    terminal.finish()

    assert stream.getvalue() == "Locust's own table\nverdict: PASS\n"


def test_without_a_verdict_there_is_nothing_to_finish() -> None:
    stream = io.StringIO()
    opened(stream).finish()

    assert stream.getvalue() == ""


def test_a_log_has_room_for_120_columns() -> None:
    assert opened(io.StringIO()).width == 120


def test_before_the_first_figures_the_block_says_what_goes_on() -> None:
    run = MadeRun(moments=[], activities=[Activity(1.0, "tables, topics and connector")])

    assert block(run, 8.0, None)[-1] == "  Preparing: tables, topics and connector, 0:07."
    assert block(MadeRun(moments=[], activities=[]), 0.0, None)[-1] == "  The run begins."


def test_a_warning_takes_the_place_of_the_bottleneck_and_is_yellow() -> None:
    stream = Tty()
    growing = [moment(second, backlog=50 * second) for second in range(1, 7)]
    opened(stream).tell(MadeRun(moments=growing), 6.0, None)

    assert "the backlog grows by 50 events a second" in stream.getvalue()
    assert "\x1b[33mwarnings so far" in stream.getvalue()
