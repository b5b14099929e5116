"""The options of the search for the sustainable rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cdc_users.measure.judgement.threshold import Threshold, parse_thresholds
from cdc_users.measure.schedule.plan import parse_duration, parse_rate
from cdc_users.options import parse
from cdc_users.options.conflict import capacity as conflict
from cdc_users.options.table.load import A_TIME
from cdc_users.options.table.record import CAPACITY, option

_EVENTS_PER_S = "events per second"


@dataclass(frozen=True)
class CapacityOptions:
    """The conditions of a rate, and the search."""

    TITLE: ClassVar = "Capacity"

    slo: tuple[Threshold, ...] = option(
        parse_thresholds,
        "Capacity: what a rate must hold to be sustainable, several by semicolon.",
        default="end_to_end.p99 < 1s",
        takes="METRIC < VALUE, several by semicolon",
        only_in=(CAPACITY,),
        rules=(conflict.slo_has_its_series, conflict.slo_has_its_samples),
    )
    from_: float = option(
        parse_rate,
        "Capacity: the rate that is probed first; a quarter of it is the lowest.",
        default="200/s",
        takes=_EVENTS_PER_S,
        only_in=(CAPACITY,),
    )
    most: float = option(
        parse_rate,
        "Capacity: the highest rate that is probed.",
        default="100000/s",
        takes=_EVENTS_PER_S,
        only_in=(CAPACITY,),
        rules=(conflict.search_goes_up,),
    )
    probe: float = option(
        parse_duration,
        "Capacity: how long a probe holds its rate, after its warm-up.",
        default="20s",
        takes=A_TIME,
        only_in=(CAPACITY,),
    )
    confirm: float = option(
        parse_duration,
        "Capacity: how long a confirmation holds its rate; both ends of the answer are confirmed"
        " twice.",
        default="60s",
        takes=A_TIME,
        only_in=(CAPACITY,),
    )
    precision: float = option(
        parse.precision,
        "Capacity: how close the highest rate that holds and the lowest that fails must come.",
        default="3%",
        takes="0.5% to 100%",
        only_in=(CAPACITY,),
    )
    outage: float | None = option(
        parse_duration,
        "Capacity: after the search, pause the connector for this long at half the sustainable"
        " rate, and compare the time to catch up with the prediction.",
        unset=None,
        takes=A_TIME,
        only_in=(CAPACITY,),
        rules=(conflict.an_outage_has_a_connector,),
    )
    disk: float = option(
        parse.size,
        "Capacity: the size of a disk for WAL; predict how long it lasts while the capture is"
        " stopped.",
        default="10GB",
        takes="bytes in kB, MB, GB or TB",
        only_in=(CAPACITY,),
    )
    budget: float = option(
        parse_duration,
        "Capacity: how long the search may take; it ends with what it knows by then.",
        default="20m",
        takes=A_TIME,
        only_in=(CAPACITY,),
        rules=(conflict.budget_fits_a_probe,),
    )
