"""Every series of latencies, declared once: thresholds, tables, CSV, charts, metrics and pages read
these records.

The parts of the way lie on one timeline, so for each event they sum to the time from its intended
start to durable (docs/measurement.md). All values are recorded in microseconds and shown in
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

#: The unit of every figure of a series in results, tables and thresholds.
UNIT = "ms"


@dataclass(frozen=True, slots=True)
class LatencySeries:
    """One series: its name in files and thresholds, its label in charts, and what it means.

    `side` says who records it: the sink's tap or platform, or the load's generator. A series
    `of_events` has one value for each event, any other one for each arrival. A series
    `from_intended` begins when the arrival was due, so dropped arrivals count in it. One that is
    `in_drain` has a meaning also where events wait in the topic before the platform starts. An
    `optional` one stands in a result only where it was recorded. One that is not `judged` is in no
    threshold and in no table.
    """

    name: str
    meaning: str
    side: Literal["sink", "generator"]
    of_events: bool = False
    from_intended: bool = False
    in_drain: bool = False
    optional: bool = False
    judged: bool = True

    @property
    def label(self) -> str:
        """Its name in charts."""
        return self.name.replace("_", " ")


@dataclass(frozen=True, slots=True)
class WayPart:
    """A part of the way, in the order in which an event passes: its series, the box that shows it
    on the page, the box that makes events wait in it, its name in a sentence, and the sentence that
    says what takes the time.
    """

    series: LatencySeries
    box: str
    awaited: str
    spoken: str
    wait: str


END_TO_END = LatencySeries(
    "end_to_end",
    "from the intended start of the arrival to where the event was seen at the sink",
    "sink",
    of_events=True,
    from_intended=True,
)
DURABLE = LatencySeries(
    "durable",
    "from the intended start to durable as the platform says, where a tap of ours saw it too",
    "sink",
    of_events=True,
    from_intended=True,
    optional=True,
)
EARLIEST = LatencySeries(
    "earliest",
    "the least that the end-to-end latency may have been, where a tap looks only now and then",
    "sink",
    judged=False,
)
WAY = (
    WayPart(
        LatencySeries(
            "commit",
            "from the intended start to the commit at the source",
            "sink",
            of_events=True,
            from_intended=True,
        ),
        box="source",
        awaited="source",
        spoken="the write at the source",
        wait="events wait to be written and committed",
    ),
    WayPart(
        LatencySeries("capture", "from the commit to the append to the topic", "sink"),
        box="capture",
        awaited="capture",
        spoken="capture",
        wait="committed events wait to be captured",
    ),
    WayPart(
        LatencySeries("fetch", "from the append to the poll by the platform", "sink"),
        box="topic",
        awaited="platform",
        spoken="the wait in the topic",
        wait="events wait in the topic until it fetches them",
    ),
    WayPart(
        LatencySeries(
            "queue", "from the poll to the start of the sink's write", "sink", in_drain=True
        ),
        box="platform",
        awaited="sink",
        spoken="the wait in the platform's queues",
        wait="events wait for it in the platform's queues",
    ),
    WayPart(
        LatencySeries(
            "sink_write", "from the start of the sink's write to durable", "sink", in_drain=True
        ),
        box="sink",
        awaited="sink",
        spoken="the sink's write",
        wait="its writes take the time",
    ),
)
OWN_DELAY = LatencySeries(
    "own_delay",
    "what of the send delay is the generator's own: not while all lanes waited for the system",
    "generator",
    from_intended=True,
    judged=False,
)
GENERATOR = (
    LatencySeries(
        "response",
        "from the intended start of the arrival to its acknowledgement",
        "generator",
        from_intended=True,
    ),
    LatencySeries("service", "from the actual start to the acknowledgement", "generator"),
    LatencySeries(
        "send_delay",
        "from the intended to the actual start",
        "generator",
        from_intended=True,
    ),
    OWN_DELAY,
    LatencySeries(
        "loop_lag", "how late the event loop of the generator was", "generator", judged=False
    ),
)
SERIES = (END_TO_END, DURABLE, EARLIEST, *(part.series for part in WAY), *GENERATOR)
BY_NAME = {series.name: series for series in SERIES}


def names(series: Iterable[LatencySeries]) -> tuple[str, ...]:
    """The names of some series, in order."""
    return tuple(one.name for one in series)


#: The names of the parts of the way and of the page's boxes, in order.
PARTS = names(part.series for part in WAY)
BOXES = tuple(part.box for part in WAY)
#: For each part of the way, the box that makes events wait in it.
AWAITED = {part.series.name: part.awaited for part in WAY}
#: The names of all series in results, tables and thresholds.
JUDGED = names(series for series in SERIES if series.judged)


def of_side(side: Literal["sink", "generator"]) -> tuple[str, ...]:
    """The names of one side's series in results."""
    return names(series for series in SERIES if series.side == side and series.judged)


def charted() -> dict[str, Sequence[Sequence[str | int]]]:
    """The key, name and colour of each series in the charts of page and report."""
    return {
        "parts": [
            (part.series.name, part.series.label, colour)
            for colour, part in enumerate(WAY, start=1)
        ],
        "generator": [(one.name, one.label, 0) for one in GENERATOR if one.judged],
    }
