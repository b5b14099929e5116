"""The options of the load: how much, how fast, for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from cdc_users.measure.ledger.probe import LANES_PER_STEP
from cdc_users.measure.schedule.plan import LoadStage, parse_duration, parse_rate
from cdc_users.options import parse
from cdc_users.options.conflict import load as conflict
from cdc_users.options.table.record import (
    CAPACITY,
    LEAVE,
    PER_SINK,
    PRESSURE,
    SCALING,
    VOLUME,
    option,
)
from cdc_users.users.workload.workload import KEYS_PER_WRITER

#: The keys of two writers stay apart up to this number of rows for each; a delete takes two
#: sequences.
MOST_ROWS = KEYS_PER_WRITER // 2
A_TIME = "a time in ms, s, m or h"
_IN_THE_TOPIC = {SCALING: "its records wait in the topic, --records says how many"}
_FILL_AND_HOLD = {PRESSURE: "use --fill and --hold"}
_SEARCHED = {CAPACITY: "it searches the rate itself, from --from to --most"}
_PROBED = {CAPACITY: "use --probe and --confirm"}


@dataclass(frozen=True)
class LoadOptions:
    """When arrivals are due, how many there are, and how many lanes take them."""

    TITLE: ClassVar = "Load"

    rows: tuple[int, ...] = option(
        parse.Counts(MOST_ROWS),
        "Volumes, one burst step each: rows written as fast as they go.",
        unset=(),
        not_in={PER_SINK: "use --records", **_FILL_AND_HOLD, **_IN_THE_TOPIC, **_SEARCHED},
        rules=(conflict.one_load,),
    )
    rate: float | None = option(
        parse_rate,
        "Open loop instead: arrivals (transactions) per second, e.g. 1000; needs --duration.",
        unset=None,
        takes="arrivals per second",
        not_in={
            PRESSURE: "use --overload, a multiple of what the sink can take",
            **_IN_THE_TOPIC,
            **_SEARCHED,
        },
        rules=(conflict.rate_lasts, conflict.rate_makes_an_arrival),
    )
    duration: float | None = option(
        parse_duration,
        "How long --rate is held, e.g. 30s or 5m.",
        unset=None,
        takes=A_TIME,
        not_in={**_FILL_AND_HOLD, **_IN_THE_TOPIC, **_PROBED},
        rules=(conflict.duration_has_a_rate,),
    )
    stages: tuple[LoadStage, ...] = option(
        parse.stages,
        "Open loop in stages, one step each: RATE:DURATION, or a ramp RATE->RATE:DURATION, or"
        " warmup:RATE:DURATION.",
        unset=(),
        takes="RATE:DURATION, several by comma",
        not_in={
            PER_SINK: "use --rate and --duration",
            PRESSURE: "use --overload, --fill and --hold",
            **_IN_THE_TOPIC,
            **_SEARCHED,
        },
    )
    warm_up: float | None = option(
        parse.warm_up,
        "A warm-up of this length at --rate or the first stage's rate: shown, not judged. A load"
        " of 10 s or more has 5 s by default; none turns it off.",
        unset=None,
        takes=f"{A_TIME}, or none",
        not_in=_IN_THE_TOPIC,
        paced=True,
    )
    arrival: Literal["constant", "poisson"] = option(
        parse.choice("constant", "poisson"),
        "How open-loop arrivals are spaced: constant, or poisson (random, from --seed).",
        default="constant",
        not_in={PRESSURE: LEAVE, **_IN_THE_TOPIC},
        paced=True,
    )
    late: float | None = option(
        parse.late,
        "What to do with arrivals that start late: catch-up, drop (if later than 100 ms) or"
        " drop:DURATION.",
        default="catch-up",
        takes="catch-up, drop or drop:DURATION",
        not_in=_IN_THE_TOPIC,
        paced=True,
    )
    lanes: int = option(
        parse.Count(LANES_PER_STEP),
        "Writers at work at the same time, over all workers; each is one Locust user.",
        default="8",
    )
    records: int = option(
        parse.Count(MOST_ROWS),
        "Latency, partitions: records in the topic before the platform starts to read.",
        default="10000",
        only_in=(PER_SINK, SCALING),
        not_in={VOLUME: "use --rows", **_FILL_AND_HOLD, **_SEARCHED},
    )
    mode: Literal["", "drain", "paced"] = option(
        parse.choice("drain", "paced"),
        "Latency: drain (records wait in the topic) or paced (open loop, with --rate); paced where"
        " --rate is given.",
        unset="",
        only_in=(PER_SINK,),
        not_in={VOLUME: "use --rows, or --rate and --duration", **_IN_THE_TOPIC, **_SEARCHED},
        rules=(conflict.mode_fits_the_rate,),
    )
    smoke: bool = option(
        parse.flag,
        "yes checks ledger, files and exit code only, and publishes no figure.",
        default="no",
        takes=parse.YES_OR_NO,
    )
